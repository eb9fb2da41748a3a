//! `[lightning_address]`: names of this daemon that anybody can pay to (LUD-16).

use portal_core::primitives::Millisats;

use super::problem::Problem;
use super::values::Values;

/// Names that anybody can pay to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightningAddressConfig {
    /// `lightning_address.names`: what may stand before the `@`.
    pub names: Vec<String>,
    /// `lightning_address.url`: where the world reaches this daemon, without a path.
    pub url: url::Url,
    /// `lightning_address.description`: what payers read.
    pub description: String,
    /// `lightning_address.min_msat`.
    pub least: Millisats,
    /// `lightning_address.max_msat`.
    pub most: Millisats,
}

impl LightningAddressConfig {
    /// Payers compare the hash in the invoice with what they were told (LUD-06).
    pub(super) const NOT_WITH_BREEZ: Problem = Problem::Missing {
        key: "a wallet for `lightning_address.names`",
        help: "the built-in Breez wallet makes no invoices with the hash of a description; link a \
               wallet with NWC_URL, or remove the names",
    };
    /// 0.01 BTC: more is no everyday payment.
    const MOST: u64 = 1_000_000_000;

    /// `None` when no name is given.
    pub(super) fn take(values: &mut Values) -> Option<Self> {
        let name = values.name_of("lightning_address.names");
        let names = values.list("lightning_address.names");
        let url_name = values.name_of("lightning_address.url");
        let url = values.text("lightning_address.url");
        let description = values.text("lightning_address.description");
        let amount = "an amount in msat, at least 1";
        let least = values.number("lightning_address.min_msat", amount).unwrap_or(1000_u64);
        let most_name = values.name_of("lightning_address.max_msat");
        let most = values.number("lightning_address.max_msat", amount).unwrap_or(Self::MOST);
        let names = names?;
        let possible = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        if !names.iter().all(|name| name.bytes().all(possible) && name.len() <= 64) {
            return values.wrong(name, "names of small letters, digits and `-_.`");
        }
        if least == 0 || least > most {
            return values.wrong(most_name, "an amount in msat that is not below the least");
        }
        let Some(url) = url.and_then(|text| url::Url::parse(&text).ok()).filter(usable) else {
            return values.wrong(url_name, "the public https address of this daemon");
        };
        Some(Self {
            description: description
                .unwrap_or_else(|| url.host_str().unwrap_or_default().to_owned()),
            names,
            url,
            least: Millisats::new(least),
            most: Millisats::new(most),
        })
    }
}

/// Wallets refuse plain `http`, except to their own machine and to onion services.
fn usable(url: &url::Url) -> bool {
    let plain = url.host_str().is_some_and(|host| {
        host.ends_with(".onion") || matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    });
    (url.scheme() == "https" || url.scheme() == "http" && plain)
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty()
}
