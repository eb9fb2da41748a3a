//! LNURL: paying (LUD-06, comments of LUD-12), withdrawing (LUD-03) and asking whether an invoice
//! was paid (LUD-21). Every document comes from a stranger.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::text::checked;
use super::{Instruction, InstructionError, Web};
use crate::primitives::Millisats;
use crate::wallet::PaymentHash;
use crate::wallet::bolt11::Bolt11;

/// The longest text of a host that is shown to a person, in characters.
const MAX_SHOWN: usize = 200;
/// The longest comment that is sent, whatever the recipient would take.
const MAX_COMMENT: u16 = 1000;
/// All bitcoin that there will be, in msat.
const ALL: u64 = 2_100_000_000_000_000_000;

/// Somebody who makes invoices for any amount within bounds (LUD-06).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LnurlPay {
    /// Where the invoice comes from.
    pub callback: Url,
    /// The least that can be paid.
    pub least: Millisats,
    /// The most that can be paid.
    pub most: Millisats,
    /// What it is for, in the recipient's words.
    pub description: String,
    /// The longest comment, in characters; 0 when none is taken (LUD-12).
    pub comment_length: u16,
    /// SHA-256 of the metadata: every invoice must carry it.
    pub metadata_hash: [u8; 32],
}

/// An invoice that was made for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LnurlInvoice {
    /// The invoice.
    pub invoice: Bolt11,
    /// Where to ask whether it was paid (LUD-21).
    pub verify: Option<Url>,
}

/// Somebody who pays an invoice of ours (LUD-03).
#[derive(Clone, PartialEq, Eq)]
pub struct LnurlWithdraw {
    /// Where the invoice goes.
    pub callback: Url,
    /// What the host knows the offer by; a secret of whoever may take the money.
    k1: String,
    /// The least that can be taken.
    pub least: Millisats,
    /// The most that can be taken.
    pub most: Millisats,
    /// What the invoice should say.
    pub description: String,
}

impl std::fmt::Debug for LnurlWithdraw {
    /// Without what lets somebody take the money.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.callback.host_str().unwrap_or_default();
        f.debug_struct("LnurlWithdraw")
            .field("host", &host)
            .field("least", &self.least)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// What the payee's server says about an invoice (LUD-21). Only the preimage proves anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whether it says that it was paid.
    pub settled: bool,
    /// The preimage; checked to hash to the payment hash.
    pub preimage: Option<[u8; 32]>,
}

