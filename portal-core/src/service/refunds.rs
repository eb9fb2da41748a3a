//! Giving money back to whoever paid it.
//!
//! The person is asked for an invoice, which is paid when it comes. What is given back altogether
//! is never more than what was paid: a refund counts from the moment it is opened, and no two are
//! opened at once for one payment.

use std::time::Duration;

use super::call::{Beside, bounded};
use super::logins::json;
use super::payments::{Payments, in_time};
use super::{Call, Opened, Recipient};
use crate::conversation::Conversation;
use crate::conversation::ask::{Ask, Question};
use crate::conversation::refund::{Refund, RefundState};
use crate::error::Error;
use crate::primitives::{Millisats, RequestId, StreamId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::invoice::InvoiceRequest;
use crate::protocol::payment::PaymentRequest;
use crate::storage::{ReceivedRecord, RefundRecord, Write};
use crate::wallet::bolt11::Bolt11;

/// How long a person has to give an invoice, unless the call says otherwise: nobody waits at a till
/// for it.
const USUAL_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Money to give back.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRefund {
    /// The stream of the payment.
    pub payment: StreamId,
    /// How much; all that is left of the payment when absent.
    pub amount: Option<Millisats>,
    /// For the person.
    pub description: Option<String>,
    /// When the request for an invoice ends; in a day when absent.
    pub expires_at: Option<Timestamp>,
}

impl Payments<'_> {
    /// Gives back what was paid for a request, or a part of it: asks the same person for an
    /// invoice, and pays that. The stream ends with
    /// [`Refunded`](crate::event::PortalEvent::Refunded), or with an error when nothing went back;
    /// then it can be tried again.
    ///
    /// # Errors
    /// [`Error::NotRefundable`] when nothing was paid there, or less is left of it; when there is
    /// no wallet, or nothing can be saved.
    ///
    /// # Cancel safety
    /// The request may be sent also when the future is dropped.
    pub async fn refund(&self, new: NewRefund, call: Call) -> Result<Opened, Error> {
        let node = self.0;
        let payer = node.payer().ok_or(Error::NotConfigured { what: "a Lightning wallet" })?;
        let now = node.env().now();
        let end = new.expires_at.unwrap_or(now.saturating_add(USUAL_LIFE));
        let expires_at = in_time(end, now)?;
        if let Some(description) = &new.description {
            bounded(description, "the description", 1024)?;
        }
        // From counting what is left until this one counts.
        let came = node.store().received(new.payment).await?;
        // One payment may have ended several requests for the same invoice: it is given back by way
        // of one of them.
        let paid_by =
            came.map_or_else(|| new.payment.to_string(), |it| hex::encode(it.payment_hash));
        let name = format!("refund/{paid_by}");
        let _one = node.claims().exclusive(&name).await;
        let mine = new.payment.to_string().into_bytes();
        if node.store().setting(&name).await?.is_some_and(|other| other != mine) {
            let reason = "the same money is given back by way of another request";
            return Err(Error::NotRefundable { reason });
        }
        let writes = vec![Write::PutSetting { name, value: mine }];
        call.open_beside(node, Beside { stream: None, writes }, || async {
            let none = Error::NotRefundable { reason: "no money has come on that stream" };
            let came = node.store().received(new.payment).await?.ok_or(none)?;
            let (invoice, paid) = paid(&came)?;
            let before = node.store().refunds(new.payment).await?;
            let amount = share(paid, &before, new.amount)?;
            let peer = Recipient::new(came.main_key).peer(node).await?;
            let request_id = RequestId::from(node.env().uuid());
            let message = InvoiceRequest {
                request_id: request_id.clone(),
                amount: amount.as_u64(),
                currency: Currency::Millisats,
                current_exchange_rate: None,
                expires_at,
                description: new.description,
                refund_invoice: Some(invoice),
            };
            let network = payer.network().await;
            let ask = Ask {
                peer,
                question: Question::Invoice { request_id, amount, network },
                message: json(&message).into(),
                expires_at,
            };
            let refund = Refund { ask, payment: new.payment, amount, invoice: None };
            Ok(Conversation::Refund(Box::new(refund)))
        })
        .await
    }

    /// The refunds of a payment, by its stream.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn refunds(&self, payment: StreamId) -> Result<Vec<RefundRecord>, Error> {
        Ok(self.0.store().refunds(payment).await?)
    }
}

/// The invoice that was paid, and what was paid: what the invoice says, or for one without an
/// amount what the wallet says.
fn paid(came: &ReceivedRecord) -> Result<(String, Millisats), Error> {
    let unreadable = crate::storage::StorageError::Corrupt { what: "payment that came" };
    let invoice = match serde_json::from_str(&came.request) {
        Ok(PaymentRequest::Single(request)) => request.invoice,
        Ok(PaymentRequest::Recurring(_)) | Err(_) => return Err(unreadable.into()),
    };
    let amount = Bolt11::parse(&invoice).map_err(|_| unreadable)?.amount;
    Ok((invoice, amount.unwrap_or(came.amount)))
}

/// How much is given back now.
fn share(
    paid: Millisats,
    before: &[RefundRecord],
    wanted: Option<Millisats>,
) -> Result<Millisats, Error> {
    let counted = before.iter().filter(|refund| refund.state != RefundState::Void);
    let given = counted.fold(0_u64, |sum, refund| sum.saturating_add(refund.amount.as_u64()));
    let left = Millisats::new(paid.as_u64().saturating_sub(given));
    let amount = wanted.unwrap_or(left);
    if left == Millisats::new(0) {
        return Err(Error::NotRefundable { reason: "all of it was given back, or is being" });
    }
    if amount == Millisats::new(0) {
        return Err(Error::ZeroAmount);
    }
    if amount > left {
        return Err(Error::NotRefundable { reason: "it is more than is left of the payment" });
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refund(amount: u64, state: RefundState) -> RefundRecord {
        RefundRecord {
            stream: StreamId::from_uuid(uuid::Uuid::nil()),
            payment: StreamId::from_uuid(uuid::Uuid::nil()),
            amount: Millisats::new(amount),
            state,
            at: Timestamp::from_secs(0),
        }
    }

    #[test]
    fn no_more_goes_back_than_came() {
        let paid = Millisats::new(1000);
        let left = |before: &[RefundRecord], wanted: Option<u64>| {
            share(paid, before, wanted.map(Millisats::new)).ok().map(Millisats::as_u64)
        };
        assert_eq!(left(&[], None), Some(1000));
        assert_eq!(left(&[], Some(400)), Some(400));
        assert_eq!(left(&[], Some(1001)), None);
        assert_eq!(left(&[], Some(0)), None);
        let some = [refund(400, RefundState::Open), refund(500, RefundState::Void)];
        assert_eq!(left(&some, None), Some(600));
        assert_eq!(left(&some, Some(601)), None);
        let all = [refund(400, RefundState::Open), refund(600, RefundState::Paid)];
        assert_eq!(left(&all, None), None);
        let more = [refund(u64::MAX, RefundState::Paid), refund(u64::MAX, RefundState::Paid)];
        assert_eq!(left(&more, Some(1)), None);
    }
}
