//! Sending a payment, at most once.
//!
//! ```text
//!   asked ─▶ known to the library under this hash? ──yes──▶ its outcome
//!     │no
//!     ├─ wrong, over, too dear, too little money ──▶ refused, nothing sent
//!     ▼
//!   handed over ──ok──▶ Completed: preimage fits ─▶ Settled     Pending ─▶ Pending     Failed ─▶ Failed
//!     └──error──▶ in the library's books? ──yes──▶ its outcome
//!                                         └──no───▶ the outcome is unknown
//! ```
//!
//! The key under which a payment is handed over is made from its payment hash, and Spark uses it
//! as the id of the transfer. So a second attempt for one hash, also after a restart and also by
//! another copy of this wallet, finds the first and sends nothing. It follows that an invoice
//! whose payment failed once cannot be paid by this wallet again: ask for a new one.

use portal_core::primitives::Millisats;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::{PayInvoice, PayOutcome, PaymentHash, WalletError};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::api::{Prepared, SdkPayment, SdkStatus};
use crate::error::{CallError, Meaning};
use crate::wallet::Inner;

/// The namespace of the ids of our payments: never change it, or a payment can be sent twice.
const IDS: Uuid = Uuid::from_u128(0x9d2c_57c1_0b0e_4f0f_8a0c_5f3a_6f1d_2e88);

/// Longest time that the library itself waits for the end of a payment; afterwards an event tells.
const LONGEST_WAIT: u64 = 30;

/// The id under which the payment of an invoice is sent.
pub(crate) fn transfer_id(hash: PaymentHash) -> Uuid {
    Uuid::new_v5(&IDS, &hash.0)
}

/// The preimage, if it is one for this hash.
pub(crate) fn checked_preimage(text: Option<&str>, hash: PaymentHash) -> Option<[u8; 32]> {
    let mut preimage = [0; 32];
    hex::decode_to_slice(text?, &mut preimage).ok()?;
    (Sha256::digest(preimage).as_slice() == hash.0).then_some(preimage)
}

/// The amount of a payment and what it cost on top. What was paid above an invoice's amount to
/// make it a whole satoshi is a cost too.
pub(crate) fn amount_and_fee(payment: &SdkPayment) -> (Millisats, Millisats) {
    let moved = millisats(payment.amount_sats);
    if payment.incoming {
        return (moved, Millisats::new(0));
    }
    let invoice = payment.lightning.as_ref().map(|lightning| Bolt11::parse(&lightning.invoice));
    let asked = invoice.and_then(Result::ok).and_then(|read| read.amount);
    let amount = asked.map_or(moved, |asked| asked.min(moved));
    (amount, on_top(payment.fees_sats, moved, amount))
}

/// A fee, and what is moved beyond the amount.
pub(crate) const fn on_top(fee_sats: u64, moved: Millisats, amount: Millisats) -> Millisats {
    let fee = fee_sats.saturating_mul(1000);
    Millisats::new(fee.saturating_add(moved.as_u64().saturating_sub(amount.as_u64())))
}

/// Satoshi in the unit of the port.
pub(crate) fn millisats(sats: u64) -> Millisats {
    Millisats::from_sats(sats).unwrap_or(Millisats::new(u64::MAX))
}

impl Inner {
    /// What the library knows of a payment that was sent for this hash.
    pub(crate) async fn sent(&self, hash: PaymentHash) -> Result<Option<SdkPayment>, WalletError> {
        let id = transfer_id(hash).to_string();
        match self.sdk.payment(&id).await {
            Ok(payment) => Ok(Some(payment)),
            Err(error) if error.not_found() => Ok(None),
            Err(error) => Err(error.harmless()),
        }
    }

    /// Asks what a payment will cost.
    pub(crate) async fn prepare(&self, request: &PayInvoice) -> Result<Prepared, WalletError> {
        let amount = request.checked_amount()?;
        let read = Bolt11::parse(&request.bolt11)
            .map_err(|error| WalletError::BadRequest { what: error.to_string() })?;
        // An invoice may ask for a part of a satoshi: the rest of it is paid on top. Whoever
        // chooses the amount chooses a whole one.
        if read.amount.is_none() && !amount.as_u64().is_multiple_of(1000) {
            return Err(WalletError::BadRequest {
                what: "this wallet pays whole satoshi".to_owned(),
            });
        }
        let sats = amount.sats_rounded_up();
        let chosen = read.amount.is_none().then_some(sats);
        let preparing = self.sdk.prepare(&read.text, chosen);
        let prepared = match tokio::time::timeout(self.limits.call, preparing).await {
            Ok(prepared) => prepared.map_err(|error| unsent(&error))?,
            Err(_) => return Err(not_sent("the wallet's servers do not answer")),
        };
        if prepared.amount_sats != sats {
            return Err(WalletError::BadAnswer { what: "another amount".to_owned() });
        }
        Ok(prepared)
    }

