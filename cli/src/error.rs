//! Why a subcommand did not do what it is for, and what its user can do about it.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use portal_core::cashu::CashuError;
use portal_core::identity::{KeyError, MnemonicError};
use portal_core::keystore::KeyStoreError;
use portal_core::rates::http::NoSuchSource;
use portal_core::relay::AddressError;
use portal_core::storage::StorageError;
use portal_core::wallet::nwc::NwcUriError;
use portal_core::wallet::simulated::NetworkError;

use crate::demo::DemoError;

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line cannot be read.
    #[error("{}", in_short(.0))]
    Usage(clap::Error),
    /// The core refused.
    #[error(transparent)]
    Portal(#[from] portal_core::Error),
    /// The demo.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// Our own output cannot be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
    /// The system refused.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file or folder cannot be used.
    #[error("{path} cannot be {done}")]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried: `read`, `written`.
        done: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no place for the data.
    #[error("there is no place for the data")]
    NoDataDir,
    /// There is no key.
    #[error("there is no key in {path}")]
    NoKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// A key would be overwritten.
    #[error("there is a key in {path} already")]
    KeyExists {
        /// Where.
        path: PathBuf,
    },
    /// A file holds no key.
    #[error("{path} holds no usable key")]
    BadKey {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: KeyStoreError,
    },
    /// A text looks like words and is no mnemonic.
    #[error("the words are no mnemonic")]
    BadWords(#[from] MnemonicError),
    /// A key that cannot be.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not somebody's key.
    #[error("that is no public key: give npub1… or 64 hex digits")]
    BadPublicKey,
    /// The key is encrypted already.
    #[error("{path} is encrypted already")]
    AlreadyEncrypted {
        /// Which.
        path: PathBuf,
    },
    /// A password is needed and nobody can be asked.
    #[error("a password is needed")]
    NoPassword,
    /// Nothing was given as password.
    #[error("the password is empty")]
    EmptyPassword,
    /// The password was repeated wrongly.
    #[error("the two passwords differ")]
    PasswordsDiffer,
    /// The store cannot be opened.
    #[error("the wallet's memory in {path} cannot be opened")]
    Storage {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StorageError,
    },
    /// The wallet link.
    #[error(transparent)]
    Nwc(#[from] NwcUriError),
    /// A source of exchange rates.
    #[error(transparent)]
    RateSource(#[from] NoSuchSource),
    /// The simulated ledger.
    #[error(transparent)]
    Simulated(#[from] NetworkError),
    /// The address of a relay.
    #[error("a relay cannot be used")]
    Relay(#[from] AddressError),
}

impl CliError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Portal(error) => error.code().word(),
            Self::Demo(_) => "demo_failed",
            Self::Output(_) | Self::Io { .. } | Self::File { .. } => "io",
            Self::NoDataDir => "no_data_dir",
            Self::NoKey { .. } => "no_key",
            Self::KeyExists { .. } => "key_exists",
            Self::BadKey { source: KeyStoreError::KeyLocked, .. } => "key_locked",
            Self::BadKey { .. } | Self::Key(_) | Self::BadPublicKey => "invalid_key",
            Self::BadWords(_) => "invalid_mnemonic",
            Self::AlreadyEncrypted { .. } => "already_encrypted",
            Self::NoPassword | Self::EmptyPassword => "no_password",
            Self::PasswordsDiffer => "passwords_differ",
            Self::Storage { source: StorageError::InUse, .. } => "in_use",
            Self::Storage { .. } => "storage_failed",
            Self::Nwc(_) => "invalid_nwc_url",
            Self::RateSource(_) => "invalid_rate_source",
            Self::Simulated(_) => "simulated_wallet",
            Self::Relay(_) => "invalid_relay",
        }
    }

    /// What to do about it, in one sentence.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Usage(_) => "see `portal --help`".to_owned(),
            Self::Demo(error) => return error.advice(),
            Self::NoDataDir => "set PORTAL_DATA_DIR, or give --data-dir".to_owned(),
            Self::NoKey { .. } => "make one with `portal key new`".to_owned(),
            Self::KeyExists { .. } => {
                "move it away first, or name another file with --file: a key that is overwritten \
                 is lost for ever"
                    .to_owned()
            }
            Self::BadKey { source: KeyStoreError::KeyLocked, .. } => {
                "check the password; a damaged file looks the same".to_owned()
            }
            Self::NoPassword => {
                "run it in a terminal, or set PORTAL_KEY_PASSWORD or --password-file".to_owned()
            }
            Self::Storage { source: StorageError::InUse, .. } => {
                "stop the other `portal wallet` of this key, or use another --data-dir".to_owned()
            }
            Self::Portal(portal_core::Error::Cashu(CashuError::ForbiddenMint(_))) => {
                "the mint is on this machine or network: allow that with --allow-private-mints; \
                 what was given is kept"
                    .to_owned()
            }
            Self::Portal(portal_core::Error::Address(AddressError::NotPublic)) => {
                "the URL names a relay on this machine or network: allow that with \
                 --allow-private-relays"
                    .to_owned()
            }
            Self::Portal(_)
            | Self::Output(_)
            | Self::Io { .. }
            | Self::File { .. }
            | Self::BadKey { .. }
            | Self::BadWords(_)
            | Self::Key(_)
            | Self::BadPublicKey
            | Self::AlreadyEncrypted { .. }
            | Self::EmptyPassword
            | Self::PasswordsDiffer
            | Self::Storage { .. }
            | Self::Nwc(_)
            | Self::RateSource(_)
            | Self::Simulated(_)
            | Self::Relay(_) => return None,
        })
    }

    /// The text with its causes.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.ends_with(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }
}

/// What is wrong with the command line, without the usage that follows it for people.
fn in_short(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = CliError::File {
            path: "key".into(),
            done: "read",
            source: io::Error::other("the disk is gone"),
        };
        assert_eq!(error.chain(), "key cannot be read: the disk is gone");
        let transparent = CliError::from(portal_core::Error::NoRelay);
        assert_eq!(transparent.chain(), "no relay is connected");
    }
}
