//! `[wallet]`: the Lightning wallet that takes and makes payments.

use portal_core::wallet::nwc::{NwcUri, NwcUriError};

use super::breez::BreezSettings;
use super::problem::{Problem, Warning};
use super::values::Values;

/// The Lightning wallet that takes and makes payments.
#[derive(Clone)]
pub enum WalletConfig {
    /// None: payment commands say so. `--dev` puts its simulated wallet here.
    None,
    /// A wallet linked by NIP-47.
    Nwc {
        /// `nostr+walletconnect://…`; whoever has it can do what the wallet lets this link do.
        link: NwcUri,
        /// Whether the link may be one that can spend; needed to pay out.
        allow_spending: bool,
    },
    /// The built-in wallet.
    Breez(Box<BreezSettings>),
}

impl std::fmt::Debug for WalletConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Nwc { .. } => "Nwc(..)",
            Self::Breez(_) => "Breez(..)",
        })
    }
}

impl WalletConfig {
    /// What payment commands answer when a build without the built-in wallet is asked for it.
    pub const BREEZ_MISSING: &'static str = "the built-in Breez wallet is not part of this build: \
        link a wallet with NWC_URL (nostr+walletconnect://…) instead";

    pub(super) fn take(values: &mut Values) -> Self {
        let backend_name = values.name_of("wallet.ln_backend");
        let backend = values.text("wallet.ln_backend");
        let nwc_name = values.name_of("wallet.nwc.url");
        let nwc_url = values.secret("wallet.nwc.url");
        let allow_spending = values.flag("wallet.nwc.allow_spending").unwrap_or(false);
        let linked = nwc_url.is_some();
        let mut has_words = false;
        let breez = BreezSettings::take(values, |words| {
            has_words = words;
            match backend.as_deref() {
                Some("breez") => true,
                None => words && !linked,
                Some(_) => false,
            }
        });
        if backend.as_deref() == Some("none") && nwc_url.is_some() {
            values.warn(Warning::NoEffect {
                name: nwc_name.clone(),
                why: "`wallet.ln_backend` is none, so there is no wallet; remove it or set it to nwc",
            });
        }
        let wallet = match (backend.as_deref(), nwc_url) {
            (Some("nwc") | None, Some(url)) => match NwcUri::parse(url.expose()) {
                Ok(link) => Self::Nwc { link, allow_spending },
                Err(error) => {
                    let expected = expected(error);
                    values.problem(Problem::WrongForm { name: nwc_name.clone(), expected });
                    Self::None
                }
            },
            (Some("nwc"), None) => {
                values.problem(Problem::Missing {
                    key: "wallet.nwc.url",
                    help: "`wallet.ln_backend` is nwc: set NWC_URL to the link that your wallet \
                           shows under `Nostr Wallet Connect`",
                });
                Self::None
            }
            // What is missing has been said.
            (Some("breez"), _) => breez.map_or(Self::None, |it| Self::Breez(Box::new(it))),
            (None, None) => breez.map_or(Self::None, |it| Self::Breez(Box::new(it))),
            (Some("none"), _) => Self::None,
            (Some(_), _) => {
                values.problem(Problem::WrongForm {
                    name: backend_name,
                    expected: "none, nwc or breez",
                });
                Self::None
            }
        };
        match &wallet {
            Self::Breez(_) if !cfg!(feature = "breez") => {
                values.warn(Warning::WalletMissing { what: Self::BREEZ_MISSING });
            }
            Self::Breez(_) if linked => values.warn(Warning::NoEffect {
                name: nwc_name,
                why: "the built-in Breez wallet is used",
            }),
            Self::Nwc { .. } if has_words => values.warn(Warning::NoEffect {
                name: "the Breez wallet".into(),
                why: "the wallet linked with NWC_URL is used",
            }),
            Self::Breez(_) | Self::Nwc { .. } | Self::None => {}
        }
        wallet
    }
}

/// What a link lacks. Never repeats any of it.
const fn expected(error: NwcUriError) -> &'static str {
    match error {
        NwcUriError::NotALink => "a wallet link: nostr+walletconnect://<key>?relay=…&secret=…",
        NwcUriError::WrongWalletKey => {
            "a wallet link with the wallet's public key: nostr+walletconnect://<key>?…"
        }
        NwcUriError::NoSecret => "a wallet link with its secret: …&secret=<64 hex digits>",
        NwcUriError::WrongSecret => "a wallet link whose secret is a key of 64 hex digits",
        NwcUriError::NoRelay => "a wallet link with a relay: …?relay=wss://…",
        NwcUriError::TooManyRelays => "a wallet link with at most 8 relays",
        NwcUriError::WrongRelay => "a wallet link whose relays are ws:// or wss:// addresses",
    }
}
