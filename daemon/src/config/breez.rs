//! `[wallet.breez]`: the built-in wallet.

use std::path::PathBuf;

use portal_core::identity::Mnemonic;
use portal_core::primitives::Secret;

use super::problem::Problem;
use super::values::Values;

/// What a payment may always cost, in satoshi.
const FEE_LIMIT_SATS: u64 = 25;
/// What it may cost where that is more, in millionths of the amount.
const FEE_LIMIT_PPM: u32 = 10_000;

/// The built-in wallet.
#[derive(Clone, Debug)]
pub struct BreezSettings {
    /// Its words; whoever has them has the money.
    pub mnemonic: Secret<String>,
    /// From Breez; always there for real money.
    pub api_key: Option<Secret<String>>,
    /// Real money, or money for tests.
    pub mainnet: bool,
    /// Where it keeps its books; else a folder in the data directory.
    pub storage_dir: Option<PathBuf>,
    /// Where the official library is; else where it is usually found.
    pub library: Option<PathBuf>,
    /// The fee that is always allowed.
    pub fee_limit_sats: u64,
    /// The fee that is allowed in millionths of the amount, where that is more.
    pub fee_limit_ppm: u32,
    /// Other servers of Spark than those of the network, as JSON.
    pub spark: Option<String>,
}

impl BreezSettings {
    /// Takes the settings; `None`, with a problem noted, when they are not complete. Nothing is
    /// missed when `wanted` is false.
    pub(super) fn take(values: &mut Values, wanted: impl FnOnce(bool) -> bool) -> Option<Self> {
        let words_name = values.name_of("wallet.breez.mnemonic");
        let mnemonic = values.secret("wallet.breez.mnemonic");
        let api_key = values.secret("wallet.breez.api_key");
        let storage_dir = values.text("wallet.breez.storage_dir").map(PathBuf::from);
        let library = values.text("wallet.breez.library").map(PathBuf::from);
        let network_name = values.name_of("wallet.breez.network");
        let network = values.text("wallet.breez.network");
        let sats = "a number of satoshi";
        let fee_limit_sats: Option<u32> = values.number("wallet.breez.fee_limit_sats", sats);
        let ppm = "millionths of the amount, a whole number";
        let fee_limit_ppm = values.number("wallet.breez.fee_limit_ppm", ppm);
        let spark_name = values.name_of("wallet.breez.spark");
        let spark = values.text("wallet.breez.spark");
        if !wanted(mnemonic.is_some()) {
            return None;
        }
        let mainnet = match network.as_deref() {
            None | Some("mainnet") => true,
            Some("regtest") => false,
            Some(_) => return values.wrong(network_name, "mainnet or regtest"),
        };
        let Some(mnemonic) = mnemonic else {
            values.problem(Problem::Missing {
                key: "wallet.breez.mnemonic",
                help: "`wallet.ln_backend` is breez: set BREEZ_MNEMONIC to the words of the \
                       wallet (`portal key new --reveal` makes some)",
            });
            return None;
        };
        if Mnemonic::parse(mnemonic.expose()).is_err() {
            return values.wrong(words_name, "12 to 24 English words of BIP-39");
        }
        if mainnet && api_key.is_none() {
            values.problem(Problem::Missing {
                key: "wallet.breez.api_key",
                help: "the Breez wallet needs one for real money, free of charge from \
                       breez.technology: set BREEZ_API_KEY",
            });
            return None;
        }
        if spark.as_deref().is_some_and(|text| !is_environment(text)) {
            return values
                .wrong(spark_name, "JSON with operators, threshold, ssp_url, ssp_public_key");
        }
        Some(Self {
            mnemonic,
            api_key,
            mainnet,
            storage_dir,
            library,
            fee_limit_sats: fee_limit_sats.map_or(FEE_LIMIT_SATS, u64::from),
            fee_limit_ppm: fee_limit_ppm.unwrap_or(FEE_LIMIT_PPM),
            spark,
        })
    }
}

#[cfg(feature = "breez")]
fn is_environment(text: &str) -> bool {
    serde_json::from_str::<portal_breez::SparkEnvironment>(text).is_ok()
}

#[cfg(not(feature = "breez"))]
const fn is_environment(_: &str) -> bool {
    true
}
