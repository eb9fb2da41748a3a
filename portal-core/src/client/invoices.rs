//! Giving invoices to services that ask for one: payouts, refunds.

use std::time::Duration;

use super::requests::{IncomingRequest, RequestBody};
use super::{Replies, inbox::Inbox};
use crate::driver::Node;
use crate::error::Error;
use crate::primitives::Millisats;
use crate::protocol::invoice::{InvoiceRequest, InvoiceResponse};
use crate::rates::check::Claim;
use crate::service::make_invoice;
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{Invoice, NewInvoice, WalletError};

/// What is left of a request must be this long, and its invoice lives no shorter.
const SHORTEST: Duration = Duration::from_secs(60);
/// The longest an invoice lives that a service asked for.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest description that wallets take.
const DESCRIPTION: usize = 600;

/// Giving invoices to services that ask for one.
#[derive(Clone, Copy)]
pub struct Invoices<'a> {
    pub(super) node: &'a Node,
    pub(super) inbox: &'a Inbox,
}

impl Invoices<'_> {
    /// Makes the invoice that a request asks for, with the person's wallet, and replies with it.
    /// Once for each request: whoever calls again, also after a restart, gets the invoice that was
    /// given. The request stays to be marked as handled.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request, [`Error::NotConfigured`] without a
    /// wallet, or for a fiat amount without a rate; when the wallet does not make it, or the request is over.
    ///
    /// # Cancel safety
    /// The invoice may be made, and the reply sent, also when the future is dropped.
    pub async fn give(&self, request: &IncomingRequest) -> Result<Invoice, Error> {
        let RequestBody::Invoice(asked) = &request.body else { return Err(Error::WrongReply) };
        // Two calls at once must not make two.
        let _one = self.node.claims().exclusive(&format!("invoice/{}", request.id)).await;
        if let Some(given) = self.given(request).await? {
            return Ok(given);
        }
        let wallet =
            self.node.wallet().ok_or(Error::NotConfigured { what: "a Lightning wallet" })?;
        let left = request.expires_at.saturating_since(self.node.env().now());
        if left.is_zero() {
            return Err(Error::RequestNotFound);
        }
        let order = NewInvoice {
            amount: amount(asked)?,
            description: asked.description.as_deref().map(short),
            expiry: left.clamp(SHORTEST, LONGEST),
        };
        let made = make_invoice(&**wallet, order, self.node.env().now()).await?;
        let replies = Replies { node: self.node, inbox: self.inbox };
        let hash = made.payment_hash.to_string();
        replies.invoice(request, made.bolt11.clone(), Some(hash)).await?;
        Ok(made)
    }

    /// The invoice that was given before.
    async fn given(&self, request: &IncomingRequest) -> Result<Option<Invoice>, Error> {
        let answer = self.node.recall(request.id).await?.ok_or(Error::RequestNotFound)?;
        let Some(reply) = answer.replies.first() else { return Ok(None) };
        let given: InvoiceResponse =
            serde_json::from_str(&reply.message).map_err(|_| Error::WrongReply)?;
        let read = Bolt11::parse(&given.invoice).map_err(|_| WalletError::BadAnswer {
            what: "what was given is not an invoice".to_owned(),
        })?;
        Ok(Some(read.into()))
    }
}

/// What is asked for: at the rate of the request when it is fiat, because who asked computed it
/// with that, and will pay nothing else.
fn amount(asked: &InvoiceRequest) -> Result<Millisats, Error> {
    let claim = Claim {
        amount: asked.amount,
        currency: &asked.currency,
        rate: asked.current_exchange_rate.as_ref(),
    };
    claim.millisats()?.ok_or(Error::NotConfigured { what: "the exchange rate of the request" })
}

/// What a stranger wants to be written on the invoice, as far as it fits one.
fn short(text: &str) -> String {
    let end = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let end = end.take_while(|end| *end <= DESCRIPTION).last().unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_of_strangers_fit_an_invoice() {
        assert_eq!(short("a cup"), "a cup");
        assert_eq!(short(""), "");
        let long = "é".repeat(1000);
        assert_eq!(short(&long), "é".repeat(DESCRIPTION / 2));
    }
}
