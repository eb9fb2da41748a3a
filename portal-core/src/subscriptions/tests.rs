//! What the machine does on each input, and what no order of inputs makes it do.

mod machine;
mod properties;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use nostr::PublicKey;

use super::*;
use crate::event::SubscriptionUpdate;
use crate::primitives::{StreamId, Timestamp};
use crate::protocol::Currency;
use crate::storage::memory::MemoryStore;
use crate::storage::{StorageError, Write, commit};

/// 2025-01-01 00:00:00 UTC.
const START: u64 = 1_735_689_600;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(START + seconds)
}

fn stream(number: u128) -> StreamId {
    StreamId::from_uuid(uuid::Uuid::from_u128(number))
}

fn person() -> PublicKey {
    PublicKey::from_byte_array([1; 32])
}

fn terms(calendar: &str) -> Terms {
    Terms {
        owner: person(),
        subkeys: Vec::new(),
        subscription_id: "sub".to_owned(),
        currency: Currency::Millisats,
        calendar: calendar.parse().expect("legal"),
        first_due: at(0),
        until: None,
        max_payments: None,
        description: None,
        auth_token: None,
    }
}

/// A daily one of 1,000,000 msat whose first charge is due now.
fn daily() -> Subscription {
    begun(terms("daily"), Policy::default())
}

fn begun(terms: Terms, policy: Policy) -> Subscription {
    Subscription::agreed(stream(1), terms, 1_000_000, policy, at(0)).0
}

/// Notes whom it asked, and saves.
struct FakeTill {
    store: Arc<MemoryStore>,
    asked: Mutex<Vec<ChargeOrder>>,
    goodbyes: Mutex<u32>,
    refuse: Mutex<Option<TillError>>,
}

impl FakeTill {
    fn new(store: Arc<MemoryStore>) -> Self {
        Self {
            store,
            asked: Mutex::default(),
            goodbyes: Mutex::default(),
            refuse: Mutex::default(),
        }
    }

    fn asked(&self) -> Vec<ChargeOrder> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl Till for FakeTill {
    async fn charge(&self, order: ChargeOrder, writes: Vec<Write>) -> Result<(), TillError> {
        if let Some(error) = self.refuse.lock().expect("not poisoned").take() {
            return Err(error);
        }
        commit(&*self.store, writes).await?;
        self.asked.lock().expect("not poisoned").push(order);
        Ok(())
    }

    async fn goodbye(&self, _: Goodbye, writes: Vec<Write>) -> Result<StreamId, TillError> {
        commit(&*self.store, writes).await?;
        *self.goodbyes.lock().expect("not poisoned") += 1;
        Ok(stream(0))
    }

    async fn save(&self, writes: Vec<Write>) -> Result<(), TillError> {
        Ok(commit(&*self.store, writes).await?)
    }
}

fn backend() -> StorageError {
    StorageError::Backend(Arc::new(std::io::Error::other("a fault of the test")))
}

/// The words of these events.
fn words(events: &[SubscriptionUpdate]) -> Vec<String> {
    let word = |event: &SubscriptionUpdate| {
        let json = serde_json::to_value(event).expect("serialises");
        json["status"].as_str().expect("a word").to_owned()
    };
    events.iter().map(word).collect()
}