    /// Pays. Run to its end, whoever still waits for it.
    pub(crate) async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        let hash = request.payment_hash;
        request.checked_amount()?;
        let Some(_sending) = self.books.sending(hash) else { return Ok(PayOutcome::Pending) };
        if let Some(known) = self.sent(hash).await? {
            return self.known(known, hash).await;
        }
        let over = Bolt11::parse(&request.bolt11).is_ok_and(|it| it.is_expired_at(self.env.now()));
        if over {
            return Ok(PayOutcome::Failed { reason: "the invoice has expired".to_owned() });
        }
        let amount = request.checked_amount()?;
        let prepared = self.prepare(&request).await?;
        let fee = on_top(prepared.fee_sats, millisats(prepared.amount_sats), amount);
        let policy = self.fees.limit(amount);
        let limit = request.max_fee.map_or(policy, |most| most.min(policy));
        if fee > limit {
            return Err(WalletError::Refused {
                code: "FEE_TOO_HIGH".to_owned(),
                message: format!("it would cost {fee} on top, more than the limit of {limit}"),
            });
        }
        // Well before the caller gives up: "under way" says more than a timeout.
        let wait = (request.timeout.as_secs() / 2).clamp(1, LONGEST_WAIT);
        let wait = u32::try_from(wait).unwrap_or(u32::MAX);
        match self.sdk.send(prepared, transfer_id(hash), wait).await {
            Ok(payment) => self.settled_with_preimage(payment, hash).await,
            Err(error) => self.after_error(&error, hash).await,
        }
    }

    /// How an earlier attempt stands. The library marks as failed what it could not finish itself;
    /// the operators know better, and have to be asked before that is believed.
    async fn known(&self, known: SdkPayment, hash: PaymentHash) -> Result<PayOutcome, WalletError> {
        let first = outcome(&known, hash);
        if !matches!(first, Ok(PayOutcome::Failed { .. })) {
            return first;
        }
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "whether a payment failed cannot be told now");
            return Ok(PayOutcome::Pending);
        }
        match self.sent(hash).await? {
            Some(payment) => outcome(&payment, hash),
            None => first,
        }
    }

    /// The library may say that a payment is done a moment before it has the preimage.
    async fn settled_with_preimage(
        &self,
        payment: SdkPayment,
        hash: PaymentHash,
    ) -> Result<PayOutcome, WalletError> {
        let first = outcome(&payment, hash);
        if first.is_ok() {
            return first;
        }
        if let Err(error) = self.refresh().await {
            tracing::debug!(%error, "the preimage of a payment is not there yet");
        }
        match self.sent(hash).await? {
            Some(payment) => outcome(&payment, hash),
            None => first,
        }
    }

    /// Finds out whether a payment left although the library says that something went wrong.
    async fn after_error(
        &self,
        error: &CallError,
        hash: PaymentHash,
    ) -> Result<PayOutcome, WalletError> {
        tracing::warn!(%error, "a payment was handed over and answered with an error");
        let refreshed = self.refresh().await;
        if let Some(payment) = self.sent(hash).await? {
            return match outcome(&payment, hash) {
                // The library marks what it could not finish itself; the operators know better.
                Ok(PayOutcome::Failed { .. }) if refreshed.is_err() => Ok(PayOutcome::Pending),
                known => known,
            };
        }
        match error.meaning() {
            Meaning::Insufficient | Meaning::NoLeaves | Meaning::Invalid => Err(error.harmless()),
            Meaning::InFlight => Ok(PayOutcome::Pending),
            Meaning::Unreachable => Err(WalletError::Unreachable),
            Meaning::Unknown => Err(WalletError::BadAnswer { what: error.to_string() }),
        }
    }
}

