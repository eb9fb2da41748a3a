//! How a wallet is opened.

use std::path::PathBuf;
use std::time::Duration;

use portal_core::primitives::{Millisats, Secret};
use serde::Deserialize;

use crate::codec::{Misfit, Value};

/// What a wallet needs to be opened.
#[derive(Clone, Debug)]
pub struct BreezConfig {
    /// The words of the person or merchant; without passphrase. Whoever has them has the money.
    pub mnemonic: Secret<String>,
    /// Where the library and this crate keep their books. Made when it is not there, for the
    /// owner alone.
    pub storage_dir: PathBuf,
    /// Real money, or not.
    pub network: BreezNetwork,
    /// From Breez; required for [`BreezNetwork::Mainnet`].
    pub api_key: Option<Secret<String>>,
    /// The most that a payment may cost.
    pub fees: FeePolicy,
    /// What becomes of an invoice for a part of a satoshi.
    pub fractions: Fractions,
    /// Other operators than those of the network.
    pub spark: Option<SparkEnvironment>,
    /// How long things may take.
    pub limits: Limits,
}

impl BreezConfig {
    /// A wallet with everything else as usual.
    #[must_use]
    pub fn new(mnemonic: Secret<String>, storage_dir: PathBuf, network: BreezNetwork) -> Self {
        Self {
            mnemonic,
            storage_dir,
            network,
            api_key: None,
            fees: FeePolicy::default(),
            fractions: Fractions::default(),
            spark: None,
            limits: Limits::default(),
        }
    }
}

/// A network of Spark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreezNetwork {
    /// Real money.
    Mainnet,
    /// Money for tests.
    Regtest,
}

impl BreezNetwork {
    /// As the library spells it.
    pub(crate) const fn variant(self) -> &'static str {
        match self {
            Self::Mainnet => "Mainnet",
            Self::Regtest => "Regtest",
        }
    }

    /// As [`WalletInfo`](portal_core::wallet::WalletInfo) spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "bitcoin",
            Self::Regtest => "regtest",
        }
    }
}

/// The most that a payment may cost on top. The fee is known before anything is sent, so a
/// payment above the limit is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePolicy {
    /// This much is always allowed.
    pub floor: Millisats,
    /// Millionths of the amount, where that is more.
    pub ppm: u32,
}

impl Default for FeePolicy {
    /// One percent, or 25 sat.
    fn default() -> Self {
        Self { floor: Millisats::new(25_000), ppm: 10_000 }
    }
}

impl FeePolicy {
    /// The most that paying this amount may cost.
    #[must_use]
    pub fn limit(self, amount: Millisats) -> Millisats {
        let share = u128::from(amount.as_u64()) * u128::from(self.ppm) / 1_000_000;
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        self.floor.max(Millisats::new(share))
    }
}

/// What becomes of an invoice for a part of a satoshi: Spark knows whole ones only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fractions {
    /// The invoice asks for the next whole satoshi. Never for less than was asked.
    #[default]
    RoundUp,
    /// No invoice is made.
    Refuse,
}

/// Operators and a service provider of one's own, for tests and staging.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparkEnvironment {
    /// In the order of their ids; the first coordinates.
    pub operators: Vec<SparkOperator>,
    /// How many of them must take part.
    pub threshold: u32,
    /// `http(s)://host:port` of the service provider, without a slash at the end.
    pub ssp_url: String,
    /// Its public key, 66 hex digits.
    pub ssp_public_key: String,
}

/// One operator.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparkOperator {
    /// `http(s)://host:port`.
    pub address: String,
    /// Its public key, 66 hex digits.
    pub public_key: String,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Opening the wallet, making an invoice, asking for a fee.
    pub call: Duration,
    /// Asking the operators whether they are there.
    pub probe: Duration,
    /// Bringing the books up to date.
    pub sync: Duration,
    /// Books younger than this are not brought up to date again.
    pub fresh: Duration,
    /// How often the operators are asked whether they are there, while they are.
    pub health: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            probe: Duration::from_secs(10),
            sync: Duration::from_secs(30),
            fresh: Duration::from_secs(2),
            health: Duration::from_secs(60),
        }
    }
}

