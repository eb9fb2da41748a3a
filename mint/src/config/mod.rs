//! What the mint is told by its file and its environment, as types.
//!
//! [`load`] is a pure function of texts, so every rule here is a unit test. The keys and the
//! variables are those of mints in the field; what is ours is only added: `[lightning]`,
//! `[operations]`, `[limits]`, `auth.tokens_file`, `auth.open`, and a few keys of a unit.
//!
//! One trap is kept on purpose, since deployed files rely on it: `enabled_swap = true` means "a
//! token is needed to swap", not "swapping is possible". Operations are turned off in
//! `operations.disabled`.

mod auth;
mod environment;
mod file;
mod lightning;
mod limits;
mod problem;
mod units;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use portal_core::primitives::Secret;

pub use self::auth::AuthConfig;
pub(crate) use self::auth::is_token;
pub use self::environment::Environment;
use self::file::File;
pub use self::lightning::{BreezSettings, LightningConfig, WalletKind};
pub use self::limits::LimitsConfig;
pub use self::problem::{ConfigError, Problem};
pub(crate) use self::units::POSTGRES_MAX;
use crate::units::{Backing, Units};

/// The port of mints.
pub const DEFAULT_PORT: u16 = 3338;

/// How long a quote can be used, in seconds.
const QUOTE_TTL: u64 = 3600;

/// Everything the mint can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address that wallets know, without a `/` at the end. `None`: what it listens on.
    pub url: Option<String>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The words all keys come from.
    pub mnemonic: Option<Secret<String>>,
    /// A file with them.
    pub mnemonic_file: Option<PathBuf>,
    /// Whether keyset ids have the first form, for wallets of 2025 and before.
    pub keyset_version_1: bool,
    /// How long a quote can be used, in seconds.
    pub quote_ttl: u64,
    /// How it presents itself.
    pub about: About,
    /// What a single quote may ask for.
    pub amounts: AmountLimits,
    /// What it issues.
    pub units: Units,
    /// The wallet behind the units that are paid over Lightning.
    pub lightning: LightningConfig,
    /// Where it keeps its books.
    pub database: DatabaseConfig,
    /// Who may do what.
    pub auth: AuthConfig,
    /// What a stranger can cost.
    pub limits: LimitsConfig,
}

/// `[mint_info]`.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its name.
    pub name: Option<String>,
    /// A sentence.
    pub description: Option<String>,
    /// More sentences.
    pub description_long: Option<String>,
    /// A picture.
    pub icon_url: Option<String>,
    /// What wallets show their users.
    pub motd: Option<String>,
    /// Terms of service.
    pub tos_url: Option<String>,
    /// How to reach whoever runs it: method and address.
    pub contact: Vec<(String, String)>,
}

/// The amounts of `[ln]`, in base units of each unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountLimits {
    /// The least that is minted at once.
    pub mint_min: u64,
    /// The most.
    pub mint_max: u64,
    /// The least that is melted at once.
    pub melt_min: u64,
    /// The most.
    pub melt_max: u64,
}

/// `[database]`.
#[derive(Clone, Debug)]
pub enum DatabaseConfig {
    /// A file in the data folder.
    Sqlite,
    /// A server.
    Postgres {
        /// How to reach it.
        connection: Secret<String>,
        /// The most connections.
        max_connections: usize,
    },
}

/// A configuration that can be used, and what its owner should hear about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is odd, but not wrong.
    pub warnings: Vec<String>,
}

/// Reads a configuration from the text of its file and the environment.
///
/// # Errors
/// All that is wrong at once, each with a sentence that says what to do.
pub fn load(text: Option<&str>, environment: &Environment) -> Result<Loaded, ConfigError> {
    let text = text.unwrap_or_default();
    let mut file: File =
        toml::from_str(text).map_err(|error| ConfigError::from_toml(text, &error))?;
    let mut problems = Problems::default();
    let from_environment = environment::lay_over(&mut file, environment, &mut problems);
    let config = build(file, from_environment, &mut problems);
    if !problems.0.is_empty() {
        return Err(ConfigError::Invalid { problems: problems.0 });
    }
    let warnings = warnings(&config);
    Ok(Loaded { config, warnings })
}

/// What was found wrong so far.
#[derive(Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    fn wrong(&mut self, name: &str, expected: &'static str) {
        self.add(Problem::WrongForm { name: name.to_owned(), expected });
    }
}

fn build(file: File, mut secrets: environment::Secrets, problems: &mut Problems) -> Config {
    let File { info, mint_info, ln, portal_wallet, lightning, database, auth, operations, limits } =
        file;
    if !matches!(ln.ln_backend.as_deref(), None | Some("portalwallet")) {
        problems.wrong("`ln.ln_backend`", "\"portalwallet\"");
    }
    let keyset_version_1 = match info.keyset_version {
        None | Some(2) => false,
        Some(1) => true,
        Some(_) => {
            problems.wrong("`info.keyset_version`", "1 or 2");
            false
        }
    };
    let database = database_of(database, problems);
    let postgres = matches!(database, DatabaseConfig::Postgres { .. });
    let units =
        self::units::read(portal_wallet, &lightning.units, postgres, keyset_version_1, problems);
    let needed = units.values().any(|unit| unit.backing == Backing::Lightning);
    let lightning = LightningConfig::read(lightning, needed, &mut secrets, problems);
    let amounts = amounts_of(&ln, postgres, problems);
    let auth = AuthConfig::read(auth, operations.disabled, secrets.static_token, problems);
    let config = Config {
        url: info.url.as_deref().and_then(|url| public_url(url, problems)),
        listen: listen(info.listen_host.as_deref(), info.listen_port, problems),
        mnemonic: secrets.mnemonic.or(info.mnemonic),
        mnemonic_file: secrets.mnemonic_file.or(info.mnemonic_file),
        keyset_version_1,
        quote_ttl: info.quote_ttl.unwrap_or(QUOTE_TTL),
        about: About {
            name: mint_info.name,
            description: mint_info.description,
            description_long: mint_info.description_long,
            icon_url: mint_info.icon_url,
            motd: mint_info.motd,
            tos_url: mint_info.tos_url,
            contact: [
                ("email", mint_info.contact_email),
                ("nostr", mint_info.contact_nostr_public_key),
            ]
            .into_iter()
            .filter_map(|(method, info)| Some((method.to_owned(), info?)))
            .collect(),
        },
        amounts,
        lightning,
        units,
        database,
        auth,
        limits: LimitsConfig::read(limits, problems),
    };
    check_minting(&config, problems);
    if !(30..=7 * 24 * 3600).contains(&config.quote_ttl) {
        problems.wrong("`info.quote_ttl`", "30 seconds to 7 days");
    }
    config
}

