//! Ending a recurring payment from the person's side.

use nostr::PublicKey;

use crate::conversation::send::Send;
use crate::conversation::{Conversation, Via};
use crate::driver::{Node, Opening};
use crate::error::Error;
use crate::primitives::StreamId;
use crate::protocol::kinds;
use crate::protocol::subscription::CloseRecurringPayment;
use crate::service::{PATIENCE, json};

/// Recurring payments.
#[derive(Clone, Copy)]
pub struct Subscriptions<'a>(pub(super) &'a Node);

impl Subscriptions<'_> {
    /// Tells a service that a subscription is over. The stream ends with
    /// [`Delivery`](crate::event::PortalEvent::Delivery).
    ///
    /// # Errors
    /// When the key is no key, or nothing can be saved.
    ///
    /// # Cancel safety
    /// The message may be sent also when the future is dropped.
    pub async fn close(
        &self,
        service: PublicKey,
        subscription_id: String,
        reason: Option<String>,
    ) -> Result<StreamId, Error> {
        service.xonly().map_err(|_| Error::InvalidPublicKey)?;
        let peer = self.0.peer(service, []).await?;
        let message = CloseRecurringPayment { subscription_id, reason, by_service: false };
        let sent_at = self.0.env().now();
        let send = Send {
            kind: kinds::RECURRING_CLOSE,
            recipients: peer.keys(),
            message: json(&message),
            via: Via::Peer(peer.relays),
            sent_at,
            expires_at: sent_at.saturating_add(PATIENCE),
            refused: Vec::new(),
            queued: false,
            done_until: None,
        };
        Ok(self.0.open(Opening::of(Conversation::Send(Box::new(send)))).await?)
    }
}
