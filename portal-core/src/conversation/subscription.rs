//! Who may close a subscription (kind 28007): the one who confirmed it.
//!
//! ```text
//!   Active ──close by its owner──▶ (ended; the close appears on the stream of closes)
//!   Active ──close by anyone else──▶ Active, ignored
//! ```
//!
//! A close of a subscription that was never confirmed here (it may be older than this database)
//! is passed on with the author's key, and the merchant compares.

use serde::{Deserialize, Serialize};

use super::peer::Peer;
use crate::event::PortalEvent;
use crate::protocol::envelope::{Opened, Refusal};
use crate::protocol::subscription::CloseRecurringPayment;

/// A subscription that a person confirmed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Chosen by the person's wallet.
    pub subscription_id: String,
    /// Who confirmed it.
    pub owner: Peer,
}

impl Subscription {
    /// Someone closes it.
    ///
    /// # Errors
    /// [`Refusal::WrongAuthor`] when it is not theirs.
    pub fn close(
        &self,
        opened: &Opened,
        message: CloseRecurringPayment,
    ) -> Result<PortalEvent, Refusal> {
        if message.subscription_id != self.subscription_id || !self.owner.knows(&opened.author) {
            return Err(Refusal::WrongAuthor);
        }
        Ok(closed(opened, message, self.owner.main_key))
    }
}

/// A close of a subscription nobody here knows.
pub fn close_unknown(opened: &Opened, message: CloseRecurringPayment) -> PortalEvent {
    let author = opened.author;
    closed(opened, message, author)
}

fn closed(
    opened: &Opened,
    message: CloseRecurringPayment,
    main_key: nostr::PublicKey,
) -> PortalEvent {
    PortalEvent::ClosedRecurringPayment {
        reason: message.reason,
        subscription_id: message.subscription_id,
        recipient: opened.author,
        main_key,
    }
}
