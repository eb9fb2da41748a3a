//! The variables that lie over the file: those of mints in the field, by the names they have
//! there. An empty value means "not set", a `CDK_MINTD_` name that nobody knows is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use portal_core::primitives::Secret;

use super::Problems;
use super::file::File;
use super::problem::Problem;

/// The variables of the environment, as read once at the start.
pub type Environment = BTreeMap<String, String>;

const PREFIX: &str = "CDK_MINTD_";

/// What has no place in a file.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) mnemonic: Option<Secret<String>>,
    pub(super) mnemonic_file: Option<PathBuf>,
    pub(super) static_token: Option<Secret<String>>,
    pub(super) nwc_url: Option<Secret<String>>,
    pub(super) breez_mnemonic: Option<Secret<String>>,
    pub(super) breez_api_key: Option<Secret<String>>,
}

pub(super) fn lay_over(
    file: &mut File,
    environment: &Environment,
    problems: &mut Problems,
) -> Secrets {
    let mut secrets = Secrets::default();
    for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
        match name.as_str() {
            "MNEMONIC_FILE" => secrets.mnemonic_file = Some(value.into()),
            "PORTAL_MINT_NWC_URL" => secrets.nwc_url = Some(Secret::new(value.clone())),
            "PORTAL_MINT_BREEZ_MNEMONIC" => {
                secrets.breez_mnemonic = Some(Secret::new(value.clone()));
            }
            "PORTAL_MINT_BREEZ_API_KEY" => {
                secrets.breez_api_key = Some(Secret::new(value.clone()));
            }
            _ => {
                if let Some(short) = name.strip_prefix(PREFIX) {
                    one(short, value, file, &mut secrets, problems);
                }
            }
        }
    }
    secrets
}

fn one(short: &str, value: &str, file: &mut File, secrets: &mut Secrets, problems: &mut Problems) {
    let text = || Some(value.to_owned());
    let mut reader = Reader { short, value, problems };
    let rules = &mut file.auth.method.fixed.get_or_insert_default().rules;
    match short {
        // Where the data is: read by the program, before there is a file.
        "WORK_DIR" => {}
        "MNEMONIC" => secrets.mnemonic = text().map(Secret::new),
        "AUTH_STATIC_TOKEN" => secrets.static_token = text().map(Secret::new),
        "URL" => file.info.url = text(),
        "LISTEN_HOST" => file.info.listen_host = text(),
        "LISTEN_PORT" => file.info.listen_port = reader.number(),
        "MINT_NAME" => file.mint_info.name = text(),
        "MINT_DESCRIPTION" => file.mint_info.description = text(),
        "MINT_DESCRIPTION_LONG" => file.mint_info.description_long = text(),
        "MINT_ICON_URL" => file.mint_info.icon_url = text(),
        "MINT_MOTD" => file.mint_info.motd = text(),
        "MINT_TOS_URL" => file.mint_info.tos_url = text(),
        "MINT_EMAIL" => file.mint_info.contact_email = text(),
        "MINT_NOSTR" => file.mint_info.contact_nostr_public_key = text(),
        "LN_BACKEND" => file.ln.ln_backend = text(),
        "LN_MIN_MINT" | "LN_MINT_MIN" => file.ln.mint_min = reader.number(),
        "LN_MAX_MINT" | "LN_MINT_MAX" => file.ln.mint_max = reader.number(),
        "LN_MIN_MELT" | "LN_MELT_MIN" => file.ln.melt_min = reader.number(),
        "LN_MAX_MELT" | "LN_MELT_MAX" => file.ln.melt_max = reader.number(),
        "DATABASE" | "DATABASE_ENGINE" => file.database.engine = text(),
        "DATABASE_URL" | "POSTGRES_URL" => {
            file.database.connection_string = text().map(Secret::new);
        }
        "PORTAL_WALLET_SUPPORTED_UNITS" => match supported_units(value) {
            Some(units) => file.portal_wallet.supported_units = units,
            None => problems.wrong(
                "CDK_MINTD_PORTAL_WALLET_SUPPORTED_UNITS",
                "units with their number of denominations, like vip:32,general:32",
            ),
        },
        "AUTH_MINT_MAX_BAT" => rules.mint_max_bat = reader.number(),
        "AUTH_ENABLED_MINT" => rules.enabled_mint = reader.flag(),
        "AUTH_ENABLED_MELT" => rules.enabled_melt = reader.flag(),
        "AUTH_ENABLED_SWAP" => rules.enabled_swap = reader.flag(),
        "AUTH_ENABLED_RESTORE" => rules.enabled_restore = reader.flag(),
        "AUTH_ENABLED_CHECK_MINT_QUOTE" => rules.enabled_check_mint_quote = reader.flag(),
        "AUTH_ENABLED_CHECK_MELT_QUOTE" => rules.enabled_check_melt_quote = reader.flag(),
        "AUTH_ENABLED_CHECK_PROOF_STATE" => rules.enabled_check_proof_state = reader.flag(),
        _ => problems.add(Problem::Unknown { name: format!("{PREFIX}{short}") }),
    }
}

struct Reader<'a> {
    short: &'a str,
    value: &'a str,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        let number = self.value.parse().ok();
        if number.is_none() {
            self.problems.wrong(&format!("{PREFIX}{}", self.short), "a whole number that fits");
        }
        number
    }

    fn flag(&mut self) -> Option<bool> {
        match self.value {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                self.problems.wrong(&format!("{PREFIX}{}", self.short), "true or false");
                None
            }
        }
    }
}

fn supported_units(text: &str) -> Option<BTreeMap<String, u8>> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, count) = part.split_once(':')?;
            Some((name.trim().to_owned(), count.trim().parse().ok()?))
        })
        .collect()
}