#[derive(Deserialize)]
struct Head {
    tag: Option<String>,
    status: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayDocument {
    callback: String,
    min_sendable: u64,
    max_sendable: u64,
    metadata: String,
    #[serde(default)]
    comment_allowed: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithdrawDocument {
    callback: String,
    k1: String,
    #[serde(default)]
    default_description: String,
    min_withdrawable: u64,
    max_withdrawable: u64,
}

#[derive(Deserialize)]
struct CallbackDocument {
    pr: String,
    #[serde(default)]
    verify: Option<String>,
}

#[derive(Deserialize)]
struct VerifyDocument {
    settled: bool,
    #[serde(default)]
    preimage: Option<String>,
    pr: String,
}

/// Reads the first document of an LNURL.
pub(super) fn read(
    url: &Url,
    document: &[u8],
    web: &dyn Web,
) -> Result<Instruction, InstructionError> {
    let head: Head = parse(document)?;
    match head.tag.as_deref() {
        Some("payRequest") => pay(parse(document)?, web),
        Some("withdrawRequest") => withdraw(parse(document)?, web),
        Some("login") => Err(InstructionError::CannotPay { what: "a login request (LUD-04)" }),
        Some("channelRequest") => {
            Err(InstructionError::CannotPay { what: "a channel request (LUD-02)" })
        }
        Some(_) | None => {
            tracing::debug!(host = url.host_str(), "an LNURL document has no known tag");
            Err(bad("it has no tag that is known"))
        }
    }
}

fn pay(document: PayDocument, web: &dyn Web) -> Result<Instruction, InstructionError> {
    let PayDocument { callback, min_sendable, max_sendable, metadata, comment_allowed } = document;
    let (least, most) = bounds(min_sendable, max_sendable)?;
    let entries: Vec<Vec<serde_json::Value>> =
        serde_json::from_str(&metadata).map_err(|_| bad("its metadata is not a list of pairs"))?;
    let mut texts = entries.iter().filter_map(|entry| match entry.as_slice() {
        [kind, text, ..] if kind == "text/plain" => text.as_str(),
        _ => None,
    });
    let description = texts.next().ok_or(bad("its metadata has no plain text"))?;
    Ok(Instruction::LnurlPay(Box::new(LnurlPay {
        callback: checked(&callback, web)?,
        least,
        most,
        description: shown(description),
        comment_length: comment_allowed
            .map_or(0, |most| u16::try_from(most).unwrap_or(MAX_COMMENT).min(MAX_COMMENT)),
        metadata_hash: Sha256::digest(metadata.as_bytes()).into(),
    })))
}

fn withdraw(document: WithdrawDocument, web: &dyn Web) -> Result<Instruction, InstructionError> {
    let WithdrawDocument { callback, k1, default_description, .. } = &document;
    let (least, most) = bounds(document.min_withdrawable.max(1), document.max_withdrawable)?;
    if k1.is_empty() || k1.len() > 512 {
        return Err(bad("its k1 is empty or too long"));
    }
    Ok(Instruction::Withdraw(Box::new(LnurlWithdraw {
        callback: checked(callback, web)?,
        k1: k1.clone(),
        least,
        most,
        description: shown(default_description),
    })))
}

fn bounds(least: u64, most: u64) -> Result<(Millisats, Millisats), InstructionError> {
    if least == 0 || least > most || most > ALL {
        return Err(bad("its amounts make no sense"));
    }
    Ok((Millisats::new(least), Millisats::new(most)))
}

impl LnurlPay {
    /// Asks for an invoice over this amount, and checks that it is that.
    ///
    /// # Errors
    /// When amount or comment are not what the recipient takes, it does not answer, or the
    /// invoice is for another amount or purpose.
    ///
    /// # Cancel safety
    /// Safe to drop; an invoice that nobody pays ends by itself.
    pub async fn invoice(
        &self,
        amount: Millisats,
        comment: Option<&str>,
        web: &dyn Web,
    ) -> Result<LnurlInvoice, InstructionError> {
        within(amount, self.least, self.most)?;
        let mut url = self.callback.clone();
        url.query_pairs_mut().append_pair("amount", &amount.as_u64().to_string());
        if let Some(comment) = comment.filter(|comment| !comment.is_empty()) {
            if comment.chars().count() > usize::from(self.comment_length) {
                return Err(InstructionError::Comment { most: self.comment_length });
            }
            url.query_pairs_mut().append_pair("comment", comment);
        }
        let answer: CallbackDocument = ask(&url, web).await?;
        let invoice = Bolt11::parse(&answer.pr).map_err(|_| bad("it is not a BOLT11 invoice"))?;
        if invoice.amount != Some(amount) {
            return Err(bad("the invoice is over another amount"));
        }
        if invoice.description_hash != Some(self.metadata_hash) {
            return Err(bad("the invoice is for something else"));
        }
        // One that may not be asked is as good as none: the invoice is fine without it.
        let verify = answer.verify.and_then(|url| checked(&url, web).ok());
        Ok(LnurlInvoice { invoice, verify })
    }
}

impl LnurlWithdraw {
    /// Hands an invoice of ours over the amount to the host, which pays it in its own time. That
    /// the money came is the wallet's word only.
    ///
    /// # Errors
    /// When the amount is not within the offer, or the host refuses.
    ///
    /// # Cancel safety
    /// The host may pay also when the future is dropped.
    pub async fn claim(&self, invoice: &str, web: &dyn Web) -> Result<(), InstructionError> {
        let read = Bolt11::parse(invoice).map_err(|_| bad("it is not a BOLT11 invoice"))?;
        within(read.amount.ok_or(InstructionError::AmountMissing)?, self.least, self.most)?;
        let mut url = self.callback.clone();
        url.query_pairs_mut().append_pair("k1", &self.k1).append_pair("pr", &read.text);
        let answer: Head = ask(&url, web).await?;
        match answer.status {
            Some(status) if status.eq_ignore_ascii_case("OK") => Ok(()),
            Some(_) | None => Err(bad("it is neither yes nor no")),
        }
    }
}

/// Asks the payee's server whether an invoice was paid (LUD-21).
///
/// # Errors
/// When it does not answer, or answers for another invoice.
///
/// # Cancel safety
/// Safe to drop.
pub async fn verify(
    url: &Url,
    payment_hash: PaymentHash,
    web: &dyn Web,
) -> Result<Verified, InstructionError> {
    let answer: VerifyDocument = ask(url, web).await?;
    let read = Bolt11::parse(&answer.pr).map_err(|_| bad("it is not a BOLT11 invoice"))?;
    if read.payment_hash != payment_hash {
        return Err(bad("it is about another invoice"));
    }
    let preimage = match answer.preimage.as_deref() {
        None | Some("") => None,
        Some(text) => {
            let mut preimage = [0; 32];
            hex::decode_to_slice(text, &mut preimage)
                .map_err(|_| bad("the preimage is not 64 hex digits"))?;
            if Sha256::digest(preimage).as_slice() != payment_hash.0 {
                return Err(bad("the preimage does not fit the payment hash"));
            }
            Some(preimage)
        }
    };
    Ok(Verified { settled: answer.settled || preimage.is_some(), preimage })
}

async fn ask<T: for<'de> Deserialize<'de>>(
    url: &Url,
    web: &dyn Web,
) -> Result<T, InstructionError> {
    parse(&web.get(url).await?)
}

/// Reads a document; one that says `ERROR` is the host's refusal (LUD-01).
fn parse<T: for<'de> Deserialize<'de>>(document: &[u8]) -> Result<T, InstructionError> {
    let head: Head =
        serde_json::from_slice(document).map_err(|_| bad("it is not the JSON of an LNURL"))?;
    if head.status.is_some_and(|status| status.eq_ignore_ascii_case("ERROR")) {
        return Err(InstructionError::Refused {
            reason: shown(head.reason.as_deref().unwrap_or("no reason was given")),
        });
    }
    serde_json::from_slice(document).map_err(|_| bad("a member is missing or of another type"))
}

fn within(amount: Millisats, least: Millisats, most: Millisats) -> Result<(), InstructionError> {
    if amount < least || amount > most {
        return Err(InstructionError::Amount { least, most });
    }
    Ok(())
}

/// A stranger's text for people: one line, not long.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_SHOWN).collect()
}

const fn bad(reason: &'static str) -> InstructionError {
    InstructionError::BadAnswer { reason }
}
