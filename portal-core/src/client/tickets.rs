//! Tickets from the person's side: gifts are taken in, requests are answered.
//!
//! A gift is in the ticket wallet's journal before the request counts as handled, so a crash in
//! between repeats a step and loses nothing. A request is answered out of what the person allowed,
//! or when they say so. Either way the answer has one key: whoever asks again gets the same token.

use sha2::{Digest, Sha256};

use super::{Client, IncomingRequest, RequestBody};
use crate::cashu::{
    CashuError, Give, Lock, MOST_MESSAGE_BYTES, MOST_MESSAGE_PROOFS, MintAddress, NewSend, Outcome,
    Purpose, Received, Sent, TicketToken, TicketWallet, Unit,
};
use crate::error::Error;
use crate::protocol::ticket::{CashuRequest, CashuStatus};

/// Taking what services give, answering what they ask for.
#[derive(Clone, Copy)]
pub struct Tickets<'a> {
    pub(super) client: &'a Client,
    pub(super) wallet: &'a TicketWallet,
}

/// How a request for a ticket was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// With a token.
    Given,
    /// The wallet holds too little.
    InsufficientFunds,
    /// It was refused.
    Refused,
    /// Not at all: the person has to be asked.
    AskThePerson,
}

impl Tickets<'_> {
    /// Takes in a gift. When this returns it cannot be lost any more, and is not given again:
    /// `None` means that it is written down, and received as soon as its mint answers
    /// ([`TicketWallet::recover`]).
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is no gift; the wallet's error when the token is worth nothing,
    /// or its mint may not be asked (either way the request is handled, and what may be worth
    /// something stays in the journal); when it cannot be saved, or too many gifts wait for their
    /// mints, it is given again.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn take(&self, request: &IncomingRequest) -> Result<Option<Received>, Error> {
        let RequestBody::TicketGift(gift) = &request.body else { return Err(Error::WrongReply) };
        // The same gift over two relays, or twice, is one operation.
        let key = format!("gift:{}", hex::encode(Sha256::digest(gift.token.as_bytes())));
        match self.wallet.accept(&key, &gift.token).await {
            Ok(()) => self.client.requests().handled(request.id).await?,
            // It stays with the requests, and is given again.
            Err(error @ (CashuError::Storage(_) | CashuError::TooMany { .. })) => {
                return Err(error.into());
            }
            Err(error) => {
                // It is no token, and will not become one.
                self.client.requests().handled(request.id).await?;
                return Err(error.into());
            }
        }
        match self.wallet.receive(&key, &gift.token).await {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.outcome() == Outcome::Unknown => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers a request within what the person allowed this service, or leaves it for the person.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request; an error whose outcome is not
    /// known: call it again with the same request.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn answer_allowed(&self, request: &IncomingRequest) -> Result<Answered, Error> {
        let asked = self.asked(request)?;
        let Some((mint, unit)) = self.open_to(request, asked) else {
            return self.refuse(request, "the request has ended or makes no sense").await;
        };
        let key = key(request, asked);
        let service = request.service;
        let give = Give::default();
        let sent = self.wallet.send_allowed(&key, &service, mint, unit, asked.amount, give).await;
        match sent {
            Err(CashuError::NotAllowed) => Ok(Answered::AskThePerson),
            other => self.reply(request, &key, other).await,
        }
    }

    /// Answers a request because the person says so. `locked`: only the key that asked can spend
    /// the token; its service must know of locks.
    ///
    /// # Errors
    /// As [`Tickets::answer_allowed`].
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn answer(&self, request: &IncomingRequest, locked: bool) -> Result<Answered, Error> {
        let asked = self.asked(request)?;
        let Some((mint, unit)) = self.open_to(request, asked) else {
            return self.refuse(request, "the request has ended or makes no sense").await;
        };
        let key = key(request, asked);
        let lock = locked.then_some(Lock { to: request.signer, until: None });
        let new = NewSend {
            mint,
            unit,
            amount: asked.amount,
            give: Give { lock, memo: None },
            purpose: Purpose::Present,
        };
        let sent = self.wallet.send(&key, new).await;
        self.reply(request, &key, sent).await
    }

    /// Says no for the person.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request, or the request is over.
    ///
    /// # Cancel safety
    /// The reply may be sent also when the future is dropped.
    pub async fn decline(
        &self,
        request: &IncomingRequest,
        reason: Option<String>,
    ) -> Result<(), Error> {
        self.asked(request)?;
        self.client.replies().ticket(request, CashuStatus::Rejected { reason }).await?;
        self.client.requests().handled(request.id).await
    }

    fn asked<'r>(&self, request: &'r IncomingRequest) -> Result<&'r CashuRequest, Error> {
        match &request.body {
            RequestBody::Ticket(asked) => Ok(asked),
            _ => Err(Error::WrongReply),
        }
    }

    /// The mint and unit, when the request is still open and asks for something.
    fn open_to(
        &self,
        request: &IncomingRequest,
        asked: &CashuRequest,
    ) -> Option<(MintAddress, Unit)> {
        let now = self.client.now();
        if asked.amount == 0 || asked.expires_at <= now || request.expires_at <= now {
            return None;
        }
        Some((asked.mint_url.parse().ok()?, asked.unit.parse().ok()?))
    }

    async fn reply(
        &self,
        request: &IncomingRequest,
        key: &str,
        sent: Result<Sent, CashuError>,
    ) -> Result<Answered, Error> {
        let token = match sent {
            Ok(sent) => sent.token,
            Err(CashuError::InsufficientFunds { .. }) => {
                let status = CashuStatus::InsufficientFunds;
                self.client.replies().ticket(request, status).await?;
                self.client.requests().handled(request.id).await?;
                return Ok(Answered::InsufficientFunds);
            }
            Err(error) => return Err(error.into()),
        };
        let read = TicketToken::parse(&token)?;
        if read.count() > MOST_MESSAGE_PROOFS || token.len() > MOST_MESSAGE_BYTES {
            self.wallet.take_back(key).await?;
            return self.refuse(request, "so many tickets do not fit one message").await;
        }
        self.client.replies().ticket(request, CashuStatus::Success { token }).await?;
        self.client.requests().handled(request.id).await?;
        Ok(Answered::Given)
    }

    async fn refuse(&self, request: &IncomingRequest, reason: &str) -> Result<Answered, Error> {
        let status = CashuStatus::Rejected { reason: Some(reason.to_owned()) };
        self.client.replies().ticket(request, status).await?;
        self.client.requests().handled(request.id).await?;
        Ok(Answered::Refused)
    }
}

impl std::fmt::Debug for Tickets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

/// The same question of the same service has one answer, also when it comes over another relay.
fn key(request: &IncomingRequest, asked: &CashuRequest) -> String {
    /// Longer ids are hashed: keys of operations have a bound, and ids are chosen by strangers.
    const LONGEST: usize = 128;

    let service = request.service.to_hex();
    let id = asked.request_id.as_str();
    if id.len() <= LONGEST {
        return format!("request:{service}:{id}");
    }
    format!("request:{service}:sha256:{}", hex::encode(Sha256::digest(id.as_bytes())))
}
