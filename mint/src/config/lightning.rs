//! `[lightning]`: which wallet is behind `sat`, and what routing may cost.

use std::path::PathBuf;

use portal_core::primitives::Secret;

use super::environment::Secrets;
use super::problem::Problem;
use super::{Problems, file};

/// `[lightning]`.
#[derive(Clone, Debug)]
pub struct LightningConfig {
    /// Whether any unit is paid over Lightning.
    pub needed: bool,
    /// The wallet.
    pub wallet: WalletKind,
    /// Whether the rules about tokens hold for its units too; else whoever pays may mint.
    pub guarded: bool,
    /// What is kept back for routing, in hundredths of the amount.
    pub fee_reserve_percent: u64,
    /// And at least this much, in base units.
    pub fee_reserve_min: u64,
}

/// Which wallet.
#[derive(Clone, Debug)]
pub enum WalletKind {
    /// One that is linked over Nostr.
    Nwc {
        /// The link, from the environment.
        url: Option<Secret<String>>,
        /// A file with it.
        file: Option<PathBuf>,
    },
    /// The built-in one.
    Breez(Box<BreezSettings>),
}

/// `[lightning.breez]`.
#[derive(Clone, Debug)]
pub struct BreezSettings {
    /// The words of the money, from the environment. Not those of the mint.
    pub mnemonic: Option<Secret<String>>,
    /// A file with them.
    pub mnemonic_file: Option<PathBuf>,
    /// The key from Breez, from the environment.
    pub api_key: Option<Secret<String>>,
    /// A file with it.
    pub api_key_file: Option<PathBuf>,
    /// Real money, or regtest.
    pub mainnet: bool,
    /// The library; looked for in the usual places when nobody says.
    pub library: Option<PathBuf>,
    /// Where its books are; `breez` in the data folder when nobody says.
    pub storage_dir: Option<PathBuf>,
    /// Other operators than those of the network, as JSON; for tests.
    pub spark: Option<String>,
}

impl LightningConfig {
    pub(super) fn read(
        written: file::Lightning,
        needed: bool,
        secrets: &mut Secrets,
        problems: &mut Problems,
    ) -> Self {
        let file::Lightning {
            units: _,
            wallet,
            nwc_url_file,
            breez,
            guarded,
            fee_reserve_percent,
            fee_reserve_min,
        } = written;
        let linked = WalletKind::Nwc { url: secrets.nwc_url.take(), file: nwc_url_file };
        let wallet = match wallet.as_deref() {
            None | Some("nwc") => linked,
            Some("breez") => {
                if !cfg!(feature = "breez") {
                    problems.add(Problem::Conflict {
                        name: "`lightning.wallet`".into(),
                        why: "this program was built without the built-in wallet (cargo feature \
                              `breez`)",
                    });
                }
                WalletKind::Breez(Box::new(BreezSettings::read(breez, secrets, problems)))
            }
            Some(_) => {
                problems.wrong("`lightning.wallet`", "\"nwc\" or \"breez\"");
                linked
            }
        };
        let fee_reserve_percent = fee_reserve_percent.unwrap_or(1);
        if fee_reserve_percent > 100 {
            problems.wrong("`lightning.fee_reserve_percent`", "0 to 100");
        }
        let fee_reserve_min = fee_reserve_min.unwrap_or(2);
        Self { needed, wallet, guarded, fee_reserve_percent, fee_reserve_min }
    }
}

impl BreezSettings {
    fn read(written: file::Breez, secrets: &mut Secrets, problems: &mut Problems) -> Self {
        let file::Breez { mnemonic_file, api_key_file, network, library, storage_dir, spark } =
            written;
        let mainnet = match network.as_deref() {
            None | Some("mainnet") => true,
            Some("regtest") => false,
            Some(_) => {
                problems.wrong("`lightning.breez.network`", "\"mainnet\" or \"regtest\"");
                true
            }
        };
        Self {
            mnemonic: secrets.breez_mnemonic.take(),
            mnemonic_file,
            api_key: secrets.breez_api_key.take(),
            api_key_file,
            mainnet,
            library,
            storage_dir,
            spark,
        }
    }
}
