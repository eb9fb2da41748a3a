//! Simulated people: many keys behind one connection to each relay, which open URLs and answer
//! what a service asks them.
//!
//! Not the [`Client`](portal_core::client::Client) of the core: that keeps a durable inbox for one
//! person. These have no memory but what they have seen, and verify what they answer.

mod connection;
pub mod mood;
pub mod process;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nostr::PublicKey;
use nostr::hashes::{Hash, sha256};
use nostr::nips::nip44::v2::ConversationKey;
use portal_core::env::Env;
use portal_core::identity::LocalKey;
use portal_core::protocol::auth::{AuthChallenge, AuthResponse, AuthStatus};
use portal_core::protocol::envelope::{Header, Incoming, seal};
use portal_core::protocol::handshake::{ClientInfo, KeyHandshake, KeyHandshakeUrl};
use portal_core::protocol::kinds;
use portal_core::protocol::payment::{
    PaymentRequest, PaymentResponse, PaymentStatus, SinglePaymentRequest,
};
use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

/// How a session token of a simulated person ends, to be as long as a real one.
pub const TOKEN_TAIL: &str = "eyJhbGciOiJFUzI1NksiLCJ0eXAiOiJKV1QifQ.eyJ0YXJnZXQiOiJwb3J0YWwtYmVuY2giLCJ\
    leHAiOjE5MDAwMDAwMDB9.c2lnbmF0dXJlLW9mLXNpeHR5LWZvdXItYnl0ZXMtdGhhdC1ub2JvZHktY2hlY2tz";

/// How people answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// Say nothing to anything.
    pub silent: bool,
    /// Claim at once to have paid, after agreeing.
    pub claim: bool,
    /// Behave as [`mood::of`] says about each payment.
    pub moody: bool,
}

/// Someone was asked to pay.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who.
    pub person: u64,
    /// BOLT11.
    pub invoice: String,
}

/// Many people behind one connection to each relay. Dropping them ends the connections.
pub struct People {
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

struct Inner {
    env: Env,
    seed: [u8; 32],
    service: PublicKey,
    manners: Manners,
    people: Mutex<HashMap<PublicKey, Arc<Person>>>,
    seen: Mutex<HashSet<[u8; 32]>>,
    relays: Vec<mpsc::UnboundedSender<Arc<str>>>,
    asked: Option<mpsc::UnboundedSender<Asked>>,
    subscribed: AtomicUsize,
    moved: Notify,
}

struct Person {
    number: u64,
    key: LocalKey,
    shared: ConversationKey,
}

/// The key of a person: known to whoever knows the seed.
pub fn key_of(seed: &[u8; 32], number: u64) -> LocalKey {
    let mut text = seed.to_vec();
    text.extend_from_slice(&number.to_le_bytes());
    let hash = sha256::Hash::hash(&text).to_byte_array();
    LocalKey::from_secret_bytes(&hash).expect("a hash outside the curve's order was never seen")
}

/// What the session token of a person begins with.
#[must_use]
pub fn token_prefix(number: u64) -> String {
    format!("person-{number}.")
}

impl People {
    /// Connects to relays, to hear what one service says.
    pub fn connect(
        relays: &[String],
        service: PublicKey,
        seed: [u8; 32],
        manners: Manners,
        asked: Option<mpsc::UnboundedSender<Asked>>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let (senders, queues): (Vec<_>, Vec<_>) =
            relays.iter().map(|_| mpsc::unbounded_channel()).unzip();
        let inner = Arc::new(Inner {
            env: Env::system(),
            seed,
            service,
            manners,
            people: Mutex::default(),
            seen: Mutex::default(),
            relays: senders,
            asked,
            subscribed: AtomicUsize::new(0),
            moved: Notify::new(),
        });
        for (url, queue) in relays.iter().zip(queues) {
            tasks.spawn(connection::run(inner.clone(), url.clone(), queue));
        }
        Self { inner, _tasks: tasks }
    }

    /// Waits until every relay has the subscription.
    pub async fn ready(&self, limit: Duration) -> Result<()> {
        let wait = async {
            loop {
                let moved = self.inner.moved.notified();
                if self.inner.subscribed.load(Ordering::SeqCst) >= self.inner.relays.len() {
                    return;
                }
                moved.await;
            }
        };
        tokio::time::timeout(limit, wait).await.context("people could not connect to their relays")
    }

    /// Makes a person known without anything being said, so that they can be asked.
    pub fn invite(&self, number: u64) -> PublicKey {
        self.inner.person(number).key.public_key()
    }

