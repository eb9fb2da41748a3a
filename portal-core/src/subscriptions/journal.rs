//! A subscription and its rows.

use sha2::{Digest as _, Sha256};

use super::state::Subscription;
use super::steps::{Change, Charged};
use crate::event::{PortalEvent, StreamEvent};
use crate::primitives::{RequestId, StreamId};
use crate::storage::schedule::{ChargeRecord, ScheduleRecord};
use crate::storage::{StorageError, Write};

impl Subscription {
    /// Reads a row.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when it is not one of ours.
    pub fn read(record: &ScheduleRecord) -> Result<Self, StorageError> {
        let mut read: Self = serde_json::from_slice(&record.state)
            .map_err(|_| StorageError::Corrupt { what: "subscription" })?;
        read.stream = record.stream;
        read.next_index = record.next_index;
        Ok(read)
    }

    /// Its row.
    #[must_use]
    pub fn record(&self) -> ScheduleRecord {
        ScheduleRecord {
            stream: self.stream,
            owner: self.terms.owner,
            subscription_id: self.terms.subscription_id.clone(),
            due_at: self.due_at(),
            waits_for: self.waits_for(),
            ended_at: self.ended_at(),
            state: serde_json::to_vec(self)
                .expect("a subscription is made of strings, numbers and lists"),
            next_index: self.next_index,
        }
    }

    /// What makes a change durable: one batch.
    #[must_use]
    pub fn writes(&mut self, change: Change, at_millis: u64) -> Vec<Write> {
        let Change { events, charge, gone, goodbye: _ } = change;
        if gone {
            return vec![Write::RemoveSchedule(self.stream)];
        }
        let mut writes = Vec::with_capacity(events.len().saturating_add(2));
        for status in events {
            writes.push(Write::Append(StreamEvent {
                stream: self.stream,
                index: self.next_index,
                at_millis,
                body: PortalEvent::SubscriptionUpdate { status },
            }));
            self.next_index = self.next_index.saturating_add(1);
        }
        writes.extend(charge.map(|Charged { charge, paid }| {
            Write::PutCharge(ChargeRecord {
                schedule: self.stream,
                period: charge.period,
                attempt: charge.attempt,
                due: charge.due,
                at: charge.at,
                amount: charge.amount,
                payment: charge.payment,
                paid,
            })
        }));
        writes.push(Write::PutSchedule(self.record()));
        writes
    }
}

/// The request id of an attempt: always the same one for the same attempt, and nothing on the wire
/// tells what our streams are called.
#[must_use]
pub fn request_id(subscription: StreamId, period: u32, attempt: u32) -> RequestId {
    let mut hasher = Sha256::new();
    hasher.update(b"portal/charge");
    hasher.update(subscription.as_uuid().as_bytes());
    hasher.update(period.to_be_bytes());
    hasher.update(attempt.to_be_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    RequestId::from(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// The stream of the subscription that a request leads to, if the person agrees: made from the
/// request's, so that whoever repeats the request finds the same one.
#[must_use]
pub fn stream_of_request(request: StreamId) -> StreamId {
    let mut bytes = request.as_uuid().into_bytes();
    bytes[14] ^= 0xff;
    StreamId::from_uuid(uuid::Uuid::from_bytes(bytes))
}
