//! Payments that came, what of them was given back, and what was spent.

use async_trait::async_trait;
use nostr::PublicKey;

use super::StorageError;
use crate::conversation::refund::RefundState;
use crate::primitives::{Millisats, StreamId, Timestamp};

/// A payment that the wallet says has come. Kept for as long as it may be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedRecord {
    /// The stream of the request.
    pub stream: StreamId,
    /// Who was asked for it.
    pub main_key: PublicKey,
    /// The payment hash, 32 bytes.
    pub payment_hash: [u8; 32],
    /// What came, as the wallet said.
    pub amount: Millisats,
    /// The request as it was sent, JSON.
    pub request: String,
    /// When the wallet said so.
    pub at: Timestamp,
}

/// A refund: counted against its payment from the moment it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRecord {
    /// Its own stream.
    pub stream: StreamId,
    /// The stream of the payment.
    pub payment: StreamId,
    /// How much is given back.
    pub amount: Millisats,
    /// Where it stands.
    pub state: RefundState,
    /// When it was asked for.
    pub at: Timestamp,
}

/// What was spent since some moment, with what may still be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Altogether.
    pub total: Millisats,
    /// On one payee.
    pub on_payee: Millisats,
}

impl Spent {
    /// Adds a payment; a sum that no longer fits stays at the most there is.
    #[must_use]
    pub fn with(self, spent: Millisats, on_payee: bool) -> Self {
        let most = Millisats::new(u64::MAX);
        let add = |sum: Millisats| sum.checked_add(spent).unwrap_or(most);
        Self {
            total: add(self.total),
            on_payee: if on_payee { add(self.on_payee) } else { self.on_payee },
        }
    }
}

/// Payments that came, refunds, and sums of what left.
#[async_trait]
pub trait PaymentStore: Send + Sync {
    /// The payment that came for the request on this stream.
    async fn received(&self, stream: StreamId) -> Result<Option<ReceivedRecord>, StorageError>;

    /// The refunds of the payment on this stream, in the order of their streams.
    async fn refunds(&self, payment: StreamId) -> Result<Vec<RefundRecord>, StorageError>;

    /// What outgoing payments that were asked for at `since` or later have cost or may cost.
    async fn spent_since(
        &self,
        since: Timestamp,
        payee: Option<[u8; 33]>,
    ) -> Result<Spent, StorageError>;
}
