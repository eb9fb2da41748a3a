//! `SendCashuDirect`: gives a person a token (a ticket). It succeeds when a relay has taken the
//! message, and not before.

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
    let opened = context
        .service
        .tickets()
        .send(recipient, token, context.call())
        .await
        .map_err(|error| super::failed(error, Answer::SendCashu.what()))?;
    Ok(Outcome::Waiting { stream: opened.stream, answer: Answer::SendCashu })
}
