//! `ScheduleSubscription`: charges a subscription that a person agreed to earlier, when the
//! merchant still ran their own schedule.

use portal_core::protocol::Currency;
use portal_core::service::AgreedSubscription;
use serde::Deserialize;

use super::request_recurring_payment::RecurrenceContent;
use super::subscription::{Plan, Reply};
use super::{Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Who agreed.
    pub main_key: String,
    /// Their subkeys, as far as known.
    #[serde(default, deserialize_with = "super::input::list")]
    pub subkeys: Vec<String>,
    /// To what.
    pub subscription: Content,
    /// How it is charged.
    #[serde(default)]
    pub schedule: Option<Plan>,
}

/// To what.
#[derive(Clone, Deserialize)]
pub struct Content {
    /// What the person's wallet calls it.
    pub subscription_id: String,
    /// Of each charge: millisatoshi or hundredths of the fiat unit.
    pub amount: u64,
    /// The unit of `amount`.
    #[serde(deserialize_with = "super::input::currency")]
    pub currency: Currency,
    /// When to charge, from the next charge on.
    pub recurrence: RecurrenceContent,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Tells the wallet which session asks.
    #[serde(default)]
    pub auth_token: Option<String>,
}

/// Begins.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to schedule subscription";
    let Request { main_key, subkeys, subscription, schedule } = request;
    let recipient = input::recipient(&main_key, &subkeys, "main key")?;
    let Content { subscription_id, amount, currency, recurrence, description, auth_token } =
        subscription;
    let recurrence = recurrence.read().map_err(|error| error.during(what))?;
    let agreed = AgreedSubscription {
        subscription_id,
        amount,
        currency,
        recurrence,
        description,
        auth_token,
    };
    let subscriptions = context.service.subscriptions();
    let plan = schedule.unwrap_or_default().with(subscriptions.policy());
    let subscription = subscriptions
        .schedule(recipient, agreed, plan)
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { subscription: Box::new(subscription) }.into())
}
