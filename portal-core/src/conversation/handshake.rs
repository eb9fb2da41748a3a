//! The service's side of the key handshake (kind 27010): waiting for people to open a URL.
//!
//! ```text
//!   one-time:  Waiting ──first person──▶ (ended)      Waiting ──deadline──▶ (ended, `timeout`)
//!   static:    Waiting ──each person──▶ Waiting       … ──revoked──▶ (ended)
//! ```

use serde::{Deserialize, Serialize};

use super::peer::Peer;
use crate::event::PortalEvent;
use crate::primitives::Timestamp;
use crate::protocol::envelope::{Opened, Refusal};
use crate::protocol::handshake::KeyHandshake;

/// How long the relays of someone who opened a URL are kept open for what follows.
const AFTERWARDS_SECS: u64 = 600;

/// Waits for people to open a handshake URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handshake {
    /// The token as it stands in the URL.
    pub token: Box<str>,
    /// The token before it was percent-encoded, when that differs: deployed apps echo either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_token: Option<Box<str>>,
    /// Whether the flag `no_request` is in the URL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_request: bool,
    /// The relays in the URL of a static token, which is printed and must not change. None were
    /// kept with the first ones, nor are they for a one-time URL, which is kept as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<Box<str>>,
    /// When a one-time URL ends; `None` for a static token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Someone opened the URL.
#[derive(Debug, PartialEq)]
pub struct Met {
    /// For the stream.
    pub event: PortalEvent,
    /// Who, and where they listen.
    pub peer: Peer,
    /// Their relays are needed until then.
    pub connect_until: Timestamp,
    /// Whether the URL has done its work.
    pub ends: bool,
}

impl Handshake {
    /// Someone sent the token.
    ///
    /// # Errors
    /// [`Refusal::Unexpected`] for another token, [`Refusal::Expired`] after the deadline.
    pub fn receive(
        &self,
        opened: &Opened,
        message: &KeyHandshake,
        now: Timestamp,
    ) -> Result<Met, Refusal> {
        if !self.echoes().any(|echo| echo == message.token) {
            return Err(Refusal::Unexpected);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::Expired);
        }
        let peer = Peer::new(opened.author)
            .with_relays(message.preferred_relays.iter().map(String::as_str));
        Ok(Met {
            event: PortalEvent::KeyHandshake {
                main_key: opened.author,
                preferred_relays: peer.relays.clone(),
            },
            connect_until: Timestamp::from_secs(now.as_secs().saturating_add(AFTERWARDS_SECS)),
            peer,
            ends: self.expires_at.is_some(),
        })
    }

    /// What the wallet of someone who opens the URL may send: the token as it stands there, or
    /// decoded.
    pub fn echoes(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.token).chain(self.plain_token.as_deref())
    }

    /// The token as it was before it was put into a URL.
    #[must_use]
    pub fn given_token(&self) -> &str {
        self.plain_token.as_deref().unwrap_or(&self.token)
    }

    /// Whether people may open it again and again.
    #[must_use]
    pub const fn is_static(&self) -> bool {
        self.expires_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_before_relays_were_kept_is_read() {
        let stored = r#"{"token":"table%207","plain_token":"table 7"}"#;
        let handshake: Handshake = serde_json::from_str(stored).expect("readable");
        assert!(handshake.is_static() && handshake.relays.is_empty());
        assert_eq!(serde_json::to_string(&handshake).expect("text"), stored);
    }
}
