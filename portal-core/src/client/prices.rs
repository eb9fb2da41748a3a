//! Whether the price of a request is fair.

use crate::driver::Node;
use crate::error::Error;
use crate::primitives::Millisats;
use crate::protocol::Currency;
use crate::protocol::payment::SinglePaymentRequest;
use crate::rates::RateDesk;
use crate::rates::check::Claim;
use crate::wallet::bolt11::Bolt11;

/// How far the rate of a service may be from ours by default, in thousandths.
pub const TOLERANCE_PERMILLE: u16 = 30;

/// Prices of requests.
#[derive(Clone, Copy)]
pub struct Prices<'a>(pub(super) &'a Node);

impl Prices<'_> {
    /// Whether the invoice of a request asks for no more than the request says, and the rate of
    /// the request is at most this many thousandths from ours
    /// ([`TOLERANCE_PERMILLE`] is a good start). What the invoice asks for.
    ///
    /// # Errors
    /// Why the person should look at it: the invoice asks for more, the rate is unfair, or there
    /// is no rate of ours to compare with.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn check(
        &self,
        request: &SinglePaymentRequest,
        tolerance_permille: u16,
    ) -> Result<Millisats, Error> {
        let invoice = Bolt11::parse(&request.invoice)
            .map_err(|_| Error::InvalidInvoice { reason: "it is not a BOLT11 invoice" })?;
        let invoice = invoice.amount.ok_or(Error::InvalidInvoice { reason: "it has no amount" })?;
        let claim = Claim {
            amount: request.amount,
            currency: &request.currency,
            rate: request.current_exchange_rate.as_ref(),
        };
        match request.currency {
            // No rate says more about it than its own words.
            Currency::Millisats => claim.fits(invoice)?,
            Currency::Fiat(_) => self.desk()?.check(claim, invoice, tolerance_permille).await?,
        }
        Ok(invoice)
    }

    fn desk(&self) -> Result<&RateDesk, Error> {
        let desk =
            self.0.rates().ok_or(Error::NotConfigured { what: "a source of exchange rates" })?;
        Ok(desk)
    }
}
