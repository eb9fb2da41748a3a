//! `SendCashuDirect`: gives a person a token (a ticket). It succeeds when a relay has taken the
//! message, and not before.
//!
//! A message carries at most 150 proofs. A larger gift is cut into several messages, all but the
//! last of which have been taken by a relay before the last is sent.

use portal_core::service::Recipient;
use serde::{Deserialize, Serialize};

use super::{Answer, Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// To whom.
    pub main_key: String,
    /// Their subkeys, as far as known.
    #[serde(default, deserialize_with = "super::input::list")]
    pub subkeys: Vec<String>,
    /// The token; whoever has it can spend it.
    pub token: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// For people.
    pub message: &'static str,
}

/// Sends the token.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { main_key, subkeys, token } = request;
    let recipient = input::recipient(&main_key, &subkeys, "main key")?;
    let last = deliver_all_but_the_last(&recipient, token, &context).await?;
    let opened = context
        .service
        .tickets()
        .send(recipient, last, context.call())
        .await
        .map_err(|error| super::failed(error, Answer::SendCashu.what()))?;
    Ok(Outcome::Waiting { stream: opened.stream, answer: Answer::SendCashu })
}

/// Returns what fits the last message.
#[cfg(feature = "cashu")]
async fn deliver_all_but_the_last(
    recipient: &Recipient,
    token: String,
    context: &Context<'_>,
) -> Result<String> {
    use portal_core::service::{Call, Idempotency};

    use super::answer::DELIVERY_LIMIT;

    // What is no token is passed on as it is, as it always was.
    let Ok(mut parts) = portal_core::cashu::fit_messages(&token) else { return Ok(token) };
    let Some(last) = parts.pop() else { return Ok(token) };
    let failed = |error| super::failed(error, Answer::SendCashu.what());
    for (number, part) in parts.into_iter().enumerate() {
        let idempotency = context.idempotency.as_ref().map(|whole| Idempotency {
            key: format!("{}#{number}", whole.key),
            command_hash: whole.command_hash,
        });
        let call = Call { idempotency, attach: None };
        let opened =
            context.service.tickets().send(recipient.clone(), part, call).await.map_err(failed)?;
        let streams = context.service.streams();
        let delivery = streams.wait(opened.stream);
        let event = tokio::time::timeout(DELIVERY_LIMIT, delivery)
            .await
            .map_err(|_| Answer::SendCashu.too_late())?
            .map_err(failed)?;
        if let Some(outcome) = Answer::SendCashu.answer_in(&event) {
            outcome?;
        }
    }
    Ok(last)
}

/// Without a ticket wallet nothing here knows what a token is.
#[cfg(not(feature = "cashu"))]
async fn deliver_all_but_the_last(_: &Recipient, token: String, _: &Context<'_>) -> Result<String> {
    Ok(token)
}
