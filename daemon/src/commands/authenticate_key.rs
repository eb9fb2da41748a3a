//! `AuthenticateKey`: asks a person to prove that they hold their key; answered by the person.

use nostr::PublicKey;
use portal_core::protocol::auth::AuthStatus;
use serde::{Deserialize, Serialize};

use super::{Answer, Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Who.
    pub main_key: String,
    /// Their subkeys, as far as known.
    #[serde(default, deserialize_with = "super::input::list")]
    pub subkeys: Vec<String>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The answer of the person.
    pub event: Answered,
}

/// The answer of the person.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    /// Their main key.
    pub user_key: PublicKey,
    /// The key that signed the answer.
    pub recipient: PublicKey,
    /// The challenge that was answered.
    pub challenge: String,
    /// Yes or no.
    pub status: AuthStatus,
}

/// Sends the challenge.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { main_key, subkeys } = request;
    let recipient = input::recipient(&main_key, &subkeys, "main key")?;
    let opened = context
        .service
        .logins()
        .authenticate(recipient, context.call())
        .await
        .map_err(|error| super::failed(error, Answer::Authenticate.what()))?;
    Ok(Outcome::Waiting { stream: opened.stream, answer: Answer::Authenticate })
}
