//! Keys and what is made of them.

use std::sync::Arc;
use std::time::Duration;

use portal_core::PublicKey;
use portal_core::env::Env;
use portal_core::identity::{self, LocalKey, token};

use crate::error::PortalError;
use crate::limits;
use crate::types::keys::{JwtClaims, PublicKeyForms};

/// Twelve or more words that give all keys of a person.
#[derive(uniffi::Object)]
pub struct Mnemonic(identity::Mnemonic);

#[uniffi::export]
impl Mnemonic {
    /// Twelve new words.
    #[uniffi::constructor]
    #[must_use]
    pub fn generate() -> Arc<Self> {
        Arc::new(Self(identity::Mnemonic::generate(&Env::system())))
    }

    /// Reads 12, 15, 18, 21 or 24 English words.
    #[uniffi::constructor]
    pub fn parse(words: String) -> Result<Arc<Self>, PortalError> {
        limits::text("the mnemonic", &words, limits::MNEMONIC)?;
        Ok(Arc::new(Self(identity::Mnemonic::parse(&words)?)))
    }

    /// The words, for the person who must write them down.
    #[must_use]
    pub fn words(&self) -> String {
        self.0.words().expose().clone()
    }

    /// The Nostr key, by NIP-06.
    pub fn keypair(&self) -> Result<Arc<Keypair>, PortalError> {
        Ok(Arc::new(Keypair(self.0.keypair()?)))
    }

    /// The seed of the Cashu wallet: 32 bytes.
    pub fn derive_cashu(&self) -> Result<Vec<u8>, PortalError> {
        Ok(self.0.derive_cashu()?.expose().to_vec())
    }
}

/// A secret key and its public key.
#[derive(uniffi::Object)]
pub struct Keypair(LocalKey);

impl Keypair {
    pub(crate) fn key(&self) -> LocalKey {
        self.0.clone()
    }
}

#[uniffi::export]
impl Keypair {
    /// A new random key.
    #[uniffi::constructor]
    #[must_use]
    pub fn generate() -> Arc<Self> {
        Arc::new(Self(LocalKey::generate(&Env::system())))
    }

    /// Reads an nsec or 64 hex digits.
    #[uniffi::constructor]
    pub fn parse(secret: String) -> Result<Arc<Self>, PortalError> {
        limits::text("the secret key", &secret, limits::KEY)?;
        Ok(Arc::new(Self(LocalKey::parse(&secret)?)))
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKeyForms {
        self.0.public_key().into()
    }

    /// The secret as an nsec, for a person who wants to keep it.
    #[must_use]
    pub fn nsec(&self) -> String {
        self.0.nsec().expose().clone()
    }

    /// The seed of the Cashu wallet of a person who has no mnemonic: 32 bytes.
    #[must_use]
    pub fn derive_cashu(&self) -> Vec<u8> {
        self.0.derive_cashu().expose().to_vec()
    }

    /// Makes a session token (JWT, ES256K) for the service with this key.
    pub fn issue_jwt(
        &self,
        target_key: String,
        lifetime_seconds: u64,
    ) -> Result<String, PortalError> {
        limits::number("the lifetime", lifetime_seconds, 1, limits::LIFETIME)?;
        let target = public_key(&target_key)?;
        let lifetime = Duration::from_secs(lifetime_seconds);
        let token = token::issue(&self.0, target, Env::system().now(), lifetime)?;
        Ok(token.expose().clone())
    }
}

/// Checks signature and time of a session token that the owner of this key made.
#[uniffi::export]
pub fn verify_jwt(issuer_key: String, token: String) -> Result<JwtClaims, PortalError> {
    limits::text("the token", &token, limits::TOKEN)?;
    let issuer = public_key(&issuer_key)?;
    Ok(token::verify(&issuer, &token, Env::system().now())?.into())
}

/// Reads a public key as an npub or 64 hex digits, and gives all its forms.
#[uniffi::export]
pub fn parse_public_key(text: String) -> Result<PublicKeyForms, PortalError> {
    Ok(public_key(&text)?.into())
}

/// A public key that came in, in whatever form.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, PortalError> {
    limits::text("the public key", text, limits::KEY)?;
    let invalid = || portal_core::Error::InvalidPublicKey;
    let key = PublicKey::parse(text).map_err(|_| invalid())?;
    key.xonly().map_err(|_| invalid())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn code<T>(result: Result<T, PortalError>) -> ErrorCode {
        match result {
            Ok(_) => panic!("it is refused"),
            Err(PortalError::Failed { code, .. }) => code,
        }
    }

    #[test]
    fn a_mnemonic_gives_the_same_key_again() {
        let one = Mnemonic::generate();
        let again = Mnemonic::parse(one.words()).expect("its own words");
        let keys = [&one, &again].map(|words| words.keypair().expect("derivable").nsec());
        assert_eq!(keys[0], keys[1]);
        assert_eq!(code(Mnemonic::parse("abandon abandon".to_owned())), ErrorCode::InvalidMnemonic);
        assert_eq!(code(Mnemonic::parse(String::new())), ErrorCode::InvalidRequest);
    }

    #[test]
    fn public_keys_are_read_in_both_forms_and_must_be_points() {
        let forms = Keypair::generate().public_key();
        for text in [&forms.hex, &forms.npub] {
            assert_eq!(parse_public_key(text.clone()), Ok(forms.clone()));
        }
        for text in ["00".repeat(32), "npub1".to_owned(), Keypair::generate().nsec()] {
            assert_eq!(code(parse_public_key(text)), ErrorCode::InvalidKey);
        }
    }

    #[test]
    fn a_token_is_good_for_its_issuer_alone() {
        let (person, service) = (Keypair::generate(), Keypair::generate().public_key());
        let token = person.issue_jwt(service.npub.clone(), 3600).expect("in range");
        let issuer = person.public_key().hex;
        let claims = verify_jwt(issuer.clone(), token.clone()).expect("its own");
        assert_eq!(claims.target_key, service.hex);
        assert_eq!(code(verify_jwt(service.hex.clone(), token)), ErrorCode::InvalidToken);
        assert_eq!(code(verify_jwt(issuer, "x".repeat(9000))), ErrorCode::InvalidRequest);
        assert_eq!(code(person.issue_jwt(service.hex, 0)), ErrorCode::InvalidRequest);
    }
}
