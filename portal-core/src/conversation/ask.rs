//! The service's side of a request that has one answer: a login, a recurring payment, an invoice,
//! a ticket (kinds 27000, 28005, 28008, 29500).
//!
//! ```text
//!   Open ──answer of the right person──▶ (ended, the answer)
//!   Open ──deadline──▶ (ended, `timeout`)
//!   Open ──relay (re)connected──▶ Open, the request goes to that relay again
//!   Open ──valid subkey proof──▶ Open, the request goes to the new key too
//! ```

use std::time::Duration;

use lightning_invoice::Currency as Network;
use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use super::peer::{Learned, Peer};
use super::route::Route;
use super::{Outgoing, Via};
use crate::event::PortalEvent;
use crate::identity::subkey;
use crate::primitives::{ErrorCode, Millisats, RequestId, StreamId, Timestamp};
use crate::protocol::auth::AuthResponse;
use crate::protocol::envelope::{Opened, Refusal};
use crate::protocol::invoice::{InvoiceRequest, InvoiceResponse};
use crate::protocol::subkey::{SubkeyPermission, SubkeyProof};
use crate::protocol::subscription::{RecurringPaymentResponse, RecurringStatus};
use crate::protocol::ticket::{CashuRequest, CashuResponse, CashuStatus};
use crate::protocol::{Currency, kinds};

/// An invoice must be payable for this long, or until the end of the request.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
/// The clock of whoever made an invoice may be ahead of ours by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(600);

/// A request that waits for its one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Who was asked.
    pub peer: Peer,
    /// What was asked.
    pub question: Question,
    /// The message as it is sent, JSON.
    pub message: Box<str>,
    /// When nobody will answer any more.
    pub expires_at: Timestamp,
}

/// What was asked, as far as the answer must fit it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Who are you? Answered by the challenge.
    Login {
        /// Random.
        challenge: Box<str>,
    },
    /// May I charge you regularly?
    Recurring {
        /// Echoed.
        request_id: RequestId,
    },
    /// Give me an invoice.
    Invoice {
        /// Echoed.
        request_id: RequestId,
        /// The invoice must be for this much.
        amount: Millisats,
        /// The network of our wallet, when it is known: the invoice must be of the same.
        #[serde(default)]
        network: Option<String>,
    },
    /// Give me a ticket.
    Cashu {
        /// Echoed.
        request_id: RequestId,
    },
}

impl Question {
    /// The kind of the request.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Login { .. } => kinds::AUTH_CHALLENGE,
            Self::Recurring { .. } => kinds::RECURRING_REQUEST,
            Self::Invoice { .. } => kinds::INVOICE_REQUEST,
            Self::Cashu { .. } => kinds::CASHU_REQUEST,
        }
    }

    /// What the answer names it by.
    pub(super) fn route(&self) -> Route {
        match self {
            Self::Login { challenge } => Route::challenge(challenge),
            Self::Recurring { request_id } => {
                Route::request(kinds::RECURRING_RESPONSE, request_id.as_str())
            }
            Self::Invoice { request_id, .. } => {
                Route::request(kinds::INVOICE_RESPONSE, request_id.as_str())
            }
            Self::Cashu { request_id } => {
                Route::request(kinds::CASHU_RESPONSE, request_id.as_str())
            }
        }
    }

    /// What a subkey must be allowed to do to answer.
    #[must_use]
    pub const fn permission(&self) -> SubkeyPermission {
        match self {
            Self::Login { .. } => SubkeyPermission::Auth,
            Self::Recurring { .. } | Self::Invoice { .. } | Self::Cashu { .. } => {
                SubkeyPermission::Payment
            }
        }
    }
}

/// Compares a token with what was asked for. Reading tokens takes a Cashu library, which nothing in
/// this row knows: whoever drives the engine brings it.
pub type TokenCheck = fn(&CashuRequest, &str) -> Result<(), Mismatch>;

/// In what an answer differs from what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The kind of difference.
    pub code: ErrorCode,
    /// For people.
    pub reason: &'static str,
}

/// The answer came.
#[derive(Debug, PartialEq)]
pub struct Answered {
    /// For the stream; the last.
    pub event: PortalEvent,
    /// The peer, when something was learned about it.
    pub learned: Option<Peer>,
    /// A subscription that was confirmed.
    pub subscription: Option<String>,
}

impl Answered {
    const fn with(event: PortalEvent) -> Self {
        Self { event, learned: None, subscription: None }
    }
}

