//! A mint in this process: started on a listener, stopped when told.
//!
//! The order matters: keys are brought into shape before cdk is built on them, the information
//! that cdk keeps in the database is overwritten with that of the configuration (it would win
//! otherwise), and what a crash left open is recovered before the first request.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use cdk::mint::{Mint as CdkMint, MintBuilder, MintMeltLimits, UnitConfig};
use cdk::nuts::nut17::SupportedMethods;
use cdk::nuts::nut19::{CachedEndpoint, Method, Path as CachePath};
use cdk::nuts::{ContactInfo, CurrencyUnit, MeltQuoteState, MintInfo, MintVersion, PaymentMethod};
use cdk::types::QuoteTTL;
use cdk_axum::cache::HttpCache;
use cdk_common::database::DynMintDatabase;
use cdk_common::payment::PaymentIdentifier;
use portal_core::env::Env;
use portal_core::wallet::LightningWallet;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Operation, PORTAL};
use crate::backend::lightning::{FeeReserve, LightningBackend};
use crate::backend::tickets::TicketBackend;
use crate::config::{Config, DatabaseConfig, POSTGRES_MAX};
use crate::http::{self, Door, Shared};
use crate::keysets::{KeysetError, KeysetInfo, Keysets};
use crate::metrics::Metrics;
use crate::seed::{self, Seed, SeedError};
use crate::store::{Access, Account, Store, StoreError};
use crate::supply::{Supply, SupplyError};
use crate::token_files::{self, TokenFilesError};
use crate::units::{Backing, Unit, Units};

/// How long answers to requests that change something are kept for those who ask again, and how
/// long wallets try again.
const CACHE: Duration = Duration::from_secs(15);

/// How long a quote for melting can be used, in seconds.
const MELT_TTL: u64 = 600;

/// How often payments without a known end are looked at.
const SWEEP: Duration = Duration::from_secs(15);

/// How often it is made sure that no other mint works on the database.
const ALONE: Duration = Duration::from_secs(10);

/// What a mint is started with.
pub struct Setup {
    /// What it is told.
    pub config: Config,
    /// Where its files are.
    pub folder: PathBuf,
    /// The wallet behind the units that are paid over Lightning.
    pub wallet: Option<Arc<dyn LightningWallet>>,
    /// Clock and randomness.
    pub env: Env,
}

