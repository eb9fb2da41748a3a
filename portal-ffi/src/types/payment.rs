//! Money.

use portal_core::payments::pay;
use portal_core::primitives::RequestId;
use portal_core::protocol;
use portal_core::service::NewSinglePayment;

use crate::error::PortalError;
use crate::limits;

/// The unit of an amount.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Currency {
    /// Thousandths of a satoshi.
    Millisats,
    /// A fiat currency; amounts are hundredths, as on the wire.
    Fiat {
        /// For example `EUR`.
        code: String,
    },
}

impl From<protocol::Currency> for Currency {
    fn from(currency: protocol::Currency) -> Self {
        match currency {
            protocol::Currency::Millisats => Self::Millisats,
            protocol::Currency::Fiat(code) => Self::Fiat { code: code.into() },
        }
    }
}

impl Currency {
    fn checked(self) -> Result<protocol::Currency, PortalError> {
        match self {
            Self::Millisats => Ok(protocol::Currency::Millisats),
            Self::Fiat { code } => {
                let code = portal_core::primitives::CurrencyCode::parse(&code)
                    .map_err(portal_core::Error::from)?;
                Ok(protocol::Currency::Fiat(code.as_str().into()))
            }
        }
    }
}

/// The rate that an amount of a fiat currency was turned into bitcoin with. For display.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct ExchangeRate {
    /// Fiat units for one bitcoin.
    pub rate: f64,
    /// Who quoted it.
    pub source: String,
    /// When, in seconds since the Unix epoch.
    pub time: u64,
}

impl From<protocol::ExchangeRate> for ExchangeRate {
    fn from(rate: protocol::ExchangeRate) -> Self {
        let protocol::ExchangeRate { rate, source, time } = rate;
        Self { rate, source, time: time.as_secs() }
    }
}

/// A payment to ask for.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct SinglePaymentContent {
    /// More than zero.
    pub amount: u64,
    /// The unit of the amount.
    pub currency: Currency,
    /// What it is for.
    #[uniffi(default = None)]
    pub description: Option<String>,
    /// The subscription that this charge belongs to.
    #[uniffi(default = None)]
    pub subscription_id: Option<String>,
    /// Opaque; tells the wallet which session asks.
    #[uniffi(default = None)]
    pub auth_token: Option<String>,
    /// An id of your own; a random one otherwise.
    #[uniffi(default = None)]
    pub request_id: Option<String>,
}

impl SinglePaymentContent {
    pub(crate) fn checked(self) -> Result<NewSinglePayment, PortalError> {
        let Self { amount, currency, description, subscription_id, auth_token, request_id } = self;
        limits::number("the amount", amount, 1, limits::MILLISATS)?;
        limits::optional("the description", description.as_ref(), limits::SENTENCE)?;
        limits::optional("the session token", auth_token.as_ref(), limits::TOKEN)?;
        for (what, id) in [("subscription", &subscription_id), ("request", &request_id)] {
            if let Some(id) = id {
                limits::text(&format!("the id of the {what}"), id, limits::NAME)?;
            }
        }
        Ok(NewSinglePayment {
            amount,
            currency: currency.checked()?,
            description,
            auth_token,
            subscription_id,
            request_id: request_id.map(RequestId::new),
        })
    }
}

/// An invoice that was paid.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct PaidInvoice {
    /// The proof: 64 hex digits whose hash is the payment hash.
    pub preimage: String,
    /// What it cost on top.
    pub fee_msat: u64,
}

impl From<pay::PaidInvoice> for PaidInvoice {
    fn from(paid: pay::PaidInvoice) -> Self {
        let pay::PaidInvoice { preimage, fee } = paid;
        Self { preimage, fee_msat: fee.as_u64() }
    }
}
