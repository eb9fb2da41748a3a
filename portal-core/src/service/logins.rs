//! Logging people in: the URL they open, and the challenge they answer.

use super::call::bounded;
use super::{Call, Opened, PATIENCE, Recipient};
use crate::conversation::Conversation;
use crate::conversation::ask::{Ask, Question};
use crate::conversation::handshake::Handshake;
use crate::driver::{Node, Opening};
use crate::error::Error;
use crate::primitives::StreamId;
use crate::protocol::auth::AuthChallenge;
use crate::protocol::handshake::KeyHandshakeUrl;

/// No URL of ours names more relays: deployed wallets fail on a URL with more than five that they
/// do not know.
const MOST_RELAYS: usize = 5;

/// The longest static token.
const MAX_TOKEN: usize = 512;

/// Logging people in.
#[derive(Clone, Copy)]
pub struct Logins<'a>(pub(super) &'a Node);

/// A URL to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewHandshake {
    /// A token of the merchant's own, for a URL that is printed: everyone may open it, until it is
    /// revoked. Without one the URL is for one person and five minutes.
    pub static_token: Option<String>,
    /// Tells the wallet that no request follows.
    pub no_request: bool,
}

/// A URL to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeOpened {
    /// `portal://…`.
    pub url: String,
    /// Where [`KeyHandshake`](crate::event::PortalEvent::KeyHandshake) events appear.
    pub stream: StreamId,
    /// Whether it was made before: by the same idempotency key, or for the same static token.
    pub repeated: bool,
    /// The last event that was on the stream already, when the token was in use before.
    pub last_index: Option<u64>,
}

impl Logins<'_> {
    /// Makes a URL that a person's wallet opens.
    ///
    /// The URL names our first five relays. A static token gives the same URL and stream whenever
    /// it is asked for, also when relays were added or removed since; only when none of those in
    /// it is ours any more, so that nobody could open it, there is another URL.
    ///
    /// # Errors
    /// When the service has no relay, the token is too long or reads in a URL like another one in
    /// use, or nothing can be saved.
    ///
    /// # Cancel safety
    /// The URL may be valid also when the future is dropped.
    pub async fn handshake_url(
        &self,
        new: NewHandshake,
        call: Call,
    ) -> Result<HandshakeOpened, Error> {
        match new.static_token {
            Some(token) => self.static_url(&token, new.no_request, call).await,
            None => self.one_time_url(new.no_request, call).await,
        }
    }

    async fn one_time_url(&self, no_request: bool, call: Call) -> Result<HandshakeOpened, Error> {
        let node = self.0;
        let token = node.env().alphanumeric(32);
        let url = self.url(&token, no_request, &self.relays())?.to_string();
        let conversation = Conversation::Handshake(Box::new(Handshake {
            token: token.into(),
            plain_token: None,
            no_request,
            relays: Vec::new(),
            expires_at: Some(node.env().now().saturating_add(PATIENCE)),
        }));
        // The same key gives the same URL: it is kept as the answer beside the stream.
        let make = || async { Ok((conversation, Some(url))) };
        let (opened, url) = call.open_with_answer(node, make).await?;
        let url = url.ok_or(Error::IdempotencyConflict)?;
        Ok(HandshakeOpened {
            url,
            stream: opened.stream,
            repeated: opened.repeated,
            last_index: None,
        })
    }

    async fn static_url(
        &self,
        token: &str,
        no_request: bool,
        call: Call,
    ) -> Result<HandshakeOpened, Error> {
        bounded(token, "the static token", MAX_TOKEN)?;
        let node = self.0;
        let relays = self.relays();
        let url = self.url(token, no_request, &relays)?;
        let in_url = url.token().to_owned();
        let handshake = Handshake {
            plain_token: (in_url != token).then(|| token.into()),
            token: in_url.into(),
            no_request,
            relays: relays.iter().map(|relay| relay.as_str().into()).collect(),
            expires_at: None,
        };
        let attach = call.attach.clone();
        let (stream, handshake, fresh) = node
            .open_static(handshake, token.to_owned(), |conversation| Opening {
                attach,
                ..Opening::of(conversation)
            })
            .await?;
        let last_index = if fresh {
            None
        } else {
            let info = node.store().stream(stream).await?;
            info.and_then(|info| info.events.checked_sub(1))
        };
        if let (false, Some(sink)) = (fresh, call.attach) {
            // Whoever asks for the URL again wants to hear what happens from now on; what happened
            // before is in the log.
            node.hub().attach(node.store(), stream, last_index, sink).await?;
        }
        let url = self.url(token, handshake.no_request, &self.relays_of(&handshake))?.to_string();
        Ok(HandshakeOpened { url, stream, repeated: !fresh, last_index })
    }

    /// Takes a static token back: its URL opens nothing any more. False when it is not in use.
    ///
    /// # Errors
    /// When the service has stopped.
    ///
    /// # Cancel safety
    /// The token may be revoked also when the future is dropped.
    pub async fn revoke_static_token(&self, token: &str) -> Result<bool, Error> {
        Ok(self.0.revoke(token.to_owned()).await?)
    }

    /// Asks a person to prove who they are. The stream ends with
    /// [`AuthenticateKey`](crate::event::PortalEvent::AuthenticateKey).
    ///
    /// # Errors
    /// When a key is no key, or nothing can be saved.
    ///
    /// # Cancel safety
    /// The request may be sent also when the future is dropped.
    pub async fn authenticate(&self, recipient: Recipient, call: Call) -> Result<Opened, Error> {
        let node = self.0;
        call.open(node, || async {
            let peer = recipient.peer(node).await?;
            let challenge = node.env().alphanumeric(32);
            let expires_at = node.env().now().saturating_add(PATIENCE);
            let message = AuthChallenge {
                challenge: challenge.clone(),
                expires_at,
                required_permissions: Vec::new(),
                subkey_proof: node.key().proof().cloned(),
            };
            Ok(Conversation::Ask(Box::new(Ask {
                peer,
                question: Question::Login { challenge: challenge.into() },
                message: json(&message).into(),
                expires_at,
            })))
        })
        .await
    }

    /// The relays that a new URL names.
    fn relays(&self) -> Vec<String> {
        let own = self.0.own_relays();
        own.iter().take(MOST_RELAYS).map(|relay| relay.as_str().to_owned()).collect()
    }

    /// The relays in the URL of a static token.
    fn relays_of(&self, handshake: &Handshake) -> Vec<String> {
        let own = self.0.own_relays();
        let ours = |kept: &str| own.iter().any(|relay| relay.as_str() == kept);
        if handshake.relays.iter().any(|kept| ours(kept)) {
            handshake.relays.iter().map(|kept| kept.to_string()).collect()
        } else {
            self.relays()
        }
    }

    fn url(
        &self,
        token: &str,
        no_request: bool,
        relays: &[String],
    ) -> Result<KeyHandshakeUrl, Error> {
        let key = self.0.key();
        let url = KeyHandshakeUrl::new(key.main_key(), relays.to_vec(), token)?;
        let url = if key.is_subkey() { url.with_subkey(key.public_key())? } else { url };
        Ok(url.with_no_request(no_request)?)
    }
}

/// A message of ours as JSON.
pub(crate) fn json(message: &impl serde::Serialize) -> String {
    serde_json::to_string(message).expect("messages are made of strings, numbers and lists")
}
