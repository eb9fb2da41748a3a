//! `ReadPaymentInstruction`: what an invoice, a URI, an LNURL or a Lightning address asks for.

use portal_core::payments::instructions::Instruction;
use portal_core::primitives::{Millisats, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// As a person pasted or scanned it.
    pub instruction: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// What to do with it.
    pub instruction: Read,
}

/// What a text asks to be done.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Read {
    /// Pay it.
    Invoice {
        /// BOLT11.
        invoice: String,
        /// 64 hex digits.
        payment_hash: String,
        /// Absent when the payer chooses.
        amount_msat: Option<Millisats>,
        /// For the payer.
        description: Option<String>,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// Choose an amount and pay it there.
    LnurlPay {
        /// The host that makes the invoice.
        host: String,
        /// The least.
        min_msat: Millisats,
        /// The most.
        max_msat: Millisats,
        /// In the recipient's words.
        description: String,
        /// The longest comment, in characters.
        comment_length: u16,
    },
    /// Money is offered.
    LnurlWithdraw {
        /// The host that pays.
        host: String,
        /// The least.
        min_msat: Millisats,
        /// The most.
        max_msat: Millisats,
        /// In the host's words.
        description: String,
    },
    /// It can be read, but not paid from here.
    CannotPay {
        /// What it is.
        what: &'static str,
        /// What it asks for.
        amount_msat: Option<Millisats>,
    },
}

/// Reads it.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let found = context
        .service
        .payments()
        .read_instruction(&request.instruction)
        .await
        .map_err(|error| super::failed(error, "Failed to read payment instruction"))?;
    Ok(Reply { instruction: found.into() }.into())
}

impl From<Instruction> for Read {
    fn from(found: Instruction) -> Self {
        let host = |url: &url::Url| url.host_str().unwrap_or_default().to_owned();
        match found {
            Instruction::Invoice(invoice) => Self::Invoice {
                payment_hash: invoice.payment_hash.to_string(),
                amount_msat: invoice.amount,
                description: invoice.description,
                expires_at: invoice.expires_at,
                invoice: invoice.text,
            },
            Instruction::LnurlPay(pay) => Self::LnurlPay {
                host: host(&pay.callback),
                min_msat: pay.least,
                max_msat: pay.most,
                description: pay.description,
                comment_length: pay.comment_length,
            },
            Instruction::Withdraw(offer) => Self::LnurlWithdraw {
                host: host(&offer.callback),
                min_msat: offer.least,
                max_msat: offer.most,
                description: offer.description,
            },
            Instruction::CannotPay { what, amount } => {
                Self::CannotPay { what, amount_msat: amount }
            }
        }
    }
}