/// An error before anything was sent.
fn unsent(error: &CallError) -> WalletError {
    match error.meaning() {
        Meaning::Unreachable => not_sent("the wallet's servers cannot be reached"),
        Meaning::Unknown => not_sent(&error.to_string()),
        Meaning::Insufficient | Meaning::NoLeaves | Meaning::Invalid | Meaning::InFlight => {
            error.harmless()
        }
    }
}

/// A definite no, where [`WalletError::Unreachable`] would mean that it may have been sent.
fn not_sent(message: &str) -> WalletError {
    WalletError::Refused {
        code: "NOT_SENT".to_owned(),
        message: format!("{message}, nothing was sent"),
    }
}

/// How a payment in the library's books stands, in the words of the port.
fn outcome(payment: &SdkPayment, hash: PaymentHash) -> Result<PayOutcome, WalletError> {
    let lightning = payment.lightning.as_ref();
    match payment.status {
        SdkStatus::Pending => Ok(PayOutcome::Pending),
        SdkStatus::Failed => {
            Ok(PayOutcome::Failed { reason: "the payment could not be delivered".to_owned() })
        }
        SdkStatus::Completed => {
            let shown = lightning.and_then(|it| it.preimage.as_deref());
            let preimage = checked_preimage(shown, hash).ok_or(WalletError::BadAnswer {
                what: "a completed payment without its preimage".to_owned(),
            })?;
            Ok(PayOutcome::Settled { preimage, fee: amount_and_fee(payment).1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use portal_core::wallet::PaymentHash;

    use super::*;
    use crate::api::SdkLightning;

    fn payment(status: SdkStatus, preimage: Option<String>, hash: PaymentHash) -> SdkPayment {
        SdkPayment {
            id: "x".to_owned(),
            incoming: false,
            status,
            amount_sats: 10,
            fees_sats: 3,
            timestamp: 1,
            lightning: Some(SdkLightning { payment_hash: hash, preimage, invoice: String::new() }),
        }
    }

    #[test]
    fn only_a_preimage_that_fits_settles() {
        let preimage = [7; 32];
        let hash = PaymentHash(Sha256::digest(preimage).into());
        let right = payment(SdkStatus::Completed, Some(hex::encode(preimage)), hash);
        let settled = PayOutcome::Settled { preimage, fee: Millisats::new(3_000) };
        assert_eq!(outcome(&right, hash).expect("settled"), settled);
        for shown in [None, Some("00".repeat(32)), Some("zz".to_owned()), Some("07".repeat(31))] {
            let wrong = outcome(&payment(SdkStatus::Completed, shown, hash), hash);
            assert!(wrong.is_err_and(|error| error.outcome_unknown()));
        }
        let pending = payment(SdkStatus::Pending, Some(hex::encode(preimage)), hash);
        assert_eq!(outcome(&pending, hash).expect("known"), PayOutcome::Pending);
    }

    #[test]
    fn the_id_of_a_payment_never_changes() {
        let id = transfer_id(PaymentHash([1; 32]));
        assert_eq!(id.to_string(), "76042d79-dcb0-5bc8-8e0e-409365340334");
        assert_ne!(id, transfer_id(PaymentHash([2; 32])));
    }

    #[test]
    fn before_anything_is_sent_no_error_leaves_the_outcome_open() {
        for text in ["tcp connect error", "graphql error: boom", "insufficient funds"] {
            let error = CallError::Sdk { variant: "SparkError".into(), text: text.into() };
            assert!(!unsent(&error).outcome_unknown(), "{text}");
        }
    }

    #[test]
    fn what_was_not_sent_has_a_code_that_says_so() {
        for (text, expected) in [
            ("tcp connect error", "NOT_SENT"),
            ("graphql error: boom", "NOT_SENT"),
            ("Failed to select leaves after all retries", "NO_MATCHING_LEAVES"),
            ("insufficient funds", "INSUFFICIENT_BALANCE"),
        ] {
            let error = CallError::Sdk { variant: "SparkError".into(), text: text.into() };
            let told = unsent(&error);
            assert!(
                matches!(&told, WalletError::Refused { code, .. } if code == expected),
                "{text}: {told}"
            );
        }
        let panic = CallError::Panic { text: "boom".into() };
        assert!(matches!(unsent(&panic), WalletError::Refused { code, .. } if code == "NOT_SENT"));
    }
}
