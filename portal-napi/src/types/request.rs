//! What services ask a person, and what the person answers.

use napi::Result;
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use portal_core::client;
use portal_core::protocol::auth::{AuthChallenge, AuthStatus};
use portal_core::protocol::payment::{self, SinglePaymentRequest};

use super::payment::ExchangeRate;
use super::seconds;
use crate::error::invalid;
use crate::limits;

/// A request to the person. Moments are seconds since the Unix epoch.
#[napi(object, object_from_js = false)]
pub struct IncomingRequest {
    /// Names it on this side.
    pub id: String,
    /// The main key of who asks: proven, or the key that signed.
    pub service_key: String,
    /// The key that signed.
    pub signer_key: String,
    /// When it came.
    pub received_at: i64,
    /// When it ends, by our clock.
    pub expires_at: i64,
    /// Whether a reply was given already.
    pub replied: bool,
    /// What is asked.
    pub body: RequestBody,
}

/// What is asked.
#[napi(discriminant = "type", discriminant_case = "snake_case", object_from_js = false)]
pub enum RequestBody {
    /// Who are you?
    Login {
        /// Permissions the service would like.
        required_permissions: Vec<String>,
    },
    /// Please pay this invoice.
    Payment {
        /// The payment.
        request: PaymentRequest,
    },
    /// Something that this addon cannot answer yet. Mark it as handled to go on.
    Other {
        /// What it is.
        kind: OtherRequest,
    },
}

/// A payment that is asked for.
#[napi(object, object_from_js = false)]
pub struct PaymentRequest {
    /// The service's own id.
    pub request_id: String,
    /// What is asked for; compare it with the amount of the invoice.
    pub amount: BigInt,
    /// `Millisats`, or the code of a fiat currency.
    pub currency: String,
    /// The rate used when the currency is fiat.
    pub exchange_rate: Option<ExchangeRate>,
    /// BOLT11.
    pub invoice: String,
    /// What it is for.
    pub description: Option<String>,
    /// The subscription that this charge belongs to.
    pub subscription_id: Option<String>,
    /// Opaque; tells the wallet which session asks.
    pub auth_token: Option<String>,
}

/// What this addon cannot answer yet.
#[napi(string_enum = "snake_case")]
pub enum OtherRequest {
    /// May I charge you regularly?
    RecurringPayment,
    /// Give me an invoice.
    Invoice,
    /// Give me a ticket.
    Ticket,
    /// Here is a ticket.
    TicketGift,
    /// A subscription is over.
    SubscriptionClosed,
}

impl From<client::IncomingRequest> for IncomingRequest {
    fn from(request: client::IncomingRequest) -> Self {
        let client::IncomingRequest { id, service, signer, received_at, expires_at, replied, body } =
            request;
        Self {
            id: id.to_string(),
            service_key: service.to_hex(),
            signer_key: signer.to_hex(),
            received_at: seconds(received_at),
            expires_at: seconds(expires_at),
            replied,
            body: body.into(),
        }
    }
}

impl From<client::RequestBody> for RequestBody {
    fn from(body: client::RequestBody) -> Self {
        use client::RequestBody as Body;
        match body {
            Body::Login(AuthChallenge {
                challenge: _,
                expires_at: _,
                required_permissions,
                subkey_proof: _,
            }) => Self::Login { required_permissions },
            Body::Payment(request) => Self::Payment { request: request.into() },
            Body::Recurring(_) => Self::Other { kind: OtherRequest::RecurringPayment },
            Body::Invoice(_) => Self::Other { kind: OtherRequest::Invoice },
            Body::Ticket(_) => Self::Other { kind: OtherRequest::Ticket },
            Body::TicketGift(_) => Self::Other { kind: OtherRequest::TicketGift },
            Body::SubscriptionClosed(_) => Self::Other { kind: OtherRequest::SubscriptionClosed },
        }
    }
}

impl From<SinglePaymentRequest> for PaymentRequest {
    fn from(request: SinglePaymentRequest) -> Self {
        let SinglePaymentRequest {
            amount,
            currency,
            current_exchange_rate,
            invoice,
            auth_token,
            expires_at: _,
            subscription_id,
            description,
            request_id,
        } = request;
        Self {
            request_id: request_id.as_str().to_owned(),
            amount: amount.into(),
            currency: currency.as_str().to_owned(),
            exchange_rate: current_exchange_rate.map(Into::into),
            invoice,
            description,
            subscription_id,
            auth_token,
        }
    }
}

/// Yes or no to a login.
#[napi(discriminant = "status", discriminant_case = "snake_case")]
pub enum LoginStatus {
    /// The person agreed.
    Approved {
        /// Permissions that were granted.
        granted_permissions: Option<Vec<String>>,
        /// A session token for the service.
        session_token: String,
    },
    /// The person said no.
    Declined {
        /// Why, if they said.
        reason: Option<String>,
    },
}

impl LoginStatus {
    pub(crate) fn checked(self) -> Result<AuthStatus> {
        match self {
            Self::Approved { granted_permissions, session_token } => {
                let granted_permissions = granted_permissions.unwrap_or(Vec::new());
                let (most, each) = (limits::PERMISSIONS, limits::NAME);
                limits::list("granted permissions", &granted_permissions, most, each)?;
                limits::optional("the session token", Some(&session_token), limits::TOKEN)?;
                Ok(AuthStatus::Approved { granted_permissions, session_token })
            }
            Self::Declined { reason } => {
                limits::optional("the reason", reason.as_ref(), limits::SENTENCE)?;
                Ok(AuthStatus::Declined { reason })
            }
        }
    }
}

impl From<AuthStatus> for LoginStatus {
    fn from(status: AuthStatus) -> Self {
        match status {
            AuthStatus::Approved { granted_permissions, session_token } => {
                Self::Approved { granted_permissions: Some(granted_permissions), session_token }
            }
            AuthStatus::Declined { reason } => Self::Declined { reason },
        }
    }
}

/// Where a payment stands, by what the payer's wallet says.
#[napi(discriminant = "status", discriminant_case = "snake_case")]
pub enum PaymentStatus {
    /// The person agreed; the wallet is about to pay.
    Approved,
    /// The wallet paid.
    Success {
        /// 64 hex digits, when the wallet has it.
        preimage: Option<String>,
    },
    /// The person said no.
    Rejected {
        /// Why, if they said.
        reason: Option<String>,
    },
    /// The wallet could not pay.
    Failed {
        /// Why, if it says.
        reason: Option<String>,
    },
}

impl PaymentStatus {
    pub(crate) fn checked(self) -> Result<payment::PaymentStatus> {
        match self {
            Self::Approved => Ok(payment::PaymentStatus::Approved),
            Self::Success { preimage } => {
                let hex = |text: &String| {
                    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
                };
                if preimage.as_ref().is_some_and(|text| !hex(text)) {
                    return Err(invalid("the preimage must have 64 hex digits"));
                }
                Ok(payment::PaymentStatus::Success { preimage })
            }
            Self::Rejected { reason } => {
                limits::optional("the reason", reason.as_ref(), limits::SENTENCE)?;
                Ok(payment::PaymentStatus::Rejected { reason })
            }
            Self::Failed { reason } => {
                limits::optional("the reason", reason.as_ref(), limits::SENTENCE)?;
                Ok(payment::PaymentStatus::Failed { reason })
            }
        }
    }
}
