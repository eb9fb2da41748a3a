//! What happens on the streams of a service.

use napi_derive::napi;
use portal_core::event;

use super::request::LoginStatus;

/// One entry of a stream's log. Indices start at 0 and have no gaps.
#[napi(object, object_from_js = false)]
pub struct StreamEvent {
    /// The stream.
    pub stream_id: String,
    /// The place in the stream: what is acknowledged.
    pub index: i64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// What happened.
    pub body: PortalEvent,
}

/// What happened.
#[napi(discriminant = "type", discriminant_case = "snake_case", object_from_js = false)]
pub enum PortalEvent {
    /// Someone opened the handshake URL.
    KeyHandshake {
        /// Who.
        main_key: String,
        /// Where they listen.
        preferred_relays: Vec<String>,
    },
    /// A login was answered. Ends the stream.
    AuthenticateKey {
        /// Who they are.
        user_key: String,
        /// The key that signed the answer.
        recipient: String,
        /// The challenge that was answered.
        challenge: String,
        /// Yes or no.
        status: LoginStatus,
    },
    /// A payment moved.
    PaymentStatusUpdate {
        /// To where.
        status: PaymentUpdate,
    },
    /// The stream ends without what it was for.
    Ended {
        /// Why: `timeout` when nobody answered in time.
        code: String,
        /// For people.
        reason: String,
    },
    /// An event of a call that this addon does not have yet, in the JSON form of the daemon.
    Other {
        /// An object with a member `type`.
        json: String,
    },
}

/// Where a payment stands. What begins with `user_` repeats what the payer says; `paid` is the
/// wallet's word.
#[napi(discriminant = "status", discriminant_case = "snake_case", object_from_js = false)]
pub enum PaymentUpdate {
    /// The person agreed to pay.
    UserApproved,
    /// The person's wallet claims to have paid.
    UserSuccess {
        /// As claimed.
        preimage: Option<String>,
    },
    /// The person's wallet could not pay.
    UserFailed {
        /// Why, if it says.
        reason: Option<String>,
    },
    /// The person said no.
    UserRejected {
        /// Why, if they said.
        reason: Option<String>,
    },
    /// The money is in the wallet. Nothing follows.
    Paid {
        /// Checked against the payment hash.
        preimage: Option<String>,
        /// Whether the request had ended already.
        late: bool,
    },
    /// The request ended unpaid. Only a late `paid` can follow.
    Timeout,
    /// The request could not be made. Only a late `paid` can follow.
    Error {
        /// For people.
        reason: String,
    },
}

impl From<event::StreamEvent> for StreamEvent {
    fn from(event: event::StreamEvent) -> Self {
        let event::StreamEvent { stream, index, at_millis, body } = event;
        Self {
            stream_id: stream.to_string(),
            index: i64::try_from(index).unwrap_or(i64::MAX),
            at_millis: i64::try_from(at_millis).unwrap_or(i64::MAX),
            body: body.into(),
        }
    }
}

impl From<event::PortalEvent> for PortalEvent {
    fn from(event: event::PortalEvent) -> Self {
        use event::PortalEvent as Event;
        match event {
            Event::KeyHandshake { main_key, preferred_relays } => {
                Self::KeyHandshake { main_key: main_key.to_hex(), preferred_relays }
            }
            Event::AuthenticateKey { user_key, recipient, challenge, status } => {
                Self::AuthenticateKey {
                    user_key: user_key.to_hex(),
                    recipient: recipient.to_hex(),
                    challenge,
                    status: status.into(),
                }
            }
            Event::PaymentStatusUpdate { status } => {
                Self::PaymentStatusUpdate { status: status.into() }
            }
            Event::Error { code, reason } => Self::Ended { code: code.word().to_owned(), reason },
            other @ (Event::RecurringPaymentResponse { .. }
            | Event::InvoiceResponse { .. }
            | Event::CashuResponse { .. }
            | Event::Refunded { .. }
            | Event::LightningAddressPayment { .. }
            | Event::SubscriptionUpdate { .. }
            | Event::ClosedRecurringPayment { .. }
            | Event::Delivery { .. }) => Self::Other {
                json: serde_json::to_string(&other)
                    .expect("events are made of strings, numbers and lists"),
            },
        }
    }
}

impl From<event::PaymentUpdate> for PaymentUpdate {
    fn from(update: event::PaymentUpdate) -> Self {
        use event::PaymentUpdate as Update;
        match update {
            Update::UserApproved => Self::UserApproved,
            Update::UserSuccess { preimage } => Self::UserSuccess { preimage },
            Update::UserFailed { reason } => Self::UserFailed { reason },
            Update::UserRejected { reason } => Self::UserRejected { reason },
            Update::Paid { preimage, late } => Self::Paid { preimage, late },
            Update::Timeout => Self::Timeout,
            Update::Error { reason } => Self::Error { reason },
        }
    }
}