/// The library's configuration with our choices in it: nobody is contacted but the operators, the
/// service provider and, for on-chain money, the block explorer that the library names.
pub(crate) fn apply(config: &BreezConfig, library: &mut Value) -> Result<(), Misfit> {
    let key = config.api_key.as_ref();
    library.set("api_key", Value::optional(key, |key| Value::Secret(key.clone())))?;
    library.set("real_time_sync_server_url", Value::None)?;
    library.set("lnurl_domain", Value::None)?;
    library.set("cross_chain_config", Value::None)?;
    library.set("stable_balance_config", Value::None)?;
    library.set("use_default_external_input_parsers", Value::Flag(false))?;
    library.set("prefer_spark_over_lightning", Value::Flag(false))?;
    let tokens = library.slot("token_optimization_config")?;
    tokens.set("auto_enabled", Value::Flag(false))?;
    if let Some(spark) = &config.spark {
        // Another environment need not offer the swaps that the optimiser asks for.
        let leaves = library.slot("leaf_optimization_config")?;
        leaves.set("auto_enabled", Value::Flag(false))?;
        environment(spark, library.slot("spark_config")?)?;
    }
    Ok(())
}

fn environment(spark: &SparkEnvironment, library: &mut Value) -> Result<(), Misfit> {
    let Value::List(known) = library.get("signing_operators")?.clone() else {
        return Err(Misfit::at("signing_operators"));
    };
    let model = known.first().ok_or_else(|| Misfit::at("signing_operators"))?;
    let mut operators = Vec::new();
    for (index, operator) in (0u64..).zip(&spark.operators) {
        let mut value = model.clone();
        value.set("id", Value::Unsigned(index))?;
        value.set("identifier", Value::text(identifier(index)))?;
        value.set("address", Value::text(operator.address.as_str()))?;
        value.set("identity_public_key", Value::text(operator.public_key.as_str()))?;
        value.set("ca_cert_pem", Value::None)?;
        operators.push(value);
    }
    library.set("signing_operators", Value::List(operators))?;
    library.set("coordinator_identifier", Value::text(identifier(0)))?;
    library.set("threshold", Value::Unsigned(u64::from(spark.threshold)))?;
    let ssp = library.slot("ssp_config")?;
    ssp.set("base_url", Value::text(spark.ssp_url.as_str()))?;
    ssp.set("identity_public_key", Value::text(spark.ssp_public_key.as_str()))
}

/// The name of an operator in the signing protocol: its id plus one, as 32 bytes.
fn identifier(index: u64) -> String {
    format!("{:064x}", index.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fee_limit_is_a_share_with_a_floor() {
        let policy = FeePolicy { floor: Millisats::new(25_000), ppm: 10_000 };
        assert_eq!(policy.limit(Millisats::new(1_000)), Millisats::new(25_000));
        assert_eq!(policy.limit(Millisats::new(10_000_000)), Millisats::new(100_000));
        let all = FeePolicy { floor: Millisats::new(0), ppm: u32::MAX };
        assert_eq!(all.limit(Millisats::new(u64::MAX)), Millisats::new(u64::MAX));
        let none = FeePolicy { floor: Millisats::new(0), ppm: 0 };
        assert_eq!(none.limit(Millisats::new(u64::MAX)), Millisats::new(0));
    }

    #[test]
    fn words_and_key_are_not_shown() {
        let mut config = BreezConfig::new(
            Secret::new("abandon about".to_owned()),
            PathBuf::from("x"),
            BreezNetwork::Regtest,
        );
        config.api_key = Some(Secret::new("key-of-ours".to_owned()));
        let shown = format!("{config:?}");
        assert!(!shown.contains("abandon") && !shown.contains("key-of-ours"), "{shown}");
    }

    #[test]
    fn operators_are_named_by_their_place() {
        assert_eq!(identifier(0), format!("{}1", "0".repeat(63)));
        assert_eq!(identifier(2), format!("{}3", "0".repeat(63)));
    }
}