impl Ask {
    /// An answer to a challenge came.
    ///
    /// # Errors
    /// Why it does not answer this.
    pub fn receive_login(
        &self,
        opened: &Opened,
        answer: AuthResponse,
        now: Timestamp,
    ) -> Result<Answered, Refusal> {
        let Question::Login { challenge } = &self.question else {
            return Err(Refusal::Unexpected);
        };
        if **challenge != *answer.challenge {
            return Err(Refusal::Unexpected);
        }
        self.check_open(now)?;
        let author = opened.author;
        let mut peer = self.peer.clone();
        let user_key = match &answer.subkey_proof {
            // A wallet on its main key, or on a subkey that proved itself before.
            None if peer.knows(&author) => peer.main_key,
            None => return Err(Refusal::WrongAuthor),
            Some(proof) => {
                subkey::verify(proof, &author, now, Some(SubkeyPermission::Auth))
                    .map_err(|_| Refusal::BadProof)?;
                let about_peer = proof.main_key == peer.main_key || author == peer.main_key;
                if !about_peer {
                    return Err(Refusal::WrongAuthor);
                }
                peer.learn(author, proof, now, SubkeyPermission::Auth);
                proof.main_key
            }
        };
        Ok(Answered {
            event: PortalEvent::AuthenticateKey {
                user_key,
                recipient: author,
                challenge: answer.challenge,
                status: answer.status,
            },
            learned: (peer != self.peer).then_some(peer),
            subscription: None,
        })
    }

    /// An answer to a recurring payment request came.
    ///
    /// # Errors
    /// Why it does not answer this.
    pub fn receive_recurring(
        &self,
        opened: &Opened,
        answer: RecurringPaymentResponse,
        now: Timestamp,
    ) -> Result<Answered, Refusal> {
        let Question::Recurring { request_id } = &self.question else {
            return Err(Refusal::Unexpected);
        };
        self.check_answer(opened, request_id, &answer.request_id, now)?;
        let subscription = match &answer.status {
            RecurringStatus::Confirmed { subscription_id, .. } => Some(subscription_id.clone()),
            RecurringStatus::Rejected { .. } => None,
        };
        let event = PortalEvent::RecurringPaymentResponse { status: answer };
        Ok(Answered { subscription, ..Answered::with(event) })
    }

    /// An invoice came. One that is not what was asked for ends the stream with an error: the
    /// person it came from is the right one, so nothing better will follow.
    ///
    /// # Errors
    /// Why it does not answer this.
    pub fn receive_invoice(
        &self,
        opened: &Opened,
        answer: InvoiceResponse,
        now: Timestamp,
    ) -> Result<Answered, Refusal> {
        let Question::Invoice { request_id, amount, network } = &self.question else {
            return Err(Refusal::Unexpected);
        };
        self.check_answer(opened, request_id, &answer.request.inner.request_id, now)?;
        let terms = Terms {
            amount: *amount,
            slack: self.slack(),
            network: network.as_deref(),
            // It has to be paid, and that takes a moment.
            until: self.expires_at.min(now.saturating_add(SHORTEST_LIFE)),
            now,
        };
        let event = match check_invoice(&answer.invoice, &terms) {
            Ok(payment_hash) => PortalEvent::InvoiceResponse {
                invoice: answer.invoice,
                payment_hash: Some(payment_hash),
            },
            Err(reason) => {
                PortalEvent::Error { code: ErrorCode::InvalidInvoice, reason: reason.to_owned() }
            }
        };
        Ok(Answered::with(event))
    }

    /// An answer to a request for a ticket came. A token that is not what was asked for ends the
    /// stream with an error, as an invoice does.
    ///
    /// # Errors
    /// Why it does not answer this.
    pub fn receive_cashu(
        &self,
        opened: &Opened,
        answer: CashuResponse,
        check: Option<TokenCheck>,
        now: Timestamp,
    ) -> Result<Answered, Refusal> {
        let Question::Cashu { request_id } = &self.question else {
            return Err(Refusal::Unexpected);
        };
        self.check_answer(opened, request_id, &answer.request.inner.request_id, now)?;
        let checked = match (&answer.status, check) {
            (CashuStatus::Success { token }, Some(check)) => {
                // What we asked, not what the answer says we did.
                let asked = serde_json::from_str::<CashuRequest>(&self.message)
                    .map_err(|_| Refusal::Unexpected)?;
                check(&asked, token)
            }
            (
                CashuStatus::Success { .. }
                | CashuStatus::InsufficientFunds
                | CashuStatus::Rejected { .. },
                _,
            ) => Ok(()),
        };
        let event = match checked {
            Ok(()) => PortalEvent::CashuResponse { status: answer.status },
            Err(Mismatch { code, reason }) => {
                PortalEvent::Error { code, reason: reason.to_owned() }
            }
        };
        Ok(Answered::with(event))
    }

