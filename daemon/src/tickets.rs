//! The daemon's ticket wallet: opened with the data, looked after while the daemon runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portal_core::cashu::{CashuError, TicketWallet, TicketWalletOptions};
use portal_core::env::Env;
use portal_core::identity::{LocalKey, Mnemonic};
use portal_core::keystore::words::kept_words;
use portal_core::primitives::Secret;
use portal_core::relay::AddressPolicy;
use portal_core::storage::StorageError;
use portal_core::storage::sqlite::SqliteOptions;
use portal_core::storage::sqlite::tickets::TicketStore;

use crate::config::CashuConfig;
use crate::state::AppState;

/// Where the words are kept that the daemon has made.
const WORDS: &str = "tickets-mnemonic";
/// How often what waits for a mint is tried again, and what was given away is asked about.
const EVERY: Duration = Duration::from_secs(30);

/// Why there is no ticket wallet.
#[derive(Debug, thiserror::Error)]
pub enum TicketsError {
    /// The words cannot be read or kept.
    #[error("the words of the ticket wallet in {path} cannot be used")]
    Words {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file.
    #[error("the ticket wallet {path} cannot be opened")]
    Storage {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// The wallet.
    #[error("the ticket wallet cannot be used")]
    Wallet(#[from] CashuError),
}

/// Opens the wallet; `None` when it is switched off.
///
/// # Errors
/// When its file or its words cannot be used.
///
/// # Cancel safety
/// Safe to drop.
pub async fn open(
    config: &CashuConfig,
    data_dir: &Path,
    key: &LocalKey,
    env: &Env,
    dev: bool,
) -> Result<Option<TicketWallet>, TicketsError> {
    if !config.enabled {
        return Ok(None);
    }
    let words = match &config.mnemonic {
        Some(words) => words.clone(),
        None => words_of(data_dir, env)?,
    };
    let seed = Mnemonic::parse(words.expose()).map_err(|_| CashuError::NoSeed)?.seed();
    let path = data_dir.join(&config.file);
    let opening = path.clone();
    let store =
        tokio::task::spawn_blocking(move || TicketStore::open(&opening, SqliteOptions::default()))
            .await
            .map_err(|error| TicketsError::Words {
                path: path.clone(),
                source: std::io::Error::other(error),
            })?
            .map_err(|source| TicketsError::Storage { path, source })?;
    let mut options = TicketWalletOptions::new(env.clone(), seed, store);
    // People lock what they show to the key they know us by.
    options.keys = vec![Secret::new(key.secret_key().to_secret_bytes())];
    if dev {
        options.strangers = AddressPolicy::Open;
    }
    Ok(Some(TicketWallet::open(options).await?))
}

/// The words the daemon made at its first start.
fn words_of(data_dir: &Path, env: &Env) -> Result<Secret<String>, TicketsError> {
    let path = data_dir.join(WORDS);
    let kept = match kept_words(&path, env) {
        Ok(kept) => kept,
        Err(source) => return Err(TicketsError::Words { path, source }),
    };
    if kept.new {
        tracing::info!(
            path = %path.display(),
            "the ticket wallet has new words: keep a copy of this file"
        );
    }
    Ok(kept.words)
}

/// Goes on with what was begun, now and from time to time, and asks what has become of tickets;
/// listens to the mints that tell it by themselves.
pub(crate) fn look_after(state: &AppState) {
    let Some(wallet) = state.tickets.clone() else { return };
    let running = state.clone();
    state.tasks.spawn(async move {
        let looking = async {
            loop {
                match wallet.recover().await {
                    Ok(report) if report.done + report.failed + report.waiting > 0 => {
                        tracing::info!(
                            done = report.done,
                            failed = report.failed,
                            waiting = report.waiting,
                            "went on with ticket operations"
                        );
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "the ticket wallet cannot go on"),
                }
                match wallet.settle().await {
                    Ok(report) if report.refused > 0 => {
                        tracing::warn!(refused = report.refused, "let in, and worth nothing");
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "admissions cannot be settled"),
                }
                match wallet.watch().await {
                    Ok(0) => {}
                    Ok(spent) => tracing::info!(spent, "tickets were used or claimed"),
                    Err(error) => tracing::warn!(%error, "tickets cannot be asked about"),
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        let listening = async {
            loop {
                match wallet.listen().await {
                    Ok(never) => match never {},
                    Err(error) => tracing::warn!(%error, "mints cannot be listened to"),
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        let both = async { tokio::join!(looking, listening) };
        running.stopping.run_until_cancelled(both).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_words_do_not_open_a_wallet_that_has_an_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let env = Env::system();
        let key = LocalKey::generate(&env);
        let open = async |mnemonic| {
            let config = CashuConfig { enabled: true, mnemonic, file: "tickets.db".into() };
            open(&config, folder.path(), &key, &env, false).await
        };
        let wallet = open(None).await.expect("opens").expect("switched on");
        wallet.close().await;
        let other = open(Some(Mnemonic::generate(&env).words().clone())).await;
        assert!(matches!(other, Err(TicketsError::Wallet(CashuError::OtherSeed))), "{other:?}");
        let again = open(None).await.expect("opens").expect("switched on");
        again.close().await;
    }
}