/// A mint that runs.
pub struct Mint {
    url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    keysets: Arc<Keysets>,
    stopping: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// Why a mint does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The books.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The words.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysetError),
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokenFilesError),
    /// The cap on what is sold.
    #[error("the books cannot be read")]
    Supply(#[from] SupplyError),
    /// cdk says no.
    #[error("the mint cannot be built")]
    Mint(#[from] cdk::Error),
    /// The words are not those of this database.
    #[error("the mnemonic is not the one this database was made with")]
    OtherSeed,
    /// A unit is paid over Lightning, and there is no wallet.
    #[error("units are paid over Lightning, and there is no wallet: set PORTAL_MINT_NWC_URL")]
    NoWallet,
    /// cdk's router cannot be made.
    #[error("the mint's routes cannot be made")]
    Routes,
    /// The listener has no address.
    #[error("the listener cannot be used")]
    Listener(#[source] std::io::Error),
}

impl Mint {
    /// Starts a mint. It runs until [`Mint::stop`], or until `stopping` is cancelled.
    ///
    /// # Errors
    /// When something it needs cannot be used; then nothing runs.
    pub async fn start(
        setup: Setup,
        listener: TcpListener,
        stopping: CancellationToken,
    ) -> Result<Self, StartError> {
        let Setup { config, folder, wallet, env } = setup;
        // Ours ends with theirs, not the other way round.
        let stopping = stopping.child_token();
        let address = listener.local_addr().map_err(StartError::Listener)?;
        let tokens = token_files::read(&config.auth)?;
        let seed = load_seed(&config, &folder, &env)?;
        let store = Arc::new(Store::open(&config.database, &folder, Access::Alone).await?);
        let now = env.now().as_secs();
        let keysets = Arc::new(
            Keysets::open(
                store.keys.clone(),
                seed.expose(),
                &config.units,
                config.keyset_version_1,
            )
            .await?,
        );
        check_seed(&keysets, &store.mint).await?;
        keysets.conform(&config.units, now).await?;
        let supply = Supply::open(&config.units, &store.mint, now).await?;

        let lightning = match (config.lightning.needed, wallet) {
            (false, _) => None,
            (true, None) => return Err(StartError::NoWallet),
            (true, Some(wallet)) => {
                let reserve = FeeReserve {
                    percent: config.lightning.fee_reserve_percent,
                    min: config.lightning.fee_reserve_min,
                };
                Some(Arc::new(LightningBackend::new(wallet, reserve, env.clone())))
            }
        };
        let mint = build(&config, &store.mint, &keysets, lightning.clone(), &env).await?;
        if let Some(lightning) = &lightning {
            resume(&mint, lightning).await?;
        }
        mint.start().await?;

        let lightning_is_open = config.lightning.needed && !config.lightning.guarded;
        let door = Door::new(&config.auth, &config.limits, lightning_is_open, tokens, env.clone());
        let url = config.url.clone().unwrap_or_else(|| format!("http://{address}"));
        let shared = Arc::new(Shared {
            cdk: routes(&mint).await?,
            answers: Arc::new(HttpCache::new(CACHE, CACHE, None)),
            mint: Arc::clone(&mint),
            store,
            door,
            units: config.units.clone(),
            supply,
            sockets: http::Sockets::new(config.limits.connections),
            metrics: Metrics::default(),
            melt_inputs_max: matches!(config.database, DatabaseConfig::Postgres { .. })
                .then_some(POSTGRES_MAX),
            env,
            tasks: TaskTracker::new(),
        });
        let running =
            tokio::spawn(run(listener, config, Arc::clone(&shared), lightning, stopping.clone()));
        Ok(Self { url, address, shared, keysets, stopping, running: Some(running) })
    }

    /// The address that wallets know it by.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it issues.
    #[must_use]
    pub fn units(&self) -> &Units {
        &self.shared.units
    }

    /// What was sold, used and is outstanding, for each unit.
    ///
    /// # Errors
    /// When the books cannot be read.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.shared.store.accounts().await
    }

    /// All keysets.
    ///
    /// # Errors
    /// When the keys cannot be used.
    pub async fn keysets(&self) -> Result<Vec<KeysetInfo>, KeysetError> {
        self.keysets.list().await
    }

    /// Makes a new keyset for a unit; tokens of the one before it stay good.
    ///
    /// # Errors
    /// When there is no such unit, it has ended, or the books cannot be written.
    pub async fn rotate(&self, unit: &str) -> Result<String, KeysetError> {
        let now = self.shared.env.now().as_secs();
        self.keysets.rotate(&self.shared.units, unit, now).await
    }

    /// Waits until it has stopped by itself or through its token.
    ///
    /// # Cancel safety
    /// It goes on running when the future is dropped.
    pub async fn stopped(&mut self) {
        if let Some(running) = &mut self.running {
            if let Err(error) = running.await {
                tracing::error!(%error, "the mint's task was lost");
            }
            self.running = None;
        }
    }

    /// Stops: no new requests, those that are at work are finished, the books are closed.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        self.stopped().await;
    }
}