    /// A key says that it belongs to the peer. The recipients that must get the request now.
    ///
    /// # Errors
    /// [`Refusal::BadProof`] when it does not hold, says nothing new or is about somebody else.
    pub fn learn(
        &mut self,
        author: PublicKey,
        proof: &SubkeyProof,
        now: Timestamp,
    ) -> Result<Vec<PublicKey>, Refusal> {
        self.check_open(now)?;
        match self.peer.learn(author, proof, now, self.question.permission()) {
            Some(Learned::Subkey(key) | Learned::MainKey(key)) => Ok(vec![key]),
            None => Err(Refusal::BadProof),
        }
    }

    /// The deadline passed.
    #[must_use]
    pub fn timeout() -> PortalEvent {
        PortalEvent::Error {
            code: ErrorCode::Timeout,
            reason: "Timeout: nobody answered in time".to_owned(),
        }
    }

    /// Where the request goes.
    #[must_use]
    pub fn via(&self) -> Via {
        Via::Peer(self.peer.relays.clone())
    }

    /// The request on its way to these recipients.
    #[must_use]
    pub fn outgoing(&self, stream: StreamId, recipients: Vec<PublicKey>) -> Outgoing {
        Outgoing {
            stream,
            part: 0,
            kind: self.question.kind(),
            recipients,
            mentions: self.peer.keys(),
            in_answer_to: None,
            message: self.message.to_string(),
            via: self.via(),
            track: false,
        }
    }

    /// How many millisatoshi an invoice may be off. Deployed wallets turn fiat into millisatoshi
    /// with floating point, which is one off at round numbers.
    fn slack(&self) -> u64 {
        let request = serde_json::from_str::<InvoiceRequest>(&self.message);
        u64::from(request.is_ok_and(|request| request.currency != Currency::Millisats))
    }

    fn check_open(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.expires_at <= now { Err(Refusal::Expired) } else { Ok(()) }
    }

    fn check_answer(
        &self,
        opened: &Opened,
        asked: &RequestId,
        answered: &RequestId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if asked != answered {
            return Err(Refusal::Unexpected);
        }
        if !self.peer.knows(&opened.author) {
            return Err(Refusal::WrongAuthor);
        }
        self.check_open(now)
    }
}

/// What an invoice that was asked for must be.
struct Terms<'a> {
    amount: Millisats,
    /// How much it may be off.
    slack: u64,
    network: Option<&'a str>,
    until: Timestamp,
    now: Timestamp,
}

/// The payment hash, when the invoice is what was asked for.
fn check_invoice(text: &str, terms: &Terms<'_>) -> Result<String, &'static str> {
    let invoice: lightning_invoice::Bolt11Invoice =
        text.parse().map_err(|_| "the answer is not a BOLT11 invoice")?;
    match invoice.amount_milli_satoshis() {
        None => return Err("the invoice has no amount"),
        Some(msat) if msat.abs_diff(terms.amount.as_u64()) > terms.slack => {
            return Err("the invoice is for another amount than was asked for");
        }
        Some(_) => {}
    }
    if invoice.would_expire(Duration::from_secs(terms.now.as_secs())) {
        return Err("the invoice has expired");
    }
    if invoice.would_expire(Duration::from_secs(terms.until.as_secs())) {
        return Err("the invoice ends before it can be paid");
    }
    if invoice.duration_since_epoch().as_secs() > terms.now.saturating_add(CLOCK_SKEW).as_secs() {
        return Err("the invoice is from the future");
    }
    let network = match invoice.currency() {
        Network::Bitcoin => &["bitcoin", "mainnet"][..],
        Network::BitcoinTestnet => &["testnet", "testnet3", "testnet4"],
        Network::Regtest => &["regtest"],
        Network::Simnet => &["simnet"],
        Network::Signet => &["signet", "mutinynet"],
    };
    if terms.network.is_some_and(|ours| !network.contains(&ours)) {
        return Err("the invoice is for another network than the wallet's");
    }
    Ok(invoice.payment_hash().to_string())
}
