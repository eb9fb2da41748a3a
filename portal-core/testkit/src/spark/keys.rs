//! Keys: those of the operators, those that a wallet derives, and the shares of a preimage.

use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit as _};
use bitcoin::NetworkKind;
use bitcoin::bip32::{ChildNumber, DerivationPath, Xpriv};
use bitcoin::secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use super::proto::Fields;

/// `m/8797555'/0'`, the account of test networks.
const ACCOUNT: [u32; 2] = [8_797_555, 0];

/// A fixed key that nobody else uses.
pub(super) fn fixed(name: &str) -> SecretKey {
    SecretKey::from_slice(&Sha256::digest(name)).expect("a digest is a key, practically always")
}

/// What a wallet derives from its words.
#[derive(Clone)]
pub(super) struct WalletKeys {
    pub(super) identity: PublicKey,
    leaves: Xpriv,
}

impl WalletKeys {
    /// From words without a passphrase; `None` when they are not right.
    pub(super) fn derive(words: &str) -> Option<Self> {
        let seed = bip39::Mnemonic::parse_normalized(words).ok()?.to_seed_normalized("");
        let master = Xpriv::new_master(NetworkKind::Test, &seed).ok()?;
        let hardened = |numbers: &[u32]| -> Option<DerivationPath> {
            let numbers = numbers.iter().map(|number| ChildNumber::from_hardened_idx(*number).ok());
            numbers.collect::<Option<Vec<_>>>().map(DerivationPath::from)
        };
        let account = master.derive_priv(SECP256K1, &hardened(&ACCOUNT)?).ok()?;
        let identity = account.derive_priv(SECP256K1, &hardened(&[0])?).ok()?;
        let leaves = account.derive_priv(SECP256K1, &hardened(&[1])?).ok()?;
        Some(Self { identity: identity.private_key.public_key(SECP256K1), leaves })
    }

    /// The wallet's key of a leaf.
    pub(super) fn leaf(&self, id: &str) -> PublicKey {
        let digest = Sha256::digest(id);
        let first = u32::from_be_bytes(*digest.first_chunk().expect("32 bytes"));
        let number = ChildNumber::from_hardened_idx(first & 0x7fff_ffff).expect("31 bits");
        let key = self.leaves.derive_priv(SECP256K1, &[number]).expect("practically always");
        key.private_key.public_key(SECP256K1)
    }
}

/// The share in an envelope that a wallet made for one operator.
pub(super) fn open_share(key: &SecretKey, envelope: &[u8]) -> Option<SecretKey> {
    let (ephemeral, rest) = envelope.split_at_checked(65)?;
    let (nonce, rest) = rest.split_at_checked(16)?;
    let (tag, data) = rest.split_at_checked(16)?;
    let point = PublicKey::from_slice(ephemeral).ok()?;
    let shared = point.mul_tweak(SECP256K1, &Scalar::from(*key)).ok()?;
    let secret = expand(&[ephemeral, &shared.serialize_uncompressed()].concat());
    let cipher = AesGcm::<Aes256, U16>::new_from_slice(&secret).ok()?;
    let sealed = [data, tag].concat();
    let plain = cipher.decrypt(nonce.into(), Payload { msg: &sealed, aad: &[] }).ok()?;
    SecretKey::from_slice(Fields::read(&plain)?.bytes(1)).ok()
}

/// The secret behind the shares of the first two operators: `2·f(1) − f(2)`.
pub(super) fn join(first: &SecretKey, second: &SecretKey) -> Option<[u8; 32]> {
    let two = Scalar::from(SecretKey::from_slice(&[[0; 31].as_slice(), &[2]].concat()).ok()?);
    let doubled = first.mul_tweak(&two).ok()?;
    doubled.add_tweak(&Scalar::from(second.negate())).ok().map(|secret| secret.secret_bytes())
}

/// HKDF with SHA-256, without salt and context, for 32 bytes.
fn expand(material: &[u8]) -> [u8; 32] {
    let mac = |key: &[u8], text: &[u8]| -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).expect("any length will do");
        mac.update(text);
        mac.finalize().into_bytes().into()
    };
    mac(&mac(&[0; 32], material), &[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_the_one_that_the_library_derives() {
        let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";
        let keys = WalletKeys::derive(words).expect("a mnemonic");
        let expected = "02698b27ac308b275671b3ca25436346469d04a5bba578ae39feba1d65897a6abc";
        assert_eq!(keys.identity.to_string(), expected);
        assert!(WalletKeys::derive("abandon").is_none());
    }

    #[test]
    fn two_shares_give_the_secret() {
        let (secret, slope) = (fixed("secret"), fixed("slope"));
        let at = |x: u8| {
            let x = Scalar::from(
                SecretKey::from_slice(&[[0; 31].as_slice(), &[x]].concat()).expect("small"),
            );
            let part = slope.mul_tweak(&x).expect("not zero");
            secret.add_tweak(&Scalar::from(part)).expect("not zero")
        };
        assert_eq!(join(&at(1), &at(2)), Some(secret.secret_bytes()));
        assert_ne!(join(&at(2), &at(1)), Some(secret.secret_bytes()));
    }
}
