//! One socket to a mint (NUT-17): it subscribes to what becomes of proofs and reads what is said.
//!
//! The mint may be anybody: a message is bounded by the connection, their number by what was
//! subscribed to, and silence is ended by a ping that nobody answers.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::{CashuError, MintAddress};
use crate::relay::nostr::{Socket, dial};
use crate::relay::{AddressPolicy, RelayAddress};
use crate::storage::sqlite::tickets::Y;

/// The most proofs of one subscription.
const AT_ONCE: usize = 100;
/// How long a socket may be silent before it is asked whether it is there, and then again.
const SILENCE: Duration = Duration::from_secs(45);
/// How long the connection may refuse to take a message.
const WRITING: Duration = Duration::from_secs(10);
/// What a mint may say that nobody asked for.
const SMALL_TALK: usize = 1000;
/// How often a mint may speak of each proof: it is unspent, pending, and spent.
const WORDS: usize = 8;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This proof is spent.
    Spent(Y),
    /// Something else.
    Other,
    /// The mint does not want what it was asked.
    Refused,
}

/// A socket to a mint.
pub(super) struct MintSocket {
    socket: Socket,
    asked: u64,
    /// How many more messages are read.
    left: usize,
    heard_at: Instant,
    pinged: bool,
}

impl MintSocket {
    /// Connects to a mint.
    pub(super) async fn open(
        mint: &MintAddress,
        policy: AddressPolicy,
        limit: Duration,
    ) -> Result<Self, CashuError> {
        let url = mint.route(&["v1", "ws"])?;
        // `http` becomes `ws`, and `https` `wss`.
        let address = url.as_str().replacen("http", "ws", 1);
        let address = RelayAddress::parse(&address).map_err(CashuError::ForbiddenMint)?;
        let socket = timeout(limit, dial(&address, policy))
            .await
            .map_err(|_| CashuError::Unreachable)?
            .map_err(|error| {
                tracing::debug!(%error, "no socket to a mint");
                CashuError::Unreachable
            })?;
        let heard_at = Instant::now();
        Ok(Self { socket, asked: 0, left: SMALL_TALK, heard_at, pinged: false })
    }

    /// Asks to be told what becomes of these proofs.
    pub(super) async fn subscribe(&mut self, names: &[Y]) -> Result<(), CashuError> {
        for some in names.chunks(AT_ONCE) {
            self.asked = self.asked.saturating_add(1);
            self.left = self.left.saturating_add(some.len().saturating_mul(WORDS));
            let filters: Vec<String> = some.iter().map(hex::encode).collect();
            let asked = json!({
                "jsonrpc": "2.0",
                "id": self.asked,
                "method": "subscribe",
                "params": {
                    "kind": "proof_state",
                    "subId": format!("tickets-{}", self.asked),
                    "filters": filters,
                },
            });
            self.write(Message::text(asked.to_string())).await?;
        }
        Ok(())
    }

    /// What is said next. Fails when the connection is gone.
    ///
    /// # Cancel safety
    /// Nothing that was said is lost.
    pub(super) async fn hear(&mut self) -> Result<Said, CashuError> {
        loop {
            let patience = SILENCE.saturating_sub(self.heard_at.elapsed());
            match timeout(patience, self.socket.next()).await {
                Ok(Some(Ok(message))) => {
                    self.heard_at = Instant::now();
                    self.pinged = false;
                    self.left = self
                        .left
                        .checked_sub(1)
                        .ok_or(CashuError::BadAnswer { reason: "it says too much" })?;
                    if let Message::Text(text) = message {
                        return Ok(read(&text));
                    }
                }
                Ok(Some(Err(_)) | None) => return Err(CashuError::Unreachable),
                Err(_) if self.pinged => return Err(CashuError::Unreachable),
                Err(_) => {
                    self.pinged = true;
                    self.heard_at = Instant::now();
                    self.write(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    async fn write(&mut self, message: Message) -> Result<(), CashuError> {
        match timeout(WRITING, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(CashuError::Unreachable),
        }
    }
}

fn read(text: &str) -> Said {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Said::Other };
    if value.get("error").is_some_and(|error| !error.is_null()) {
        return Said::Refused;
    }
    let payload = value.pointer("/params/payload");
    let text = |name| payload.and_then(|payload| payload.get(name)?.as_str());
    let mut y = [0; 33];
    match (text("Y"), text("state")) {
        (Some(name), Some("SPENT")) if hex::decode_to_slice(name, &mut y).is_ok() => Said::Spent(y),
        _ => Said::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proof_that_is_spent_is_news() {
        let y = [2; 33];
        let told = |payload: Value| {
            read(
                &json!({"method": "subscribe", "params": {"subId": "s", "payload": payload}})
                    .to_string(),
            )
        };
        assert_eq!(told(json!({"Y": hex::encode(y), "state": "SPENT"})), Said::Spent(y));
        assert_eq!(told(json!({"Y": hex::encode(y), "state": "PENDING"})), Said::Other);
        assert_eq!(told(json!({"Y": "0202", "state": "SPENT"})), Said::Other);
        assert_eq!(told(json!({"Y": 2, "state": "SPENT"})), Said::Other);
        assert_eq!(told(json!({"quote": "q", "state": "PAID"})), Said::Other);
        assert_eq!(read(r#"{"id":1,"result":{"status":"OK","subId":"s"}}"#), Said::Other);
        assert_eq!(read(r#"{"id":1,"error":{"code":-32602,"message":"no"}}"#), Said::Refused);
        assert_eq!(read("{"), Said::Other);
        assert_eq!(read(&"[".repeat(100_000)), Said::Other);
    }
}
