//! What the scheduler needs from the world: somebody who asks for money.

use async_trait::async_trait;
use nostr::PublicKey;

use crate::primitives::{RequestId, StreamId};
use crate::protocol::Currency;
use crate::storage::{StorageError, Write};

/// A payment to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeOrder {
    /// The subscription's own stream.
    pub schedule: StreamId,
    /// The stream that the payment gets.
    pub payment: StreamId,
    /// The request's id: the same one for the same attempt, always.
    pub request_id: RequestId,
    /// Who pays.
    pub owner: PublicKey,
    /// Their subkeys.
    pub subkeys: Vec<PublicKey>,
    /// What the person's wallet calls the subscription.
    pub subscription_id: String,
    /// How much, in the unit.
    pub amount: u64,
    /// The unit; it is turned into millisatoshi now, at the time of the charge.
    pub currency: Currency,
    /// What it is for.
    pub description: Option<String>,
    /// Opaque.
    pub auth_token: Option<String>,
}

/// A person to tell that a subscription is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// Who.
    pub owner: PublicKey,
    /// Their subkeys.
    pub subkeys: Vec<PublicKey>,
    /// Which.
    pub subscription_id: String,
}

/// Who asks people for money, and saves.
///
/// The writes of a call are saved with what it does in one batch, or nothing is done; listeners
/// hear of the events among them once they are durable.
#[async_trait]
pub trait Till: Send + Sync {
    /// Asks a person to pay. What happens then is told to [`Scheduler::told`].
    ///
    /// [`Scheduler::told`]: super::Scheduler::told
    async fn charge(&self, order: ChargeOrder, writes: Vec<Write>) -> Result<(), TillError>;

    /// Tells a person that a subscription is over. The stream of the message.
    async fn goodbye(&self, to: Goodbye, writes: Vec<Write>) -> Result<StreamId, TillError>;

    /// Only saves.
    async fn save(&self, writes: Vec<Write>) -> Result<(), TillError>;
}

/// Why somebody was not asked, or nothing was saved.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TillError {
    /// Nobody can be asked for now: the wallet cannot be reached.
    #[error("nobody can be asked to pay now: {reason}")]
    Unavailable {
        /// For people.
        reason: String,
    },
    /// This person cannot be asked for this now.
    #[error("the person cannot be asked to pay: {reason}")]
    Refused {
        /// For people.
        reason: String,
    },
    /// The store failed; a conflict says that somebody else was faster.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