    /// A person opens a URL.
    pub fn open(&self, number: u64, url: &str) -> Result<()> {
        let url: KeyHandshakeUrl = url.parse().context("not a handshake URL")?;
        let person = self.inner.person(number);
        let message = KeyHandshake {
            token: url.token().to_owned(),
            client_info: ClientInfo { name: "Bench".to_owned(), version: "1".to_owned() },
            preferred_relays: url.relays().to_vec(),
        };
        self.inner.send(&person, kinds::KEY_HANDSHAKE, &message)
    }
}

impl Inner {
    fn person(&self, number: u64) -> Arc<Person> {
        let key = key_of(&self.seed, number);
        if let Some(known) = lock(&self.people).get(&key.public_key()) {
            return known.clone();
        }
        let shared = ConversationKey::derive(key.secret_key(), &self.service)
            .expect("the service's key was parsed");
        let person = Arc::new(Person { number, key, shared });
        lock(&self.people).insert(person.key.public_key(), person.clone());
        person
    }

    fn send(&self, person: &Person, kind: u16, message: &impl Serialize) -> Result<()> {
        let to = [self.service];
        let header = Header { kind, created_at: self.env.now(), to: &to, in_answer_to: None };
        let plaintext = serde_json::to_vec(message)?;
        let sealed = seal(&self.env, &person.key, &person.shared, header, &plaintext)?;
        for relay in &self.relays {
            // Ends only with the connection's task, and that with us.
            drop(relay.send(sealed.frame.clone()));
        }
        Ok(())
    }

    /// An `EVENT` frame: answers it when it is for one of us and new.
    fn hear(&self, frame: &str) -> Result<()> {
        if self.manners.silent {
            return Ok(());
        }
        let incoming = Incoming::parse(frame)?;
        if !lock(&self.seen).insert(*incoming.id()) {
            return Ok(());
        }
        let Some(person) = recipient(frame).and_then(|key| lock(&self.people).get(&key).cloned())
        else {
            return Ok(());
        };
        let opened = incoming.verify()?.open(&person.shared)?;
        match opened.kind {
            kinds::AUTH_CHALLENGE => {
                let asked: AuthChallenge = opened.message()?;
                let answer = AuthResponse {
                    challenge: asked.challenge,
                    subkey_proof: None,
                    status: AuthStatus::Approved {
                        granted_permissions: Vec::new(),
                        session_token: token_prefix(person.number) + TOKEN_TAIL,
                    },
                };
                self.send(&person, kinds::AUTH_RESPONSE, &answer)
            }
            kinds::PAYMENT_REQUEST => {
                let PaymentRequest::Single(asked) = opened.message()? else { return Ok(()) };
                if self.manners.moody {
                    return self.in_a_mood(&person, asked);
                }
                let mut answer = PaymentResponse {
                    request_id: asked.request_id,
                    status: PaymentStatus::Approved,
                };
                self.send(&person, kinds::PAYMENT_RESPONSE, &answer)?;
                if self.manners.claim {
                    answer.status = PaymentStatus::Success { preimage: None };
                    self.send(&person, kinds::PAYMENT_RESPONSE, &answer)?;
                }
                if let Some(listener) = &self.asked {
                    let asked = Asked { person: person.number, invoice: asked.invoice };
                    // Whoever listened may have seen enough.
                    drop(listener.send(asked));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Inner {
    /// Not everything is said, and not everything that is said is true.
    fn in_a_mood(&self, person: &Person, asked: SinglePaymentRequest) -> Result<()> {
        let mood = mood::of(asked.amount);
        if !mood.hears {
            return Ok(());
        }
        let say = |status| {
            let answer = PaymentResponse { request_id: asked.request_id.clone(), status };
            self.send(person, kinds::PAYMENT_RESPONSE, &answer)
        };
        if mood.rejects {
            say(PaymentStatus::Rejected { reason: None })?;
        }
        if mood.approves {
            say(PaymentStatus::Approved)?;
        }
        if mood.claims {
            say(PaymentStatus::Success { preimage: Some("00".repeat(32)) })?;
        }
        if let Some(listener) = &self.asked {
            // Whoever listened may have seen enough.
            drop(listener.send(Asked { person: person.number, invoice: asked.invoice }));
        }
        Ok(())
    }
}

/// The key that the first `p` tag names.
fn recipient(frame: &str) -> Option<PublicKey> {
    const TAG: &str = "[\"p\",\"";
    let start = frame.find(TAG)? + TAG.len();
    PublicKey::from_hex(frame.get(start..start + 64)?).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_from_the_seed_and_the_number() {
        let key = |seed: u8, number| key_of(&[seed; 32], number).public_key();
        assert_eq!(key(1, 7), key(1, 7));
        assert_ne!(key(1, 7), key(1, 8));
        assert_ne!(key(1, 7), key(2, 7));
    }

    #[test]
    fn the_recipient_is_read_from_the_tag() {
        let key = key_of(&[1; 32], 1).public_key();
        let frame = format!("[\"EVENT\",\"s\",{{\"tags\":[[\"p\",\"{key}\"]]}}]");
        assert_eq!(recipient(&frame), Some(key));
        assert_eq!(recipient("[\"EVENT\",\"s\",{}]"), None);
        assert_eq!(recipient("[\"p\",\"12"), None);
    }
}
