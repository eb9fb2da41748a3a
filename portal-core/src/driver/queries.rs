//! One-off questions to relays: profiles (kind 0). The newest answer that verifies wins.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nostr::PublicKey;
use tokio::sync::Notify;

use crate::protocol::envelope::{Incoming, Refusal};
use crate::protocol::kinds;
use crate::relay::{RelayAddress, RelayPool};

/// The longest a question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the other relays get once one has answered in full.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// The largest profile that is read.
const MAX_PROFILE_BYTES: usize = 64 * 1024;

/// What relays know of someone's profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileAnswer {
    /// The content of the newest profile event.
    Found(String),
    /// No relay has one.
    Nothing,
    /// No relay is connected.
    Unreachable,
}

/// Questions that are open.
#[derive(Debug, Default)]
pub struct Queries {
    open: Mutex<HashMap<String, Query>>,
}

#[derive(Debug)]
struct Query {
    author: PublicKey,
    best: Option<(u64, [u8; 32], String)>,
    waiting: HashSet<RelayAddress>,
    /// Those that answered before they were known to have been asked.
    early: HashSet<RelayAddress>,
    answered: bool,
    moved: Arc<Notify>,
}

impl Queries {
    /// Asks all connected relays for the profile of `author`.
    ///
    /// # Cancel safety
    /// The question is closed at the relays also when the future is dropped.
    pub async fn profile(
        &self,
        pool: &dyn RelayPool,
        id: String,
        author: PublicKey,
    ) -> ProfileAnswer {
        let moved = Arc::new(Notify::new());
        self.lock().insert(
            id.clone(),
            Query {
                author,
                best: None,
                waiting: HashSet::new(),
                early: HashSet::new(),
                answered: false,
                moved: moved.clone(),
            },
        );
        let guard = Guard { queries: self, pool, id: id.clone() };
        let filter = format!(
            "{{\"kinds\":[{}],\"authors\":[\"{}\"],\"limit\":1}}",
            kinds::PROFILE,
            author.to_hex()
        );
        let asked = pool.query(&id, &filter);
        if asked.is_empty() {
            return ProfileAnswer::Unreachable;
        }
        // Answers may have come between the question and this line; they are not waited for then.
        if let Some(query) = self.lock().get_mut(&id) {
            let early = std::mem::take(&mut query.early);
            query.waiting.extend(asked.into_iter().filter(|relay| !early.contains(relay)));
        }
        let wait = async {
            loop {
                let woken = moved.notified();
                let (answered, complete) = match self.lock().get(&id) {
                    Some(query) => (query.answered, query.waiting.is_empty()),
                    None => return,
                };
                match (answered, complete) {
                    (true, true) => return,
                    (false, _) => woken.await,
                    (true, false) => {
                        if tokio::time::timeout(STRAGGLERS, woken).await.is_err() {
                            return;
                        }
                    }
                }
            }
        };
        // Running out of time is an answer too: what came so far.
        drop(tokio::time::timeout(PATIENCE, wait).await);
        let best = self.lock().get_mut(&id).and_then(|query| query.best.take());
        drop(guard);
        best.map_or(ProfileAnswer::Nothing, |(_, _, content)| ProfileAnswer::Found(content))
    }

    /// A profile event came on this subscription.
    ///
    /// # Errors
    /// Why it is not used.
    pub fn offer(&self, subscription: &str, incoming: Incoming) -> Result<(), Refusal> {
        if !self.lock().contains_key(subscription) {
            return Err(Refusal::Unexpected);
        }
        let verified = incoming.verify()?;
        let mut open = self.lock();
        let query = open.get_mut(subscription).ok_or(Refusal::Unexpected)?;
        if verified.author() != query.author {
            return Err(Refusal::WrongAuthor);
        }
        let content = verified.public_content();
        if content.len() > MAX_PROFILE_BYTES {
            return Err(Refusal::TooLarge);
        }
        // NIP-01: of two replaceable events of one second the lower id stands.
        let created_at = verified.created_at().as_secs();
        let id = verified.id().to_bytes();
        let newer = query.best.as_ref().is_none_or(|(best_at, best_id, _)| {
            created_at > *best_at || (created_at == *best_at && id < *best_id)
        });
        if newer {
            query.best = Some((created_at, id, content.to_owned()));
        }
        Ok(())
    }

    /// A relay has sent all it has.
    pub fn ended(&self, relay: &RelayAddress, id: &str) {
        if let Some(query) = self.lock().get_mut(id) {
            if !query.waiting.remove(relay) {
                query.early.insert(relay.clone());
            }
            query.answered = true;
            query.moved.notify_one();
        }
    }

    /// A relay is gone: nobody waits for it.
    pub fn relay_gone(&self, relay: &RelayAddress) {
        for query in self.lock().values_mut() {
            if query.waiting.remove(relay) && query.waiting.is_empty() {
                query.answered = true;
                query.moved.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Query>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Guard<'a> {
    queries: &'a Queries,
    pool: &'a dyn RelayPool,
    id: String,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.queries.lock().remove(&self.id);
        self.pool.close_query(&self.id);
    }
}
