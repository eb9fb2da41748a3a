//! `RequestCashu`: asks a person for a token (a ticket); answered by the person.

use portal_core::protocol::ticket::CashuStatus;
use portal_core::service::NewCashuRequest;
use serde::{Deserialize, Serialize};

use super::{Answer, Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Whose token.
    pub recipient_key: String,
    /// Their subkeys, as far as known.
    #[serde(default, deserialize_with = "super::input::list")]
    pub subkeys: Vec<String>,
    /// The mint.
    pub mint_url: String,
    /// The unit of the mint.
    pub unit: String,
    /// In the base of `unit`.
    pub amount: u64,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The token, or why there is none.
    pub status: CashuStatus,
}

/// Sends the request.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { recipient_key, subkeys, mint_url, unit, amount } = request;
    let recipient = input::recipient(&recipient_key, &subkeys, "recipient key")?;
    let opened = context
        .service
        .tickets()
        .request(recipient, NewCashuRequest { mint_url, unit, amount }, context.call())
        .await
        .map_err(|error| super::failed(error, Answer::Cashu.what()))?;
    Ok(Outcome::Waiting { stream: opened.stream, answer: Answer::Cashu })
}
