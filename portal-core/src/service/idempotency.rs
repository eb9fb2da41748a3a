//! Answers of commands that are done at once, kept by idempotency key.

use super::Idempotency;
use crate::driver::{Claim, Node};
use crate::error::Error;
use crate::storage::{IdempotencyRecord, Write, commit};

/// Answers by idempotency key.
#[derive(Clone, Copy)]
pub struct Answers<'a>(pub(super) &'a Node);

impl Answers<'_> {
    /// Does the work once for a key: the first caller does it, everyone else, also at the same
    /// time or after a restart, gets the saved answer. An error is not saved: the next caller
    /// tries again.
    ///
    /// # Errors
    /// [`Error::IdempotencyConflict`] when the key was used with another command, what the store
    /// says, or what `work` says.
    ///
    /// # Cancel safety
    /// As that of `work`; the answer is not saved when the future is dropped before.
    pub async fn once<E, F>(
        &self,
        idempotency: Idempotency,
        work: impl FnOnce() -> F,
    ) -> Result<String, E>
    where
        E: From<Error>,
        F: Future<Output = Result<String, E>>,
    {
        let store = self.0.store();
        let Idempotency { key, command_hash } = idempotency;
        let claim = self.0.claims().claim(store, &key, command_hash).await.map_err(Error::from)?;
        match claim {
            Claim::Conflict => Err(Error::IdempotencyConflict.into()),
            Claim::Used(record) => record.answer.ok_or_else(|| Error::IdempotencyConflict.into()),
            Claim::Mine(guard) => {
                let answer = work().await?;
                let record = IdempotencyRecord {
                    key,
                    command_hash,
                    stream: None,
                    answer: Some(answer.clone()),
                    at: self.0.env().now(),
                };
                commit(store, vec![Write::PutIdempotency(record)]).await.map_err(Error::from)?;
                drop(guard);
                Ok(answer)
            }
        }
    }
}
