//! What happens on a stream: the events that apps receive, in the form they are stored in.

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use crate::primitives::{ErrorCode, Millisats, StreamId, Timestamp};
use crate::protocol::auth::AuthStatus;
use crate::protocol::subscription::RecurringPaymentResponse;
use crate::protocol::ticket::CashuStatus;

/// One entry of a stream's durable log. Indices start at 0 and have no gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    /// The stream.
    pub stream: StreamId,
    /// The place in the stream.
    pub index: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub at_millis: u64,
    /// What happened.
    pub body: PortalEvent,
}

/// What happened. The JSON form (`type` and members) is that of the 0.3 notifications and the
/// 0.4 events; both dialects of the daemon send it as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PortalEvent {
    /// Someone opened the handshake URL.
    KeyHandshake {
        /// Who: the author of the event.
        main_key: PublicKey,
        /// Where they listen.
        preferred_relays: Vec<String>,
    },
    /// A challenge was answered. Ends the stream.
    AuthenticateKey {
        /// Who they are: the main key.
        user_key: PublicKey,
        /// The key that signed the answer.
        recipient: PublicKey,
        /// The challenge that was answered.
        challenge: String,
        /// Yes or no.
        status: AuthStatus,
    },
    /// A payment moved.
    PaymentStatusUpdate {
        /// To where.
        status: PaymentUpdate,
    },
    /// A recurring payment request was answered. Ends the stream.
    RecurringPaymentResponse {
        /// The answer, with the request id it is for.
        status: RecurringPaymentResponse,
    },
    /// An invoice came. Ends the stream.
    InvoiceResponse {
        /// BOLT11.
        invoice: String,
        /// 64 hex digits; read from the invoice itself.
        payment_hash: Option<String>,
    },
    /// A request for a token was answered. Ends the stream.
    CashuResponse {
        /// The token, or why there is none.
        status: CashuStatus,
    },
    /// Money went back to whoever had paid it. Ends the stream.
    Refunded {
        /// The stream of the payment.
        payment: StreamId,
        /// How much went back.
        amount_msat: Millisats,
        /// What it cost on top.
        fees_paid_msat: Millisats,
        /// 64 hex digits; its hash is the payment hash of the person's invoice.
        preimage: String,
    },
    /// A person closed a subscription.
    ClosedRecurringPayment {
        /// Why, if they said.
        reason: Option<String>,
        /// The subscription.
        subscription_id: String,
        /// The key that signed the close.
        recipient: PublicKey,
        /// The main key of that key.
        main_key: PublicKey,
    },
    /// Somebody paid one of our Lightning addresses; by the wallet's word.
    LightningAddressPayment {
        /// What stands before the `@`.
        name: String,
        /// What came.
        amount_msat: Millisats,
        /// BOLT11.
        invoice: String,
        /// 64 hex digits.
        payment_hash: String,
        /// 64 hex digits, checked against the payment hash.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preimage: Option<String>,
    },
    /// A subscription that is charged for us moved.
    SubscriptionUpdate {
        /// To where.
        status: SubscriptionUpdate,
    },
    /// A message without an answer (a token, a close) reached relays, or not. Ends the stream.
    Delivery {
        /// Relays that accepted it.
        delivered: Vec<String>,
        /// Relays that refused it, with their reason.
        refused: Vec<(String, String)>,
        /// True when it is still waiting for a relay.
        queued: bool,
    },
    /// The stream ends without what it was for.
    Error {
        /// The stable code; `timeout` when nobody answered in time.
        code: ErrorCode,
        /// For people.
        reason: String,
    },
}

impl PortalEvent {
    /// Whether nothing can follow on a stream after this event.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::KeyHandshake { .. }
            | Self::ClosedRecurringPayment { .. }
            | Self::LightningAddressPayment { .. } => false,
            Self::PaymentStatusUpdate { status } => matches!(status, PaymentUpdate::Paid { .. }),
            Self::SubscriptionUpdate { status } => {
                matches!(status, SubscriptionUpdate::Closed { .. })
            }
            Self::Delivery { queued, .. } => !*queued,
            Self::AuthenticateKey { .. }
            | Self::RecurringPaymentResponse { .. }
            | Self::InvoiceResponse { .. }
            | Self::CashuResponse { .. }
            | Self::Refunded { .. }
            | Self::Error { .. } => true,
        }
    }
}

