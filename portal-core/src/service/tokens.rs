//! Session tokens: JWTs signed with Nostr keys (ES256K).

use std::time::Duration;

use nostr::PublicKey;

use crate::driver::Node;
use crate::error::Error;
use crate::identity::token::{self, Claims};
use crate::primitives::Secret;

/// Session tokens.
#[derive(Clone, Copy)]
pub struct Tokens<'a>(pub(crate) &'a Node);

impl Tokens<'_> {
    /// Makes a token for `target`, signed with our key.
    ///
    /// # Errors
    /// When the lifetime is out of range.
    pub fn issue(&self, target: PublicKey, lifetime: Duration) -> Result<Secret<String>, Error> {
        Ok(token::issue(self.0.key(), target, self.0.env().now(), lifetime)?)
    }

    /// Checks signature and time of a token that `issuer` made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, issuer: PublicKey, text: &str) -> Result<Claims, Error> {
        Ok(token::verify(&issuer, text, self.0.env().now())?)
    }
}
