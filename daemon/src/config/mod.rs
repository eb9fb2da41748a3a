//! What the daemon is told by its file, its environment and its flags, as types.
//!
//! One file per section. [`load`] is a pure function of texts, so every rule here is a unit test
//! and a fuzz target; only [`locate::read`] touches the disk. Values are what they are: nothing
//! guesses whether a text is a number. An empty value means "not set". A key nobody knows is
//! refused, because a misspelt limit or token would otherwise be silently without effect.

mod auth;
mod breez;
mod cashu;
pub mod environment;
mod info;
mod lightning_address;
mod limits;
pub mod locate;
mod logging;
mod nostr;
mod payments;
mod problem;
mod profile;
mod rates;
mod storage;
mod subscriptions;
mod values;
mod wallet;
mod webhook;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use self::auth::AuthConfig;
pub use self::breez::BreezSettings;
pub use self::cashu::CashuConfig;
pub use self::info::InfoConfig;
pub use self::lightning_address::LightningAddressConfig;
pub use self::limits::LimitsConfig;
pub use self::logging::LoggingConfig;
pub use self::nostr::NostrConfig;
pub use self::payments::PaymentsConfig;
pub use self::problem::{ConfigError, Problem, Warning};
pub use self::profile::ProfileConfig;
pub use self::rates::{RatesConfig, SourceConfig};
pub use self::storage::StorageConfig;
pub use self::subscriptions::SubscriptionsConfig;
use self::values::Values;
pub use self::wallet::WalletConfig;
pub use self::webhook::WebhookConfig;

/// Everything the daemon can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub info: InfoConfig,
    /// Its key and its relays.
    pub nostr: NostrConfig,
    /// The wallet that takes and makes payments.
    pub wallet: WalletConfig,
    /// The bounds of what it pays.
    pub payments: PaymentsConfig,
    /// Who says what a bitcoin costs.
    pub rates: RatesConfig,
    /// The ticket wallet.
    pub cashu: CashuConfig,
    /// Who may use it.
    pub auth: AuthConfig,
    /// What a stranger can cost.
    pub limits: LimitsConfig,
    /// Where it keeps its data.
    pub storage: StorageConfig,
    /// Whether and how subscriptions are charged by the schedule.
    pub subscriptions: SubscriptionsConfig,
    /// Where events are posted to.
    pub webhook: WebhookConfig,
    /// The public profile of the service.
    pub profile: ProfileConfig,
    /// Names that anybody can pay to.
    pub lightning_address: Option<LightningAddressConfig>,
    /// What is logged.
    pub logging: LoggingConfig,
}

/// A configuration that can be used, and what its owner should hear about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is odd, but not wrong.
    pub warnings: Vec<Warning>,
}

/// The variables of the environment, as read once at the start.
pub type Environment = BTreeMap<String, String>;

/// What the command line says; it wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--dev`: the key and the token may be missing, they are made up.
    pub dev: bool,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
}

/// Reads a configuration from the text of its file and the environment.
///
/// # Errors
/// All that is wrong at once, each with a sentence that says what to do.
pub fn load(
    file: Option<&str>,
    environment: &Environment,
    home: Option<&std::path::Path>,
    flags: &Flags,
) -> Result<Loaded, ConfigError> {
    let mut values = Values::read(file, environment)?;
    let config = Config {
        info: InfoConfig::take(&mut values, flags),
        nostr: NostrConfig::take(&mut values, flags),
        wallet: WalletConfig::take(&mut values),
        payments: PaymentsConfig::take(&mut values),
        rates: RatesConfig::take(&mut values),
        cashu: CashuConfig::take(&mut values),
        auth: AuthConfig::take(&mut values, flags),
        limits: LimitsConfig::take(&mut values),
        storage: StorageConfig::take(&mut values, environment, home, flags),
        subscriptions: SubscriptionsConfig::take(&mut values),
        webhook: WebhookConfig::take(&mut values),
        profile: ProfileConfig::take(&mut values),
        lightning_address: LightningAddressConfig::take(&mut values),
        logging: LoggingConfig::take(&mut values),
    };
    if let (Some(_), WalletConfig::Breez(_)) = (&config.lightning_address, &config.wallet) {
        values.problem(LightningAddressConfig::NOT_WITH_BREEZ);
    }
    let warnings = values.finish()?;
    Ok(Loaded { config, warnings })
}

#[cfg(test)]
mod tests;