/// Where a payment stands. The first four repeat what the payer says; `paid` is the wallet's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum PaymentUpdate {
    /// The person agreed to pay.
    UserApproved,
    /// The person's wallet claims to have paid.
    UserSuccess {
        /// As claimed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preimage: Option<String>,
    },
    /// The person's wallet could not pay.
    UserFailed {
        /// Why, if it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The person said no.
    UserRejected {
        /// Why, if they said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The money is in the wallet. Nothing follows.
    Paid {
        /// Checked against the payment hash.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preimage: Option<String>,
        /// Present and true when the request had already ended.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        late: bool,
    },
    /// The request ended unpaid. Only `paid` (late) can follow.
    Timeout,
    /// The request could not be made. Only `paid` (late) can follow.
    Error {
        /// For people.
        reason: String,
    },
}

/// A step in the life of a subscription that is charged for us. Amounts are in the unit of the
/// subscription: millisatoshi, or hundredths of the fiat unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SubscriptionUpdate {
    /// The person agreed, and it will be charged.
    Scheduled {
        /// Chosen by the person's wallet.
        subscription_id: String,
        /// The amount of each charge.
        amount: u64,
        /// The first charge; absent when none is due at all.
        next_due: Option<Timestamp>,
    },
    /// The person was asked to pay a period.
    ChargeCreated {
        /// Its number, from 0.
        period: u32,
        /// How often they were asked before.
        attempt: u32,
        /// When the period was due.
        due: Timestamp,
        /// How much.
        amount: u64,
        /// The stream of the payment.
        payment: StreamId,
    },
    /// The person could not be asked; nobody's fault but ours or the wallet's.
    ChargePostponed {
        /// The period.
        period: u32,
        /// Why.
        reason: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// The wallet has the money for a period.
    ChargePaid {
        /// The period.
        period: u32,
        /// How much.
        amount: u64,
        /// The stream of the payment.
        payment: StreamId,
        /// How many periods are paid now.
        paid: u32,
        /// The next charge; absent when there is none.
        next_due: Option<Timestamp>,
    },
    /// A credit covered a period; nobody was asked.
    ChargeCovered {
        /// The period.
        period: u32,
        /// The credit that is left.
        credit: u64,
        /// How many periods are paid now.
        paid: u32,
        /// The next charge; absent when there is none.
        next_due: Option<Timestamp>,
    },
    /// A period was not paid.
    ChargeFailed {
        /// The period.
        period: u32,
        /// The attempt that failed, from 0.
        attempt: u32,
        /// `timeout`, `rejected`, `failed` or `unknown`.
        cause: ChargeFailure,
        /// What the payer's wallet said, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// When the person is asked again; absent when they are not.
        retry_at: Option<Timestamp>,
    },
    /// The last attempt failed.
    PastDue {
        /// The period that is not paid.
        period: u32,
        /// When the subscription is closed.
        closes_at: Timestamp,
    },
    /// Periods that fell into an outage are left out.
    Skipped {
        /// The first of them.
        from: Timestamp,
        /// The one that is charged instead.
        to: Timestamp,
    },
    /// Nothing is charged until it is resumed.
    Paused,
    /// It is charged again.
    Resumed {
        /// The next charge; absent when there is none.
        next_due: Option<Timestamp>,
    },
    /// The amount changed.
    Changed {
        /// Of each later charge.
        amount: u64,
        /// What the next charge is more (or, below zero, less) for the period that runs.
        adjustment: i64,
    },
    /// There will be no more charges; one that is open may still be paid.
    Cancelled {
        /// Who ended it.
        why: SubscriptionEnd,
        /// Why, if they said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Nothing follows.
    Closed {
        /// Why.
        why: SubscriptionEnd,
    },
}

/// Why a charge failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeFailure {
    /// Nobody paid in time.
    Timeout,
    /// The person said no.
    Rejected,
    /// The person's wallet could not pay.
    Failed,
    /// What became of it is not known any more; it is not asked again.
    Unknown,
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionEnd {
    /// Its last period is paid.
    Completed,
    /// The service ended it.
    ByService,
    /// The person ended it.
    ByPerson,
    /// A period was not paid in the end.
    Unpaid,
    /// The person agreed to something else than was asked.
    OtherTerms,
}

/// The moment an event was written, in whole seconds.
impl StreamEvent {
    /// When it was written, in whole seconds.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_secs(self.at_millis / 1000)
    }
}
