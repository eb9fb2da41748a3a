//! Keys and session tokens.

use napi_derive::napi;
use portal_core::PublicKey;
use portal_core::identity::token::Claims;
use portal_core::protocol::handshake::npub;

use super::seconds;

/// A public key in its forms. Calls take either, and give hex.
#[napi(object)]
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
#[napi(object)]
pub struct JwtClaims {
    /// The key of the service that it is for.
    pub target_key: String,
    /// When it ends.
    pub expires_at: i64,
    /// When it begins, if it says.
    pub not_before: Option<i64>,
    /// When it was made, if it says.
    pub issued_at: Option<i64>,
}

impl From<Claims> for JwtClaims {
    fn from(claims: Claims) -> Self {
        let Claims { target, expires_at, not_before, issued_at } = claims;
        Self {
            target_key: target.to_hex(),
            expires_at: seconds(expires_at),
            not_before: not_before.map(seconds),
            issued_at: issued_at.map(seconds),
        }
    }
}