/// Tickets that nobody pays for are given to those who hold a token, and to nobody else.
fn check_minting(config: &Config, problems: &mut Problems) {
    use crate::auth::Operation::Mint;
    let tickets = config.units.values().any(|unit| unit.backing == Backing::Tickets);
    let free = !config.auth.guarded.has(Mint) && !config.auth.disabled.has(Mint);
    if !tickets || !free {
        return;
    }
    if !config.auth.open {
        problems.add(Problem::Missing {
            name: "`auth.method.Static.token`",
            why: "without it, and with `enabled_mint = false`, anybody can have every ticket; \
                  `auth.open = true` says that this is play money",
        });
    } else if !config.listen.ip().is_loopback() {
        problems.add(Problem::Conflict {
            name: "`auth.open`".into(),
            why: "gives tickets to anybody, so the mint must listen on a loopback address",
        });
    }
}

fn warnings(config: &Config) -> Vec<String> {
    use crate::auth::Operation;
    let mut warnings = Vec::new();
    let guarded = |operation| config.auth.guarded.has(operation);
    if guarded(Operation::Swap) {
        warnings.push(
            "a token is needed to swap (`enabled_swap` is not false): people's wallets cannot \
             receive tickets"
                .to_owned(),
        );
    }
    if config.auth.open {
        warnings.push("tickets are given to anybody who asks (`auth.open`)".to_owned());
    }
    warnings
}

fn database_of(written: file::Database, problems: &mut Problems) -> DatabaseConfig {
    let file::Database { engine, connection_string, max_connections } = written;
    match engine.as_deref() {
        None | Some("sqlite") => DatabaseConfig::Sqlite,
        Some("postgres" | "postgresql") if !cfg!(feature = "postgres") => {
            problems.add(Problem::Conflict {
                name: "`database.engine`".into(),
                why: "this program was built without PostgreSQL (cargo feature `postgres`)",
            });
            DatabaseConfig::Sqlite
        }
        Some("postgres" | "postgresql") => {
            let max_connections = max_connections.unwrap_or(20);
            if !(2..=1000).contains(&max_connections) {
                problems.wrong("`database.max_connections`", "a number from 2 to 1000");
            }
            match connection_string {
                Some(connection) => DatabaseConfig::Postgres { connection, max_connections },
                None => {
                    problems.add(Problem::Missing {
                        name: "`database.connection_string`",
                        why: "PostgreSQL has to be found",
                    });
                    DatabaseConfig::Sqlite
                }
            }
        }
        Some(_) => {
            problems.wrong("`database.engine`", "\"sqlite\" or \"postgres\"");
            DatabaseConfig::Sqlite
        }
    }
}

fn amounts_of(ln: &file::Ln, postgres: bool, problems: &mut Problems) -> AmountLimits {
    let limits = AmountLimits {
        mint_min: ln.mint_min.unwrap_or(1),
        mint_max: ln.mint_max.unwrap_or(1_000_000),
        melt_min: ln.melt_min.unwrap_or(1),
        melt_max: ln.melt_max.unwrap_or(1_000_000),
    };
    // Sums are 64-bit signed in the books, and cut to 32 bits by PostgreSQL's tables.
    let most = if postgres { POSTGRES_MAX } else { 1 << 53 };
    let pairs = [
        ("`ln.mint_min` and `ln.mint_max`", limits.mint_min, limits.mint_max),
        ("`ln.melt_min` and `ln.melt_max`", limits.melt_min, limits.melt_max),
    ];
    for (name, min, max) in pairs {
        if min == 0 || min > max || max > most {
            problems.wrong(
                name,
                "amounts from 1 to 2^53 (2147483647 with PostgreSQL), the least first",
            );
        }
    }
    limits
}

fn listen(host: Option<&str>, port: Option<u16>, problems: &mut Problems) -> SocketAddr {
    let host = host.unwrap_or("127.0.0.1");
    let ip = if host == "localhost" { Ok(IpAddr::from([127, 0, 0, 1])) } else { host.parse() };
    let ip = ip.unwrap_or_else(|_| {
        problems.wrong("`info.listen_host`", "an IP address");
        IpAddr::from([127, 0, 0, 1])
    });
    SocketAddr::new(ip, port.unwrap_or(DEFAULT_PORT))
}

/// Wallets compare addresses as texts: one form, and never a `/` at the end.
fn public_url(text: &str, problems: &mut Problems) -> Option<String> {
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let fits = rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest.len() <= 1024
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
            && !rest.contains(['?', '#', '@', '"', '<', '>', '\\'])
    });
    if !fits {
        problems.wrong("`info.url`", "an http or https address");
        return None;
    }
    Some(url.to_owned())
}

#[cfg(test)]
mod tests;
