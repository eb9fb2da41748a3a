//! Secrets in memory: gone with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{KeyStore, KeyStoreError};
use crate::primitives::Secret;

/// Keeps secrets of any name until it is dropped.
#[derive(Default)]
pub struct MemoryKeyStore {
    secrets: Mutex<HashMap<String, Secret<Vec<u8>>>>,
}

impl MemoryKeyStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn secrets(&self) -> MutexGuard<'_, HashMap<String, Secret<Vec<u8>>>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn load(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>, KeyStoreError> {
        Ok(self.secrets().get(name).cloned())
    }

    async fn store(&self, name: &str, secret: Secret<Vec<u8>>) -> Result<(), KeyStoreError> {
        self.secrets().insert(name.to_owned(), secret);
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), KeyStoreError> {
        self.secrets().remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keystore::suite;

    #[tokio::test]
    async fn keeps_its_word_as_a_keystore() {
        suite::one_name(&MemoryKeyStore::new(), super::super::NOSTR).await;
        suite::independent_names(&MemoryKeyStore::new()).await;
    }
}