impl Drop for Mint {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

fn load_seed(config: &Config, folder: &std::path::Path, env: &Env) -> Result<Seed, SeedError> {
    // In PostgreSQL there may be a mint already, whose words are elsewhere.
    let may_make = matches!(config.database, DatabaseConfig::Sqlite);
    seed::load(config.mnemonic.as_ref(), config.mnemonic_file.as_deref(), folder, may_make, env)
}

/// Opens the keys of a configuration beside a mint that may run, for commands.
///
/// # Errors
/// When books or keys cannot be used.
pub async fn open_keys(
    config: &Config,
    folder: &std::path::Path,
    env: &Env,
) -> Result<Keysets, StartError> {
    let seed =
        seed::load(config.mnemonic.as_ref(), config.mnemonic_file.as_deref(), folder, false, env)?;
    let store = Store::open(&config.database, folder, Access::Beside).await?;
    let keysets =
        Keysets::open(store.keys.clone(), seed.expose(), &config.units, config.keyset_version_1)
            .await?;
    check_seed(&keysets, &store.mint).await?;
    Ok(keysets)
}

/// The database knows the public key of its seed; other words would sign what nobody can spend.
async fn check_seed(keysets: &Keysets, database: &DynMintDatabase) -> Result<(), StartError> {
    let stored = database
        .kv_read("cdk_mint", "config", "mint_info")
        .await
        .map_err(StoreError::Database)?
        .and_then(|bytes| serde_json::from_slice::<MintInfo>(&bytes).ok())
        .and_then(|info| info.pubkey);
    let own = keysets.public_key().await?;
    if stored.is_some_and(|stored| stored != own) { Err(StartError::OtherSeed) } else { Ok(()) }
}

async fn build(
    config: &Config,
    database: &DynMintDatabase,
    keysets: &Keysets,
    lightning: Option<Arc<LightningBackend>>,
    env: &Env,
) -> Result<Arc<CdkMint>, StartError> {
    let tickets = Arc::new(TicketBackend::new(env.clone()));
    let portal = PaymentMethod::Custom(PORTAL.to_owned());
    let mut builder = MintBuilder::new(Arc::clone(database))
        .with_limits(config.limits.max_inputs, config.limits.max_outputs)
        .with_batch_minting(Some(config.auth.max_batch), None)
        .with_keyset_v2(Some(!config.keyset_version_1));
    for unit in config.units.values() {
        let currency = unit.currency.clone();
        let limits = limits_of(config, unit);
        let keys = UnitConfig { amounts: unit.amounts.clone(), input_fee_ppk: unit.input_fee_ppk };
        builder.configure_unit(currency.clone(), keys)?;
        match (unit.backing, &lightning) {
            (Backing::Lightning, Some(lightning)) => {
                let backend = Arc::clone(lightning);
                builder
                    .add_payment_processor(currency, PaymentMethod::BOLT11, limits, backend)
                    .await?;
            }
            (Backing::Lightning, None) => return Err(StartError::NoWallet),
            (Backing::Tickets, _) => {
                for method in [PaymentMethod::BOLT11, portal.clone()] {
                    builder
                        .add_payment_processor(currency.clone(), method, limits, tickets.clone())
                        .await?;
                }
            }
        }
    }
    let info = information(config, builder.current_mint_info(), keysets.public_key().await?);
    let mint =
        builder.with_mint_info(info.clone()).build_with_signatory(keysets.signatory()).await?;
    // What the database has would win otherwise, for ever.
    let ttl = QuoteTTL::new(config.quote_ttl, MELT_TTL);
    mint.set_mint_info_and_quote_ttl(info, ttl).await?;
    Ok(Arc::new(mint))
}

/// What one quote of a unit may ask for: never more than can be issued in one request.
fn limits_of(config: &Config, unit: &Unit) -> MintMeltLimits {
    let largest = unit.amounts.last().copied().unwrap_or(1);
    let outputs = u64::try_from(config.limits.max_outputs).unwrap_or(u64::MAX);
    let inputs = u64::try_from(config.limits.max_inputs).unwrap_or(u64::MAX);
    let amounts = config.amounts;
    MintMeltLimits {
        mint_min: amounts.mint_min.into(),
        mint_max: amounts.mint_max.min(largest.saturating_mul(outputs)).into(),
        melt_min: amounts.melt_min.into(),
        melt_max: amounts.melt_max.min(largest.saturating_mul(inputs)).into(),
    }
}

fn information(config: &Config, mut info: MintInfo, key: cdk::nuts::PublicKey) -> MintInfo {
    let about = config.about.clone();
    info.name = about.name;
    info.description = about.description;
    info.description_long = about.description_long;
    info.icon_url = about.icon_url;
    info.motd = about.motd;
    info.tos_url = about.tos_url;
    info.urls = config.url.clone().map(|url| vec![url]);
    info.pubkey = Some(key);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    info.version = Some(MintVersion::new("portal-mint".to_owned(), version));
    info.contact = (!about.contact.is_empty()).then(|| {
        about.contact.into_iter().map(|(method, info)| ContactInfo { method, info }).collect()
    });
    let is_ticket = |currency: &CurrencyUnit| {
        config
            .units
            .values()
            .any(|unit| unit.currency == *currency && unit.backing == Backing::Tickets)
    };
    let nuts = &mut info.nuts;
    // Tickets cannot pay invoices.
    nuts.nut05
        .methods
        .retain(|entry| !(entry.method == PaymentMethod::BOLT11 && is_ticket(&entry.unit)));
    nuts.nut04.disabled = config.auth.disabled.has(Operation::Mint);
    nuts.nut05.disabled =
        config.auth.disabled.has(Operation::Melt) || nuts.nut05.methods.is_empty();
    let check = Operation::CheckProofState;
    if !config.auth.guarded.has(check) && !config.auth.disabled.has(check) {
        // Only for `bolt11`: cdk sends no first word on quotes of custom methods, so a wallet
        // that waits for it waits in vain.
        nuts.nut17.supported = config
            .units
            .values()
            .map(|unit| SupportedMethods::default_bolt11(unit.currency.clone()))
            .collect();
    }
    nuts.nut19.ttl = Some(CACHE.as_secs());
    nuts.nut19.cached_endpoints = vec![CachedEndpoint::new(Method::Post, CachePath::Swap)];
    for method in ["bolt11", PORTAL] {
        for path in [CachePath::custom_mint(method), CachePath::custom_melt(method)] {
            nuts.nut19.cached_endpoints.push(CachedEndpoint::new(Method::Post, path));
        }
    }
    info
}

async fn routes(mint: &Arc<CdkMint>) -> Result<Router, StartError> {
    let methods = vec!["bolt11".to_owned(), PORTAL.to_owned()];
    let cache = HttpCache::new(CACHE, CACHE, None);
    cdk_axum::create_mint_router_with_custom_cache(Arc::clone(mint), cache, methods, false)
        .await
        .map_err(|error| {
            tracing::error!(%error, "cdk's router");
            StartError::Routes
        })
}

/// Tells the wallet's side which payments had no known end when the mint was stopped.
async fn resume(mint: &CdkMint, lightning: &LightningBackend) -> Result<(), StartError> {
    for quote in mint.melt_quotes().await? {
        if let (MeltQuoteState::Pending, Some(PaymentIdentifier::PaymentHash(hash))) =
            (quote.state, &quote.request_lookup_id)
        {
            let reserve = quote.fee_reserve().value();
            lightning.resume(*hash, quote.id.clone(), &quote.request.to_string(), reserve);
        }
    }
    Ok(())
}

/// Everything that runs, until it is told to stop.
async fn run(
    listener: TcpListener,
    config: Config,
    shared: Arc<Shared>,
    lightning: Option<Arc<LightningBackend>>,
    stopping: CancellationToken,
) {
    let router = http::router(Arc::clone(&shared));
    let watch = token_files::watch(config.auth, Arc::clone(&shared), stopping.clone());
    let sweep = sweep(lightning, Arc::clone(&shared.mint), stopping.clone());
    let alone = stay_alone(Arc::clone(&shared), stopping.clone());
    let serve = http::server::run(listener, router, config.limits.connections, stopping);
    tokio::join!(serve, watch, sweep, alone);
    // Requests whose wallets hung up are finished too.
    shared.tasks.close();
    shared.tasks.wait().await;
    if let Err(error) = shared.mint.stop().await {
        tracing::warn!(%error, "cdk did not stop well");
    }
}

/// Stops when another mint has taken the database: two would sell the same places twice.
async fn stay_alone(shared: Arc<Shared>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(ALONE) => {}
        }
        let kept = tokio::select! {
            () = stopping.cancelled() => return,
            kept = shared.store.keep() => kept,
        };
        match kept {
            Ok(()) => {}
            Err(StoreError::InUse) => {
                tracing::error!("another mint works on this database: stopping");
                stopping.cancel();
            }
            Err(error) => tracing::warn!(%error, "the database cannot be kept for this mint"),
        }
    }
}

/// Looks at payments without a known end, so that they end although nobody asks for them.
async fn sweep(
    lightning: Option<Arc<LightningBackend>>,
    mint: Arc<CdkMint>,
    stopping: CancellationToken,
) {
    let Some(lightning) = lightning else { return };
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        for quote in lightning.unsettled() {
            match mint.check_melt_quote(&quote).await {
                Ok(found) if found.state() == MeltQuoteState::Pending => {}
                Ok(_) => lightning.settled(&quote),
                Err(error) => tracing::warn!(%quote, %error, "a payment cannot be looked at"),
            }
        }
    }
}
