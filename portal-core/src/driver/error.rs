//! Why the driver did not do as told.

use crate::protocol::envelope::MAX_PLAINTEXT_BYTES;
use crate::storage::StorageError;

/// Why the node did not do as told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NodeError {
    /// It has stopped.
    #[error("the service is stopping")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The request is over.
    #[error("the request is over")]
    Over,
    /// A bound is reached.
    #[error("the request was answered too often")]
    TooMany,
    /// There is no room for more of what strangers can have opened.
    #[error("too many invoices are open that anybody may pay")]
    Full,
    /// People who open the URL of this static token could be taken for those of another one.
    #[error("in a URL this static token reads like another one that is in use")]
    MistakableToken,
    /// The conversation has failed inside.
    #[error("the conversation has failed inside")]
    Fault,
    /// The message does not fit an event.
    #[error("the message is longer than {MAX_PLAINTEXT_BYTES} bytes")]
    TooLarge,
}
