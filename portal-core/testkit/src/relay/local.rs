//! A relay that we did not write, for tests against somebody else's reading of the protocol.

use std::sync::Arc;
use std::time::Duration;

use nostr_relay_builder::RelayBuilder;
use nostr_relay_builder::builder::{RateLimit, RelayBuilderNip42};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::RelayError;
use super::listener::Listener;

/// How long a client may take for the WebSocket handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The relay of the `nostr-relay-builder` crate on loopback, practically without rate limits.
pub struct LocalRelay {
    listener: Listener,
}

impl LocalRelay {
    /// Starts a relay.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> Result<Self, RelayError> {
        Self::run(RelayBuilder::default()).await
    }

    /// Starts a relay that wants NIP-42 authentication for reading and writing.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start_with_authentication() -> Result<Self, RelayError> {
        Self::run(RelayBuilder::default().nip42(RelayBuilderNip42::default())).await
    }

    async fn run(builder: RelayBuilder) -> Result<Self, RelayError> {
        // Its own default is 60 events a minute.
        let limits = RateLimit { max_reqs: 100_000, notes_per_minute: 100_000_000 };
        let relay = Arc::new(nostr_relay_builder::LocalRelay::new(builder.rate_limit(limits)));
        // Its own listener chooses random ports and may miss its shutdown; this one does neither.
        let listener = Listener::start(move |stream, peer| {
            let relay = relay.clone();
            async move {
                let config = WebSocketConfig::default().read_buffer_size(4096);
                let accepting = tokio_tungstenite::accept_async_with_config(stream, Some(config));
                // Nothing is lost in between: a client speaks only once it has the answer.
                let Ok(Ok(socket)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await
                else {
                    return;
                };
                if let Err(error) = relay.take_connection(socket.into_inner(), peer).await {
                    tracing::debug!(%error, "a connection to the local relay ended");
                }
            }
        })
        .await?;
        Ok(Self { listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.listener.address())
    }

    /// Ends all connections and refuses new ones; what is stored stays.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn restart(&self) -> Result<(), RelayError> {
        Ok(self.listener.restart().await?)
    }
}
