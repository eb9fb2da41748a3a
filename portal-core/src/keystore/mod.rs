//! The port to secrets at rest: the Nostr key, the mnemonic, the wallet connection.
//!
//! An app implements [`KeyStore`] over what its platform offers; [`memory`] keeps nothing,
//! [`mod@file`] keeps the Nostr key in an encrypted file. What a secret means, and how keys are
//! derived from it, is not decided here.

pub mod file;
pub mod memory;
#[cfg(feature = "testing")]
pub mod suite;
pub mod text;
pub mod words;

use std::sync::Arc;

use async_trait::async_trait;

use crate::primitives::Secret;

/// The name of the Nostr secret key: 32 bytes.
pub const NOSTR: &str = "nostr";
/// The name of the BIP-39 mnemonic: its words as UTF-8.
pub const MNEMONIC: &str = "mnemonic";
/// The name of the NWC connection: its URI as UTF-8.
pub const NWC: &str = "nwc";

/// Keeps secrets by name.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The secret with this name; `None` when there is none.
    async fn load(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>, KeyStoreError>;

    /// Keeps a secret in the place of the one that has this name. When it returns the secret is
    /// durable; when it fails the old one is still there.
    ///
    /// # Cancel safety
    /// The secret may be kept also when the future is dropped.
    async fn store(&self, name: &str, secret: Secret<Vec<u8>>) -> Result<(), KeyStoreError>;

    /// Forgets a secret. No error when it is not there.
    ///
    /// # Cancel safety
    /// The secret may be gone also when the future is dropped.
    async fn remove(&self, name: &str) -> Result<(), KeyStoreError>;
}

/// Why a secret was not given or kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyStoreError {
    /// The password is wrong; a damaged file looks the same.
    #[error("the key is locked: the password is wrong")]
    KeyLocked,
    /// The key is encrypted and there is no password.
    #[error("the key is encrypted and needs a password")]
    PasswordMissing,
    /// Neither hex, `nsec` nor `ncryptsec`, or not a key of the curve.
    #[error("not a secret key in hex, nsec or ncryptsec form")]
    InvalidKey,
    /// The key was encrypted at a cost outside what is allowed here.
    #[error("the key was encrypted with log_n {found}, allowed is {least} to {most}")]
    Cost {
        /// What was asked for.
        found: u8,
        /// The least that is safe.
        least: u8,
        /// The most that a usual machine can do.
        most: u8,
    },
    /// This store does not keep secrets of this name.
    #[error("this keystore does not keep such a secret")]
    NotKept,
    /// The file or the platform failed.
    #[error("the keystore failed")]
    Backend(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

fn backend(error: impl std::error::Error + Send + Sync + 'static) -> KeyStoreError {
    KeyStoreError::Backend(Arc::new(error))
}
