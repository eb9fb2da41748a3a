//! From a configuration to a daemon that is ready to serve: key, store, wallet, service, listener.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portal_core::env::Env;
use portal_core::identity::{KeyError, LocalKey, SubkeyError};
use portal_core::primitives::{Secret, Timestamp};
use portal_core::protocol::subkey::SubkeyProof;
use portal_core::rates::RateDesk;
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayAddress, RelayPool, RelaySink};
use portal_core::service::Service;
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};
use portal_core::storage::{StorageError, Store};
use portal_core::wallet::nwc::{ConnectError, NwcOptions, NwcUri, NwcWallet};
use portal_core::wallet::{LightningWallet, WalletError};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::config::{Config, ProfileConfig, WalletConfig};
use crate::state::{AppState, Parts};

/// What payment commands answer without a wallet.
const NO_WALLET: &str = "no wallet is configured: set NWC_URL to the link of a wallet \
                         (nostr+walletconnect://…), or BREEZ_MNEMONIC to the words of the \
                         built-in one";

/// How long the wallet's connections may take to end, after everything else has.
const WALLET_LIMIT: Duration = Duration::from_millis(1800);

/// A daemon that is ready to serve.
pub struct Daemon {
    /// What connections share.
    pub state: AppState,
    /// The open port.
    pub listener: TcpListener,
    /// What to tell the person who started it.
    pub announcement: Announcement,
    #[cfg(feature = "dev")]
    dev: Option<crate::dev::Dev>,
    wallet: Option<Arc<dyn LightningWallet>>,
    #[cfg(feature = "dev")]
    folder: Option<tempfile::TempDir>,
}

/// What to tell the person who started the daemon.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key people know it by.
    pub public_key: nostr::PublicKey,
    /// Its relays.
    pub relays: Vec<RelayAddress>,
    /// Where its data is.
    pub data_dir: PathBuf,
    /// What `--dev` made up.
    pub dev: Option<DevAnnouncement>,
}

/// What `--dev` made up, secrets included: they are worth nothing.
#[derive(Clone, Debug)]
pub struct DevAnnouncement {
    /// The token.
    pub token: Secret<String>,
    /// The link to the person's wallet.
    pub person: Secret<String>,
    /// The mint of tickets, when it was built in.
    pub mint: Option<MintAnnouncement>,
    /// Whether the data disappears at the end.
    pub temporary: bool,
    /// What was configured and is therefore not made up: `wallet`, `key`, `relays`. With any of
    /// these it is no play.
    pub configured: Vec<&'static str>,
}

