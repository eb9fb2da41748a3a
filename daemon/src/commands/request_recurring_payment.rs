//! `RequestRecurringPayment`: asks a person to agree to a subscription; answered by the person.

use portal_core::primitives::{RequestId, StreamId, Timestamp};
use portal_core::protocol::Currency;
use portal_core::protocol::subscription::{Recurrence, RecurringPaymentResponse};
use portal_core::service::NewRecurringPayment;
use serde::{Deserialize, Serialize};

use super::subscription::Plan;
use super::{Answer, Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Who is to agree.
    pub main_key: String,
    /// Their subkeys, as far as known.
    #[serde(default, deserialize_with = "super::input::list")]
    pub subkeys: Vec<String>,
    /// To what.
    pub payment_request: Content,
}

/// To what.
#[derive(Clone, Deserialize)]
pub struct Content {
    /// Of each charge: millisatoshi or hundredths of the fiat unit.
    pub amount: u64,
    /// The unit of `amount`.
    #[serde(deserialize_with = "super::input::currency")]
    pub currency: Currency,
    /// When to charge.
    pub recurrence: RecurrenceContent,
    /// When the request ends.
    #[serde(deserialize_with = "Timestamp::lenient")]
    pub expires_at: Timestamp,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Tells the wallet which session asks.
    #[serde(default)]
    pub auth_token: Option<String>,
    /// Echoed by the answer; random when absent.
    #[serde(default)]
    pub request_id: Option<RequestId>,
    /// Lets the daemon charge it, and how; without it the caller runs the schedule.
    #[serde(default)]
    pub schedule: Option<Plan>,
}

/// When to charge.
#[derive(Clone, Deserialize)]
pub struct RecurrenceContent {
    /// The rule.
    pub calendar: String,
    /// The first charge.
    #[serde(deserialize_with = "Timestamp::lenient")]
    pub first_payment_due: Timestamp,
    /// No charge after this.
    #[serde(default, deserialize_with = "Timestamp::lenient_option")]
    pub until: Option<Timestamp>,
    /// No more charges than this.
    #[serde(default)]
    pub max_payments: Option<u32>,
}

impl RecurrenceContent {
    /// What it says, once its rule is read.
    ///
    /// # Errors
    /// `invalid_calendar`.
    pub(super) fn read(self) -> Result<Recurrence> {
        let Self { calendar, first_payment_due, until, max_payments } = self;
        let calendar = input::calendar(&calendar)?;
        Ok(Recurrence { until, calendar, max_payments, first_payment_due })
    }
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The answer of the person, with the request id it is for.
    pub status: RecurringPaymentResponse,
    /// The stream of the subscription, which names it, when the daemon charges it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_stream_id: Option<StreamId>,
}

/// Sends the request.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { main_key, subkeys, payment_request } = request;
    let recipient = input::recipient(&main_key, &subkeys, "main key")?;
    let Content {
        amount,
        currency,
        recurrence,
        expires_at,
        description,
        auth_token,
        request_id,
        schedule,
    } = payment_request;
    let what = Answer::Recurring { schedule: None }.what();
    let recurrence = recurrence.read().map_err(|error| error.during(what))?;
    let wanted = NewRecurringPayment {
        amount,
        currency,
        recurrence,
        expires_at,
        description,
        auth_token,
        request_id,
    };
    let subscriptions = context.service.subscriptions();
    let asked = match schedule {
        None => {
            let asked = subscriptions.request(recipient, wanted, context.call()).await;
            asked.map(|opened| (opened, None))
        }
        Some(plan) => {
            let plan = plan.with(subscriptions.policy());
            let asked =
                subscriptions.request_scheduled(recipient, wanted, plan, context.call()).await;
            asked.map(|(opened, schedule)| (opened, Some(schedule)))
        }
    };
    let (opened, schedule) = asked.map_err(|error| super::failed(error, what))?;
    Ok(Outcome::Waiting { stream: opened.stream, answer: Answer::Recurring { schedule } })
}
