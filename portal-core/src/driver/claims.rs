//! Idempotency: one key, one effect, also when a thousand callers come at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::storage::{IdempotencyRecord, StorageError, Store};

/// Keys that are being used now.
#[derive(Debug, Default)]
pub struct Claims {
    busy: Arc<Mutex<HashMap<String, watch::Receiver<()>>>>,
}

/// What a key stands for.
#[derive(Debug)]
pub enum Claim {
    /// Nobody used it: do the work, save the record with it, then drop the guard.
    Mine(ClaimGuard),
    /// It was used before with the same command.
    Used(IdempotencyRecord),
    /// It was used before with another command.
    Conflict,
}

/// Holds a key until the work is done; others wait for that.
#[derive(Debug)]
pub struct ClaimGuard {
    key: String,
    busy: Arc<Mutex<HashMap<String, watch::Receiver<()>>>>,
    _done: watch::Sender<()>,
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Claims {
    /// Claims a key, waiting for whoever is using it now.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is claimed when the future is dropped.
    pub async fn claim(
        &self,
        store: &dyn Store,
        key: &str,
        command_hash: [u8; 32],
    ) -> Result<Claim, StorageError> {
        // Keys that callers choose must not meet those that we hold for ourselves.
        let guard = self.exclusive(&format!("call/{key}")).await;
        Ok(match store.idempotency(key).await? {
            None => Claim::Mine(guard),
            Some(record) if record.command_hash == command_hash => Claim::Used(record),
            Some(_) => Claim::Conflict,
        })
    }

    /// Holds a key alone, waiting for whoever holds it now. Nothing is saved.
    ///
    /// # Cancel safety
    /// Nothing is held when the future is dropped.
    pub async fn exclusive(&self, key: &str) -> ClaimGuard {
        loop {
            let mut receiver = {
                let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
                match busy.get(key) {
                    Some(receiver) => receiver.clone(),
                    None => {
                        let (sender, receiver) = watch::channel(());
                        busy.insert(key.to_owned(), receiver);
                        let busy = self.busy.clone();
                        return ClaimGuard { key: key.to_owned(), busy, _done: sender };
                    }
                }
            };
            // Ends with an error when the guard is dropped, which is what is waited for.
            while receiver.changed().await.is_ok() {}
        }
    }
}
