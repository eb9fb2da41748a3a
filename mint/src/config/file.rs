//! The configuration file as it is written: tables and keys, nothing checked but their names and
//! types. A key nobody knows is refused, because a misspelt limit or token would otherwise be
//! silently without effect.

use std::collections::BTreeMap;
use std::path::PathBuf;

use portal_core::primitives::Secret;
use serde::{Deserialize, Deserializer};

use crate::units::Kind;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) info: Info,
    pub(super) mint_info: MintInfo,
    pub(super) ln: Ln,
    pub(super) portal_wallet: PortalWallet,
    pub(super) lightning: Lightning,
    pub(super) database: Database,
    pub(super) auth: Auth,
    pub(super) operations: Operations,
    pub(super) limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Info {
    pub(super) url: Option<String>,
    pub(super) listen_host: Option<String>,
    pub(super) listen_port: Option<u16>,
    #[serde(deserialize_with = "secret")]
    pub(super) mnemonic: Option<Secret<String>>,
    pub(super) mnemonic_file: Option<PathBuf>,
    pub(super) keyset_version: Option<u8>,
    pub(super) quote_ttl: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MintInfo {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) description_long: Option<String>,
    pub(super) icon_url: Option<String>,
    pub(super) motd: Option<String>,
    pub(super) tos_url: Option<String>,
    pub(super) contact_email: Option<String>,
    pub(super) contact_nostr_public_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ln {
    pub(super) ln_backend: Option<String>,
    #[serde(alias = "min_mint")]
    pub(super) mint_min: Option<u64>,
    #[serde(alias = "max_mint")]
    pub(super) mint_max: Option<u64>,
    #[serde(alias = "min_melt")]
    pub(super) melt_min: Option<u64>,
    #[serde(alias = "max_melt")]
    pub(super) melt_max: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PortalWallet {
    pub(super) supported_units: BTreeMap<String, u8>,
    pub(super) unit_info: BTreeMap<String, UnitInfo>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UnitInfo {
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) show_individually: bool,
    pub(super) transferable: Option<bool>,
    pub(super) url: Option<String>,
    pub(super) front_card_background: Option<String>,
    pub(super) back_card_background: Option<String>,
    pub(super) kind: Kind,
    pub(super) amounts: Option<Vec<u64>>,
    pub(super) input_fee_ppk: u64,
    pub(super) expires_at: Option<Moment>,
    pub(super) max_supply: Option<u64>,
}

/// A second: as a number, a date of TOML, or a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Moment {
    Seconds(u64),
    Date(toml::value::Datetime),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lightning {
    pub(super) units: Vec<String>,
    pub(super) wallet: Option<String>,
    pub(super) nwc_url_file: Option<PathBuf>,
    pub(super) breez: Breez,
    pub(super) guarded: bool,
    pub(super) fee_reserve_percent: Option<u64>,
    pub(super) fee_reserve_min: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Breez {
    pub(super) mnemonic_file: Option<PathBuf>,
    pub(super) api_key_file: Option<PathBuf>,
    pub(super) network: Option<String>,
    pub(super) library: Option<PathBuf>,
    pub(super) storage_dir: Option<PathBuf>,
    pub(super) spark: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Database {
    pub(super) engine: Option<String>,
    #[serde(deserialize_with = "secret")]
    pub(super) connection_string: Option<Secret<String>>,
    pub(super) max_connections: Option<usize>,
}

/// Its own unknown keys end in `rules`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Auth {
    pub(super) method: AuthMethod,
    pub(super) tokens_file: Option<PathBuf>,
    pub(super) open: bool,
    #[serde(flatten)]
    pub(super) rules: AuthRules,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthMethod {
    #[serde(rename = "Static")]
    pub(super) fixed: Option<StaticAuth>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StaticAuth {
    #[serde(deserialize_with = "secret")]
    pub(super) token: Option<Secret<String>>,
    pub(super) token_file: Option<PathBuf>,
    #[serde(flatten)]
    pub(super) rules: AuthRules,
}

/// True: a token is needed there. False: open to all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthRules {
    pub(super) mint_max_bat: Option<u64>,
    pub(super) enabled_mint: Option<bool>,
    pub(super) enabled_melt: Option<bool>,
    pub(super) enabled_swap: Option<bool>,
    pub(super) enabled_restore: Option<bool>,
    pub(super) enabled_check_mint_quote: Option<bool>,
    pub(super) enabled_check_melt_quote: Option<bool>,
    pub(super) enabled_check_proof_state: Option<bool>,
    /// What serde does not take because of `flatten`: refused by hand.
    #[serde(flatten)]
    pub(super) unknown: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Operations {
    pub(super) disabled: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) max_inputs: Option<usize>,
    pub(super) max_outputs: Option<usize>,
    pub(super) requests_per_minute: Option<u32>,
    pub(super) burst: Option<u32>,
    pub(super) wrong_tokens_per_minute: Option<u32>,
    pub(super) connections: Option<usize>,
    pub(super) trusted_proxies: Vec<String>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(Secret::new))
}
