//! Places to pay to, as people hand them around: an invoice, a URI, an LNURL, a name with an `@`.
//!
//! ```text
//!   text ──▶ what is it? ──┬─▶ BOLT11, alone or inside a BIP 321 URI ─────────▶ Invoice
//!          (no network)    ├─▶ BOLT12, on-chain, Cashu, … ────────────────────▶ CannotPay
//!                          └─▶ LNURL (LUD-01, 17), name@domain (LUD-16)
//!                                  └─one guarded GET─▶ LUD-06 ────────────────▶ LnurlPay
//!                                                      LUD-03 ────────────────▶ Withdraw
//! ```
//!
//! Nothing is paid here. An [`LnurlPay`] becomes an invoice once there is an amount
//! ([`LnurlPay::invoice`]); what is paid goes through [`pay`](super::pay) like every invoice.
//! Names are looked up as Lightning addresses only: BIP 353 would tell a name server of a third
//! party whom we pay.

pub mod lnurl;
mod text;

use async_trait::async_trait;
use bitcoin::Network;
use url::Url;

pub use lnurl::{LnurlInvoice, LnurlPay, LnurlWithdraw, Verified, verify};

use crate::primitives::Millisats;
use crate::wallet::bolt11::Bolt11;
use text::Meaning;

/// The longest text that is looked at, in bytes.
pub const MAX_LENGTH: usize = 8192;

/// What a text asks to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Pay this invoice; the payer chooses the amount when it has none.
    Invoice(Box<Bolt11>),
    /// Choose an amount, and ask there for an invoice (LUD-06, LUD-16).
    LnurlPay(Box<LnurlPay>),
    /// Take money from there (LUD-03).
    Withdraw(Box<LnurlWithdraw>),
    /// It can be read, but no wallet here can pay it.
    CannotPay {
        /// What it is, for people.
        what: &'static str,
        /// The amount that it asks for, when it does.
        amount: Option<Millisats>,
    },
}

/// Reads documents of hosts that strangers name. An implementation refuses private addresses,
/// follows no redirects, and bounds time and size.
#[async_trait]
pub trait Web: Send + Sync {
    /// The body of one GET.
    async fn get(&self, url: &Url) -> Result<Vec<u8>, WebError>;

    /// Whether plain `http` may be used to this host. LUD-01 allows it to onion services only.
    fn allows_plain(&self, host: &str) -> bool;
}

/// Why a document could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// The host is private, or otherwise not one that strangers may name.
    #[error("the host may not be asked")]
    Forbidden,
    /// It did not answer, or not with the document.
    #[error("the host did not answer")]
    Unreachable,
    /// The document is too large.
    #[error("the answer of the host is too long")]
    TooLong,
}

/// Why a text is no place to pay to, or the place did not do its part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    /// Nothing that is known.
    #[error("this is no payment instruction: {reason}")]
    Unknown {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// For another network than the wallet's.
    #[error("the payment instruction is for another network")]
    WrongNetwork,
    /// Its time is over.
    #[error("the payment instruction has expired")]
    Expired,
    /// The address that it names may not be used.
    #[error("the payment instruction leads to an address that may not be used")]
    BadAddress,
    /// Its host could not be asked.
    #[error("the payment instruction could not be followed: {0}")]
    Web(#[from] WebError),
    /// Its host answered with an error of its own.
    #[error("the recipient refused: {reason}")]
    Refused {
        /// As the host wrote it, shortened.
        reason: String,
    },
    /// Its host answered with something that breaks the rules.
    #[error("the recipient's answer cannot be used: {reason}")]
    BadAnswer {
        /// Which rule.
        reason: &'static str,
    },
    /// The amount is not one that the recipient takes.
    #[error("the amount must be between {least} and {most} msat")]
    Amount {
        /// The least.
        least: Millisats,
        /// The most.
        most: Millisats,
    },
    /// An amount is needed, and none was given.
    #[error("the payment instruction leaves the amount to the payer, and none was given")]
    AmountMissing,
    /// It can be read, but not paid from here.
    #[error("{what} cannot be paid from this wallet")]
    CannotPay {
        /// What it is.
        what: &'static str,
    },
    /// The comment is longer than the recipient takes.
    #[error("the comment may have at most {most} characters")]
    Comment {
        /// The most.
        most: u16,
    },
}

/// Reads a text; asks its host when it names one. `network` is the wallet's, when it is known.
///
/// # Errors
/// When it is no instruction, is for another network, has expired, or its host does not play by
/// the rules.
///
/// # Cancel safety
/// Safe to drop.
pub async fn read(
    text: &str,
    network: Option<Network>,
    web: &dyn Web,
) -> Result<Instruction, InstructionError> {
    match text::understand(text, network, web).await? {
        Meaning::Done(instruction) => Ok(instruction),
        Meaning::Ask(url) => {
            let document = web.get(&url).await?;
            lnurl::read(&url, &document, web)
        }
    }
}

/// The network with this name, as wallets call them.
#[must_use]
pub fn network(name: &str) -> Option<Network> {
    match name {
        "bitcoin" | "mainnet" => Some(Network::Bitcoin),
        "testnet" | "testnet3" => Some(Network::Testnet),
        "signet" => Some(Network::Signet),
        "regtest" => Some(Network::Regtest),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
