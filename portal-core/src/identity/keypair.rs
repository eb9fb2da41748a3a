//! The key this process signs with, and its proof when it is a subkey.

use std::fmt;
use std::sync::Arc;

use nostr::nips::nip19::ToBech32;
use nostr::{PublicKey, SecretKey};
use secp256k1::{Keypair, Message, SECP256K1};
use sha2::{Digest, Sha256};

use super::subkey::{self, SubkeyError};
use crate::env::Env;
use crate::primitives::{Secret, Timestamp};
use crate::protocol::subkey::SubkeyProof;

/// Longer than any nsec: what is longer is no key.
const MAX_KEY_TEXT: usize = 128;

/// A signing key, with the proof of its main key when it is a subkey.
///
/// Cheap to clone. `Debug` shows the public key alone, and the secret is overwritten when the
/// last clone is dropped (as far as the compiler has made no copies of its own).
#[derive(Clone)]
pub struct LocalKey(Arc<Inner>);

struct Inner {
    keypair: Keypair,
    secret: SecretKey,
    public: PublicKey,
    proof: Option<SubkeyProof>,
}

impl LocalKey {
    /// A new random key.
    #[must_use]
    pub fn generate(env: &Env) -> Self {
        loop {
            // All but one in 2^128 of the values are keys.
            let bytes = Secret::new(env.bytes::<32>());
            if let Ok(key) = Self::from_secret_bytes(bytes.expose()) {
                return key;
            }
        }
    }

    /// Reads 64 hex digits or an nsec, with or without space around it.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.len() > MAX_KEY_TEXT {
            return Err(KeyError::Unreadable);
        }
        SecretKey::parse(text).map(Self::from_secret).map_err(|_| KeyError::Unreadable)
    }

    /// The key with these secret bytes.
    ///
    /// # Errors
    /// When they are zero or not below the order of the curve.
    pub fn from_secret_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        SecretKey::from_slice(bytes).map(Self::from_secret).map_err(|_| KeyError::OutOfRange)
    }

    fn from_secret(secret: SecretKey) -> Self {
        let keypair = Keypair::from_secret_key(SECP256K1, &secret);
        let public = keypair.x_only_public_key().0.into();
        Self(Arc::new(Inner { keypair, secret, public, proof: None }))
    }

    /// The same key as a subkey of the main key that the proof names.
    ///
    /// # Errors
    /// When the proof is not for this key, or not valid at `now`.
    pub fn with_proof(&self, proof: SubkeyProof, now: Timestamp) -> Result<Self, SubkeyError> {
        subkey::verify(&proof, &self.0.public, now, None)?;
        Ok(self.with_checked_proof(proof))
    }

    /// For proofs that were made or verified by the caller.
    pub(super) fn with_checked_proof(&self, proof: SubkeyProof) -> Self {
        Self(Arc::new(Inner {
            keypair: self.0.keypair,
            secret: self.0.secret.clone(),
            public: self.0.public,
            proof: Some(proof),
        }))
    }

    /// The public key of what this key signs.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.0.public
    }

    /// Who this key speaks for: the main key of its proof, or itself.
    #[must_use]
    pub fn main_key(&self) -> PublicKey {
        self.0.proof.as_ref().map_or(self.0.public, |proof| proof.main_key)
    }

    /// The proof, when this is a subkey.
    #[must_use]
    pub fn proof(&self) -> Option<&SubkeyProof> {
        self.0.proof.as_ref()
    }

    /// Whether this is a subkey of another key.
    #[must_use]
    pub fn is_subkey(&self) -> bool {
        self.0.proof.is_some()
    }

    /// The secret itself: for key agreement and nothing else. Its `Debug` is not blind.
    #[must_use]
    pub fn secret_key(&self) -> &SecretKey {
        &self.0.secret
    }

    /// The secret as an nsec, for a person who wants to keep it.
    #[must_use]
    pub fn nsec(&self) -> Secret<String> {
        match self.0.secret.to_bech32() {
            Ok(text) => Secret::new(text),
            Err(never) => match never {},
        }
    }

    /// Signs 32 bytes by BIP-340. `aux` is fresh randomness. The signature is not verified
    /// again, which would cost as much as all the rest; the secret never leaves this process
    /// and a broken signature only makes relays refuse the event.
    #[must_use]
    pub fn sign_schnorr(&self, message: &[u8; 32], aux: &[u8; 32]) -> [u8; 64] {
        let message = Message::from_digest(*message);
        SECP256K1.sign_schnorr_with_aux_rand(&message, &self.0.keypair, aux).serialize()
    }

    /// The seed of the Cashu wallet of a person who has no mnemonic: SHA-256 of the secret and
    /// the ASCII word `cashu`.
    #[must_use]
    pub fn derive_cashu(&self) -> Secret<[u8; 32]> {
        let mut hasher = Sha256::new();
        hasher.update(self.0.secret.as_secret_bytes());
        hasher.update(b"cashu");
        Secret::new(hasher.finalize().into())
    }

    pub(super) fn keypair(&self) -> &Keypair {
        &self.0.keypair
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey")
            .field("public_key", &self.0.public.to_hex())
            .field("is_subkey", &self.is_subkey())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // `secret` overwrites itself.
        self.keypair.non_secure_erase();
    }
}

/// Why something is not a secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither hex nor an nsec.
    #[error("not a secret key in hex or nsec form")]
    Unreadable,
    /// Zero, or not below the order of the curve.
    #[error("the number is not a secret key")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::mock;

    #[test]
    fn hex_and_nsec_are_the_same_key() {
        let env = mock::env(Timestamp::from_secs(0), 1).0;
        let key = LocalKey::generate(&env);
        let nsec = key.nsec();
        assert!(nsec.expose().starts_with("nsec1"));
        let hex = key.secret_key().to_secret_hex();
        for text in [nsec.expose(), &hex, &hex.to_uppercase(), &format!(" {hex}\n")] {
            let again = LocalKey::parse(text).expect("a key");
            assert_eq!(again.public_key(), key.public_key());
        }
        assert_ne!(LocalKey::generate(&env).public_key(), key.public_key());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "1".repeat(1000);
        let npub = "npub10xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqpkge6d";
        for bad in ["", "1", "nsec1", npub, &"0".repeat(64), &"f".repeat(64), &long] {
            assert_eq!(LocalKey::parse(bad).err(), Some(KeyError::Unreadable), "{bad}");
        }
        assert_eq!(LocalKey::from_secret_bytes(&[0; 32]).err(), Some(KeyError::OutOfRange));
        assert_eq!(LocalKey::from_secret_bytes(&[0xff; 32]).err(), Some(KeyError::OutOfRange));
    }

    #[test]
    fn a_signature_verifies_and_debug_is_blind() {
        let key = LocalKey::from_secret_bytes(&[7; 32]).expect("a key");
        let signature = key.sign_schnorr(&[1; 32], &[2; 32]);
        let signature = secp256k1::schnorr::Signature::from_slice(&signature).expect("64 bytes");
        let public = key.public_key().xonly().expect("a point");
        let message = Message::from_digest([1; 32]);
        assert!(SECP256K1.verify_schnorr(&signature, &message, &public).is_ok());
        assert!(!format!("{key:?}").contains(&key.secret_key().to_secret_hex()));
        assert_eq!((key.main_key(), key.is_subkey()), (key.public_key(), false));
    }
}
