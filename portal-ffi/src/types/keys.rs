//! Keys and session tokens.

use portal_core::PublicKey;
use portal_core::identity::token::Claims;
use portal_core::protocol::handshake::npub;

/// A public key in its forms. Calls take either, and give hex.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PublicKeyForms {
    /// 64 hex digits.
    pub hex: String,
    /// For people.
    pub npub: String,
}

impl From<PublicKey> for PublicKeyForms {
    fn from(key: PublicKey) -> Self {
        Self { hex: key.to_hex(), npub: npub(&key) }
    }
}

/// What a valid session token says. Moments are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct JwtClaims {
    /// The key of the service that it is for.
    pub target_key: String,
    /// When it ends.
    pub expires_at: u64,
    /// When it begins, if it says.
    pub not_before: Option<u64>,
    /// When it was made, if it says.
    pub issued_at: Option<u64>,
}

impl From<Claims> for JwtClaims {
    fn from(claims: Claims) -> Self {
        let Claims { target, expires_at, not_before, issued_at } = claims;
        Self {
            target_key: target.to_hex(),
            expires_at: expires_at.as_secs(),
            not_before: not_before.map(|moment| moment.as_secs()),
            issued_at: issued_at.map(|moment| moment.as_secs()),
        }
    }
}
