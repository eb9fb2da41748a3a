//! The callback of a batch, kept so that it runs exactly once whatever happens around it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Done, StorageError};

/// Runs its [`Done`] once: with the outcome, or with [`StorageError::Closed`] when it is dropped
/// before there was one. A panic of the callback ends here.
pub(super) struct Completion(Option<Done>);

impl Completion {
    pub(super) fn new(done: Done) -> Self {
        Self(Some(done))
    }

    pub(super) fn finish(mut self, outcome: Result<(), StorageError>) {
        self.run(outcome);
    }

    /// Drops the callback without running it, as the death of the process would.
    #[cfg(feature = "testing")]
    pub(super) fn forget(mut self) {
        self.0 = None;
    }

    fn run(&mut self, outcome: Result<(), StorageError>) {
        let Some(done) = self.0.take() else { return };
        if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
            tracing::error!("a callback of the store panicked");
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.run(Err(StorageError::Closed));
    }
}
