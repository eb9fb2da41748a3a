//! `CloseRecurringPayment`: tells a person that their subscription has ended. It succeeds when a
//! relay has taken the message, and not before.

use serde::{Deserialize, Serialize};

use super::{Answer, Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Whose.
    pub main_key: String,
    /// Their subkeys, as far as known.
    #[serde(default, deserialize_with = "super::input::list")]
    pub subkeys: Vec<String>,
    /// Which.
    pub subscription_id: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// For people.
    pub message: &'static str,
}

/// Sends the message.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { main_key, subkeys, subscription_id } = request;
    let recipient = input::recipient(&main_key, &subkeys, "main key")?;
    let opened = context
        .service
        .subscriptions()
        .close(recipient, subscription_id, context.call())
        .await
        .map_err(|error| super::failed(error, Answer::CloseRecurring.what()))?;
    Ok(Outcome::Waiting { stream: opened.stream, answer: Answer::CloseRecurring })
}
