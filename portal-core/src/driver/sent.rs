//! Which stream an event of ours belongs to: for answers that name it in an `e` tag, and for the
//! relays' answers to tracked events. Bounded; what falls out is only slower to be learned.

use std::sync::{Mutex, PoisonError};

use nostr::EventId;

use super::recent::Recent;
use crate::primitives::StreamId;

const CAPACITY: usize = 16_384;
const TRACKED: usize = 16_384;

/// Events that were published lately.
#[derive(Debug)]
pub struct Sent {
    streams: Mutex<Recent<u64, StreamId>>,
    tracked: Mutex<Recent<EventId, (StreamId, usize)>>,
}

impl Sent {
    /// Nothing published yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            streams: Mutex::new(Recent::new(CAPACITY)),
            tracked: Mutex::new(Recent::new(TRACKED)),
        }
    }

    /// An event is about to be published.
    pub fn insert(&self, id: EventId, stream: StreamId, part: usize, track: bool) {
        self.streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(fingerprint(&id), stream);
        if track {
            self.tracked.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (stream, part));
        }
    }

    /// The stream that sent this event.
    pub fn stream(&self, id: &EventId) -> Option<StreamId> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).get(&fingerprint(id))
    }

    /// A relay answered a tracked event: its stream and its part of it. The first acceptance is
    /// the last answer that counts.
    pub fn answered(&self, id: &EventId, accepted: bool) -> Option<(StreamId, usize)> {
        let mut tracked = self.tracked.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted { tracked.remove(id) } else { tracked.get(id) }
    }
}

impl Default for Sent {
    fn default() -> Self {
        Self::new()
    }
}

/// 64 bits of a hash of our own making: nobody else chose it, and the machine checks the proof.
fn fingerprint(id: &EventId) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}
