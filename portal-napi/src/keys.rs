//! Keys and what is made of them.

use std::time::Duration;

use napi::Result;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use portal_core::PublicKey;
use portal_core::env::Env;
use portal_core::identity::{self, LocalKey, token};
use portal_core::protocol::handshake::KeyHandshakeUrl;

use crate::error::{failed, invalid};
use crate::limits;
use crate::types::handshake::HandshakeUrlParts;
use crate::types::keys::{JwtClaims, PublicKeyForms};

/// Twelve or more words that give all keys of a person.
#[napi]
pub struct Mnemonic(identity::Mnemonic);

#[napi]
impl Mnemonic {
    /// Twelve new words.
    #[napi(factory)]
    #[must_use]
    pub fn generate() -> Self {
        Self(identity::Mnemonic::generate(&Env::system()))
    }

    /// Reads 12, 15, 18, 21 or 24 English words.
    #[napi(factory)]
    pub fn parse(words: String) -> Result<Self> {
        limits::text("the mnemonic", &words, limits::MNEMONIC)?;
        Ok(Self(identity::Mnemonic::parse(&words).map_err(failed)?))
    }

    /// The words, for the person who must write them down.
    #[napi]
    #[must_use]
    pub fn words(&self) -> String {
        self.0.words().expose().clone()
    }

    /// The Nostr key, by NIP-06.
    #[napi]
    pub fn keypair(&self) -> Result<Keypair> {
        Ok(Keypair(self.0.keypair().map_err(failed)?))
    }

    /// The seed of the Cashu wallet: 32 bytes.
    #[napi]
    pub fn derive_cashu(&self) -> Result<Buffer> {
        Ok(self.0.derive_cashu().map_err(failed)?.expose().to_vec().into())
    }
}

/// A secret key and its public key.
#[napi]
pub struct Keypair(LocalKey);

impl Keypair {
    pub(crate) fn key(&self) -> LocalKey {
        self.0.clone()
    }
}

#[napi]
impl Keypair {
    /// A new random key.
    #[napi(factory)]
    #[must_use]
    pub fn generate() -> Self {
        Self(LocalKey::generate(&Env::system()))
    }

    /// Reads an nsec or 64 hex digits.
    #[napi(factory)]
    pub fn parse(secret: String) -> Result<Self> {
        limits::text("the secret key", &secret, limits::KEY)?;
        Ok(Self(LocalKey::parse(&secret).map_err(failed)?))
    }

    /// The public key.
    #[napi]
    #[must_use]
    pub fn public_key(&self) -> PublicKeyForms {
        self.0.public_key().into()
    }

    /// The secret as an nsec, for a person who wants to keep it.
    #[napi]
    #[must_use]
    pub fn nsec(&self) -> String {
        self.0.nsec().expose().clone()
    }

    /// The seed of the Cashu wallet of a person who has no mnemonic: 32 bytes.
    #[napi]
    #[must_use]
    pub fn derive_cashu(&self) -> Buffer {
        self.0.derive_cashu().expose().to_vec().into()
    }

    /// Makes a session token (JWT, ES256K) for the service with this key.
    #[napi]
    pub fn issue_jwt(&self, target_key: String, lifetime_seconds: i64) -> Result<String> {
        let lifetime = u64::try_from(lifetime_seconds).ok();
        let Some(lifetime) =
            lifetime.filter(|_| (1..=limits::LIFETIME).contains(&lifetime_seconds))
        else {
            return Err(invalid("the lifetime must be from one second to ten years"));
        };
        let target = public_key(&target_key)?;
        let lifetime = Duration::from_secs(lifetime);
        let token = token::issue(&self.0, target, Env::system().now(), lifetime);
        Ok(token.map_err(failed)?.expose().clone())
    }
}

/// Checks signature and time of a session token that the owner of this key made.
#[napi]
pub fn verify_jwt(issuer_key: String, token: String) -> Result<JwtClaims> {
    limits::text("the token", &token, limits::TOKEN)?;
    let issuer = public_key(&issuer_key)?;
    Ok(token::verify(&issuer, &token, Env::system().now()).map_err(failed)?.into())
}

/// Reads a public key as an npub or 64 hex digits, and gives all its forms.
#[napi]
pub fn parse_public_key(text: String) -> Result<PublicKeyForms> {
    Ok(public_key(&text)?.into())
}

/// Reads a `portal://` URL, for example to show whose it is before it is opened.
#[napi]
pub fn parse_handshake_url(url: String) -> Result<HandshakeUrlParts> {
    limits::text("the URL", &url, limits::URL)?;
    let url: KeyHandshakeUrl = url.parse().map_err(failed)?;
    Ok(url.into())
}

/// A public key that came in, in whatever form.
pub(crate) fn public_key(text: &str) -> Result<PublicKey> {
    limits::text("the public key", text, limits::KEY)?;
    let invalid = || failed(portal_core::Error::InvalidPublicKey);
    let key = PublicKey::parse(text).map_err(|_| invalid())?;
    key.xonly().map_err(|_| invalid())?;
    Ok(key)
}
