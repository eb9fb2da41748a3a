//! One at a time for each payment hash: paying and asking what became of it must not meet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The payment hashes that somebody works on.
#[derive(Debug, Default)]
pub(super) struct Busy {
    locks: Arc<Mutex<HashMap<[u8; 32], Lock>>>,
}

/// Held while one payment hash is worked on.
#[derive(Debug)]
pub(super) struct Held {
    hash: [u8; 32],
    lock: Lock,
    locks: Arc<Mutex<HashMap<[u8; 32], Lock>>>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Busy {
    /// Waits until nobody works on this one.
    ///
    /// # Cancel safety
    /// Nothing is held when the future is dropped.
    pub(super) async fn hold(&self, hash: [u8; 32]) -> Held {
        let mut held = self.place(hash);
        held.guard = Some(held.lock.clone().lock_owned().await);
        held
    }

    /// The same, or `None` at once when somebody does.
    pub(super) fn try_hold(&self, hash: [u8; 32]) -> Option<Held> {
        let mut held = self.place(hash);
        held.guard = Some(held.lock.clone().try_lock_owned().ok()?);
        Some(held)
    }

    fn place(&self, hash: [u8; 32]) -> Held {
        let lock = lock(&self.locks).entry(hash).or_default().clone();
        Held { hash, lock, locks: self.locks.clone(), guard: None }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = lock(&self.locks);
        // The table's and ours: nobody else waits for it.
        if locks.get(&self.hash).is_some_and(|entry| Arc::strong_count(entry) <= 2) {
            locks.remove(&self.hash);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_kept() {
        let busy = Busy::default();
        let first = busy.hold([1; 32]).await;
        assert!(busy.try_hold([1; 32]).is_none());
        assert!(busy.try_hold([2; 32]).is_some(), "another one is free");
        let mut waiting = Box::pin(busy.hold([1; 32]));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        let second = waiting.await;
        assert!(busy.try_hold([1; 32]).is_none());
        // Whoever gave up waiting leaves nothing behind.
        let mut gone = Box::pin(busy.hold([1; 32]));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        drop(second);
        assert!(lock(&busy.locks).is_empty());
    }
}
