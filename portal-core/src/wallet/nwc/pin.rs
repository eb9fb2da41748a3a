//! The cipher of each connection, kept between runs: what was once agreed on is never given up
//! because a relay has lost the event that says so.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::cipher::Cipher;
use super::uri::{NwcUri, NwcUriError};
use crate::storage::{StorageError, Store, Write};

/// Why a link could not be taken into use.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The link.
    #[error(transparent)]
    Link(#[from] NwcUriError),
    /// The store that remembers the cipher.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The place of one connection's cipher in a store.
pub(super) struct Pin {
    store: Arc<dyn Store>,
    name: String,
}

impl Pin {
    /// The place for this link. Its name tells nothing about the link.
    pub(super) fn new(store: Arc<dyn Store>, uri: &NwcUri) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"portal nwc cipher");
        hash.update(uri.wallet.as_bytes());
        hash.update(uri.secret.expose());
        let name = format!("nwc.cipher.{}", hex::encode(&hash.finalize()[..16]));
        Self { store, name }
    }

    /// The name in the store.
    #[cfg(test)]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What was agreed on. A value that cannot be read is the better cipher: never the worse one
    /// by accident.
    pub(super) async fn load(&self) -> Result<Option<Cipher>, StorageError> {
        let value = self.store.setting(&self.name).await?;
        Ok(value.map(|value| {
            let old = value == Cipher::Nip04.as_str().as_bytes();
            if old { Cipher::Nip04 } else { Cipher::Nip44 }
        }))
    }

    /// Keeps what was agreed on. Nobody waits for it: the next run agrees on it again if it is
    /// lost.
    pub(super) fn save(&self, cipher: Cipher) {
        let write = Write::PutSetting {
            name: self.name.clone(),
            value: cipher.as_str().as_bytes().to_vec(),
        };
        let done = |result: Result<(), StorageError>| {
            if let Err(error) = result {
                tracing::debug!(%error, "the cipher of the wallet link was not kept");
            }
        };
        self.store.commit(vec![write], Box::new(done));
    }
}
