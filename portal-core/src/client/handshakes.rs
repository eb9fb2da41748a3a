//! Opening the URLs of services.

use std::time::Duration;

use crate::conversation::send::Send;
use crate::conversation::{Conversation, Via};
use crate::driver::{Node, Opening};
use crate::error::Error;
use crate::event::PortalEvent;
use crate::protocol::handshake::{ClientInfo, KeyHandshake, KeyHandshakeUrl};
use crate::protocol::kinds;
use crate::relay::{AddressPolicy, RelayAddress};
use crate::service::await_delivery;

/// How long the handshake may take to reach one of the service's relays.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the service's relays stay connected for what follows.
const AFTERWARDS: Duration = Duration::from_secs(600);
/// The most relays of a URL that are used.
const MOST_RELAYS: usize = 5;

/// Opening the URLs of services.
#[derive(Clone, Copy)]
pub struct Handshakes<'a>(pub(super) &'a Node);

impl Handshakes<'_> {
    /// Tells the service of a URL who we are, and where we listen. Returns when one of the URL's
    /// relays has the message.
    ///
    /// # Errors
    /// When the URL is malformed, names no relay that may be used, or none of them takes the
    /// message within a minute.
    ///
    /// # Cancel safety
    /// The message may be sent also when the future is dropped.
    pub async fn send(&self, url: &str, client: ClientInfo) -> Result<KeyHandshakeUrl, Error> {
        let url: KeyHandshakeUrl = url.parse()?;
        let node = self.0;
        let relays = usable(&url, *node.policy(), &node.own_relays())?;
        for relay in &relays {
            // Held longer than the message needs: the request that follows comes this way. When
            // no more can be held the others still carry it.
            if node.pool().lease(relay.clone(), AFTERWARDS).is_err() {
                tracing::debug!("no more relays can be held");
            }
        }
        let message = KeyHandshake {
            token: url.token().to_owned(),
            client_info: client,
            preferred_relays: node
                .own_relays()
                .iter()
                .map(|relay| relay.as_str().to_owned())
                .collect(),
        };
        let sent_at = node.env().now();
        let to = url.send_to();
        let mut recipients = vec![to];
        if url.main_key() != to {
            // Named in the `p` tags only: the service reads it with the subkey.
            recipients.truncate(1);
        }
        let send = Send {
            kind: kinds::KEY_HANDSHAKE,
            recipients,
            message: crate::service::json(&message),
            via: Via::Only(relays.iter().map(|relay| relay.as_str().to_owned()).collect()),
            sent_at,
            expires_at: sent_at.saturating_add(PATIENCE),
            refused: Vec::new(),
            queued: false,
            done_until: None,
        };
        let stream = node.open(Opening::of(Conversation::Send(Box::new(send)))).await?;
        match await_delivery(node, stream).await? {
            PortalEvent::Delivery { delivered, .. } if !delivered.is_empty() => Ok(url),
            PortalEvent::Delivery { refused, .. } => {
                let reason = refused.into_iter().next().map(|(_, reason)| reason);
                Err(Error::Refused { reason: reason.unwrap_or_default() })
            }
            _ => Err(Error::NotDelivered),
        }
    }
}

/// The relays of a URL that may be used, without repetitions. Our own may be anywhere.
fn usable(
    url: &KeyHandshakeUrl,
    policy: AddressPolicy,
    own: &[RelayAddress],
) -> Result<Vec<RelayAddress>, Error> {
    let mut relays: Vec<RelayAddress> = Vec::new();
    let mut refused = None;
    for text in url.relays() {
        match RelayAddress::parse(text) {
            Ok(relay) if relays.contains(&relay) => {}
            Ok(relay) if relays.len() < MOST_RELAYS => match policy.allows(&relay) {
                Ok(()) => relays.push(relay),
                Err(_) if own.contains(&relay) => relays.push(relay),
                Err(error) => refused = Some(error),
            },
            Ok(_) => {}
            Err(error) => refused = Some(error),
        }
    }
    match (relays.is_empty(), refused) {
        (false, _) => Ok(relays),
        (true, Some(error)) => Err(error.into()),
        (true, None) => Err(Error::NoRelay),
    }
}
