//! `NewKeyHandshakeUrl`: a URL that a person opens to say who they are.

use portal_core::primitives::StreamId;
use portal_core::service::{Call, NewHandshake};
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Default, Deserialize)]
pub struct Request {
    /// A token that many people use, for instance on a printed tag.
    #[serde(default)]
    pub static_token: Option<String>,
    /// Tells the wallet that nothing will be asked of it.
    #[serde(default, deserialize_with = "super::input::flag")]
    pub no_request: bool,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// `portal://…`
    pub url: String,
    /// Tells who opened the URL.
    pub stream_id: StreamId,
    /// For a static token: the index of the last event before this call, which is not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_index: Option<u64>,
}

/// Makes the URL.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { static_token, no_request } = request;
    let what = "Failed to create the handshake URL";
    let static_token = static_token.filter(|token| !token.is_empty());
    let lasting = static_token.is_some();
    let logins = context.service.logins();
    let wanted = NewHandshake { static_token, no_request };
    if !lasting {
        let opened = logins
            .handshake_url(wanted, context.call())
            .await
            .map_err(|error| super::failed(error, what))?;
        let (stream, shared) = (opened.stream, opened.repeated);
        let reply = Reply { url: opened.url, stream_id: stream, last_index: None };
        return Ok(Outcome::Opened { stream, reply: reply.into(), shared });
    }
    // The stream of a static token is as old as the token: whoever asks for its URL hears what
    // happens from now on, and is told where that is.
    let make = || async {
        let opened = logins
            .handshake_url(wanted, Call::default())
            .await
            .map_err(|error| super::failed(error, what))?;
        Ok(Standing { url: opened.url, stream: opened.stream, after: opened.last_index })
    };
    // Under the same key again the same place, so that nothing is missed in between.
    let again = context.idempotency.is_some();
    let Standing { url, stream, after } = context.once(make).await?;
    let reply = Reply { url, stream_id: stream, last_index: after };
    Ok(Outcome::Attach { stream, after, reply: reply.into(), all: false, again })
}

/// Where the stream of a static token stood.
#[derive(Serialize, Deserialize)]
struct Standing {
    url: String,
    stream: StreamId,
    after: Option<u64>,
}