/// Where the mint of `--dev` is.
#[derive(Clone, Debug)]
pub struct MintAnnouncement {
    /// Its address.
    pub url: String,
    /// The token that mints and burns there.
    pub token: Secret<String>,
}

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no place for the data.
    #[error("there is no place for the data: set PORTAL_DATA_DIR or --data-dir")]
    NoDataDir,
    /// `--dev` was not built in.
    #[error("this build has no --dev")]
    NoDev,
    /// The key.
    #[error("the private key cannot be used")]
    Key(#[from] KeyError),
    /// The subkey proof.
    #[error("the subkey proof does not fit the private key or is not valid now")]
    SubkeyProof(#[from] SubkeyError),
    /// The database.
    #[error("the database {path} cannot be opened")]
    Storage {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// The wallet link.
    #[error("the wallet link cannot be used")]
    Wallet(#[from] ConnectError),
    /// The library of the built-in wallet.
    #[cfg(feature = "breez")]
    #[error(transparent)]
    BreezLibrary(#[from] portal_breez::LibraryError),
    /// The built-in wallet.
    #[cfg(feature = "breez")]
    #[error(transparent)]
    Breez(#[from] portal_breez::OpenError),
    /// The ticket wallet.
    #[cfg(feature = "cashu")]
    #[error(transparent)]
    Tickets(#[from] crate::tickets::TicketsError),
    /// The service.
    #[error("the service cannot start")]
    Service(#[from] portal_core::Error),
    /// The port.
    #[error("{address} cannot be listened on")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anything else of the system.
    #[error("the system refuses")]
    Io(#[from] std::io::Error),
    /// The world of `--dev`.
    #[cfg(feature = "dev")]
    #[error("--dev cannot be set up")]
    Dev(#[from] crate::dev::DevError),
}

impl Daemon {
    /// Puts everything together. The port is opened first, since that fails most often.
    ///
    /// # Errors
    /// When any part cannot be had.
    ///
    /// # Cancel safety
    /// Not cancel safe; what was started ends when it is dropped.
    pub async fn start(config: Config, dev: bool) -> Result<Self, StartError> {
        let address = config.info.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address, source })?;
        if dev {
            #[cfg(feature = "dev")]
            return Self::for_development(config, listener).await;
            #[cfg(not(feature = "dev"))]
            return Err(StartError::NoDev);
        }
        let (Some(private_key), Some(token), Some(relays)) = (
            config.nostr.private_key.clone(),
            config.auth.auth_token.clone(),
            config.nostr.relays.clone(),
        ) else {
            // The configuration is complete without `--dev`; its loader made sure.
            return Err(StartError::NoDev);
        };
        let data_dir = config.storage.data_dir.clone().ok_or(StartError::NoDataDir)?;
        let env = Env::system();
        let store = open_store(database(&config, &data_dir)).await?;
        let wallet = match &config.wallet {
            WalletConfig::Nwc { link, allow_spending } => {
                Some(nwc(link, *allow_spending, env.clone(), Arc::clone(&store)).await?)
            }
            #[cfg(feature = "breez")]
            WalletConfig::Breez(settings) => {
                Some(crate::breez::open(settings, &data_dir, env.clone()).await?)
            }
            #[cfg(not(feature = "breez"))]
            WalletConfig::Breez(_) => None,
            WalletConfig::None => None,
        };
        let rates = config.rates.desk(env.clone());
        let base =
            Base { private_key, token, relays, data_dir, store, wallet, rates, env, dev: false };
        base.start(config, listener).await
    }

    #[cfg(feature = "dev")]
    async fn for_development(config: Config, listener: TcpListener) -> Result<Self, StartError> {
        use crate::dev::{Dev, Secrets};

        let env = Env::system();
        let folder = match config.storage.data_dir {
            Some(_) => None,
            None => Some(tempfile::tempdir()?),
        };
        let data_dir = match (&config.storage.data_dir, &folder) {
            (Some(named), _) => named.clone(),
            (None, Some(folder)) => folder.path().to_owned(),
            (None, None) => return Err(StartError::NoDataDir),
        };
        let secrets = Secrets::load(&data_dir, &env)?;
        let dev = Dev::start(&data_dir, &secrets, env.clone(), &Handle::current()).await?;
        let store = open_store(database(&config, &data_dir)).await?;
        let wallet = match &config.wallet {
            WalletConfig::Nwc { link, allow_spending } => {
                nwc(link, *allow_spending, env.clone(), Arc::clone(&store)).await?
            }
            #[cfg(feature = "breez")]
            WalletConfig::Breez(settings) => {
                crate::breez::open(settings, &data_dir, env.clone()).await?
            }
            #[cfg(not(feature = "breez"))]
            WalletConfig::Breez(_) => Arc::clone(&dev.wallet),
            WalletConfig::None => Arc::clone(&dev.wallet),
        };
        let configured = [
            ("wallet", !Arc::ptr_eq(&wallet, &dev.wallet)),
            ("key", config.nostr.private_key.is_some()),
            ("relays", config.nostr.relays.is_some()),
        ];
        let token = config.auth.auth_token.clone().unwrap_or(secrets.token);
        let base = Base {
            private_key: config.nostr.private_key.clone().unwrap_or(secrets.private_key),
            token: token.clone(),
            relays: config.nostr.relays.clone().unwrap_or_else(|| vec![dev.relay.clone()]),
            data_dir,
            store,
            wallet: Some(wallet),
            // Real sources only when they are named: this works without a network.
            rates: match config.rates.sources {
                None if config.rates.enabled => Some(Arc::clone(&dev.rates)),
                _ => config.rates.desk(env.clone()),
            },
            env,
            dev: true,
        };
        let mut daemon = base.start(config, listener).await?;
        daemon.announcement.dev = Some(DevAnnouncement {
            token,
            person: dev.person.clone(),
            #[cfg(feature = "dev-mint")]
            mint: Some(MintAnnouncement {
                url: dev.mint.mint.url().to_owned(),
                token: dev.mint.token.clone(),
            }),
            #[cfg(not(feature = "dev-mint"))]
            mint: None,
            temporary: folder.is_some(),
            configured: configured.iter().filter(|(_, own)| *own).map(|(name, _)| *name).collect(),
        });
        daemon.dev = Some(dev);
        daemon.folder = folder;
        Ok(daemon)
    }

    /// Serves until `shutdown` ends, then stops everything within 10 s.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        #[cfg(feature = "cashu")]
        let tickets = self.state.tickets.clone();
        crate::lifecycle::run(self.listener, self.state, shutdown).await;
        let rest = async {
            #[cfg(feature = "dev")]
            if let Some(dev) = self.dev {
                dev.shutdown().await;
            }
            if let Some(wallet) = self.wallet {
                wallet.shutdown().await;
            }
            #[cfg(feature = "cashu")]
            if let Some(tickets) = tickets {
                tickets.close().await;
            }
        };
        if tokio::time::timeout(WALLET_LIMIT, rest).await.is_err() {
            tracing::warn!("the wallet's connections did not end in time");
        }
        #[cfg(feature = "dev")]
        drop(self.folder);
    }
}

/// What a daemon needs, wherever it came from.
struct Base {
    private_key: Secret<String>,
    token: Secret<String>,
    relays: Vec<RelayAddress>,
    data_dir: PathBuf,
    store: Arc<dyn Store>,
    wallet: Option<Arc<dyn LightningWallet>>,
    rates: Option<Arc<RateDesk>>,
    env: Env,
    dev: bool,
}

impl Base {
    async fn start(self, config: Config, listener: TcpListener) -> Result<Daemon, StartError> {
        let Self { private_key, token, relays, data_dir, store, wallet, rates, env, dev } = self;
        let key = key(&private_key, config.nostr.subkey_proof, env.now())?;
        #[cfg(feature = "cashu")]
        let tickets = crate::tickets::open(&config.cashu, &data_dir, &key, &env, dev).await?;
        let mut builder = Service::builder_with_store(key, store)
            .relays(relays.clone())
            .env(env.clone())
            .payment_policy(config.payments.policy)
            .allow_private_relays(config.nostr.allow_private_relays || dev);
        if let Some(options) = config.subscriptions.options() {
            builder = builder.charge_subscriptions(options);
        }
        if let Some(wallet) = &wallet {
            builder = builder.wallet(Arc::clone(wallet));
        }
        if let Some(rates) = rates {
            builder = builder.rates(rates);
        }
        let service = builder.start(Handle::current()).await?;
        let wallet_missing = match (&wallet, &config.wallet) {
            (Some(_), _) => None,
            (None, WalletConfig::Breez(_)) => Some(WalletConfig::BREEZ_MISSING),
            (None, WalletConfig::None | WalletConfig::Nwc { .. }) => Some(NO_WALLET),
        };
        let announcement = Announcement {
            address: listener.local_addr()?,
            public_key: service.main_key(),
            relays,
            data_dir,
            dev: None,
        };
        let names = config.profile.names();
        let limits = config.limits;
        let lightning_address = config.lightning_address;
        let parts = Parts {
            service,
            env,
            token,
            limits,
            wallet_missing,
            names,
            lightning_address,
            #[cfg(feature = "cashu")]
            tickets,
        };
        let state = AppState::new(parts);
        publish_profile(&state, config.profile);
        #[cfg(feature = "cashu")]
        crate::tickets::look_after(&state);
        if let (WalletConfig::Nwc { allow_spending: false, .. }, Some(wallet)) =
            (&config.wallet, &wallet)
        {
            warn_of_spending(&state, Arc::clone(wallet));
        }
        Ok(Daemon {
            state,
            listener,
            announcement,
            #[cfg(feature = "dev")]
            dev: None,
            wallet,
            #[cfg(feature = "dev")]
            folder: None,
        })
    }
}

/// The key of the service, with its proof when it is a subkey.
///
/// # Errors
/// When the key is none, or the proof is not valid at this moment.
pub fn key(
    private_key: &Secret<String>,
    proof: Option<SubkeyProof>,
    now: Timestamp,
) -> Result<LocalKey, StartError> {
    let key = LocalKey::parse(private_key.expose())?;
    Ok(match proof {
        Some(proof) => key.with_proof(proof, now)?,
        None => key,
    })
}

async fn open_store(path: PathBuf) -> Result<Arc<dyn Store>, StartError> {
    let opening = path.clone();
    let store =
        tokio::task::spawn_blocking(move || SqliteStore::open(&opening, SqliteOptions::default()))
            .await
            .map_err(std::io::Error::other)?
            .map_err(|source| StartError::Storage { path, source })?;
    Ok(Arc::new(store))
}

/// The file of the database. An absolute path replaces the folder that it is joined to.
fn database(config: &Config, data_dir: &Path) -> PathBuf {
    data_dir.join(&config.storage.file)
}

/// A wallet behind a link. The link's relays are the operator's choice, so any address will do.
async fn nwc(
    link: &NwcUri,
    allow_spending: bool,
    env: Env,
    store: Arc<dyn Store>,
) -> Result<Arc<dyn LightningWallet>, StartError> {
    let connect = connector(link.relays.clone(), env.clone());
    let options = NwcOptions { allow_spending, ..NwcOptions::default() };
    Ok(Arc::new(NwcWallet::connect_kept(link, connect, env, options, store).await?))
}

/// Says in the log, once the wallet has said so, that its link may spend and is not used. Beside
/// the start: the wallet may be away for long.
fn warn_of_spending(state: &AppState, wallet: Arc<dyn LightningWallet>) {
    let running = state.clone();
    state.tasks.spawn(async move {
        let asking = async {
            let mut pause = Duration::from_secs(1);
            loop {
                match wallet.info().await {
                    Ok(_) | Err(WalletError::ShutDown) => return,
                    Err(WalletError::MaySpend) => {
                        tracing::error!(
                            "the wallet link may spend, so it is not used: make one in your \
                             wallet that may only receive, or, to pay out as well, set \
                             `wallet.nwc.allow_spending = true` \
                             (PORTAL__WALLET__NWC__ALLOW_SPENDING=true)"
                        );
                        return;
                    }
                    Err(error) => tracing::debug!(%error, "the wallet does not say what it may do"),
                }
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(Duration::from_secs(300));
            }
        };
        running.stopping.run_until_cancelled(asking).await;
    });
}

/// Connections to these relays, wherever they are.
pub(crate) fn connector(
    relays: Vec<RelayAddress>,
    env: Env,
) -> impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> {
    let handle = Handle::current();
    move |sink| {
        let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
        let pool = NostrRelays::start(handle, env, sink, options);
        for relay in relays {
            pool.add(relay);
        }
        pool
    }
}

/// Publishes the configured profile once a relay is connected. Beside the start: nobody waits.
fn publish_profile(state: &AppState, profile: ProfileConfig) {
    if profile.is_empty() {
        return;
    }
    let running = state.clone();
    state.tasks.spawn(async move {
        let publishing = async {
            let mut pause = Duration::from_secs(1);
            while let Err(error) = running.service.profiles().set(&profile.profile).await {
                tracing::warn!(%error, "the profile is not published yet");
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(Duration::from_secs(300));
            }
        };
        running.stopping.run_until_cancelled(publishing).await;
    });
}
