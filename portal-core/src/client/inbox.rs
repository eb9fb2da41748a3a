//! The requests that wait for the person, oldest first.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::conversation::answer::Answer;
use crate::driver::InboxListener;
use crate::primitives::StreamId;

/// Requests that wait for the person.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By arrival.
    waiting: BTreeMap<u64, (StreamId, Answer)>,
    arrivals: u64,
    closed: bool,
}

impl Inbox {
    /// The oldest request that is not one of these, when there is one; `Err` when the client has
    /// stopped.
    pub fn first_besides(
        &self,
        taken: &HashSet<StreamId>,
    ) -> Result<Option<(StreamId, Answer)>, Stopped> {
        let state = self.lock();
        if state.closed {
            return Err(Stopped);
        }
        Ok(state.waiting.values().find(|(stream, _)| !taken.contains(stream)).cloned())
    }

    /// All requests, oldest first.
    pub fn all(&self) -> Vec<(StreamId, Answer)> {
        self.lock().waiting.values().cloned().collect()
    }

    /// The request on this stream.
    pub fn get(&self, stream: StreamId) -> Option<Answer> {
        self.lock()
            .waiting
            .values()
            .find(|(other, _)| *other == stream)
            .map(|(_, answer)| answer.clone())
    }

    /// Ends when the next request comes or the client stops.
    pub fn moved(&self) -> tokio::sync::futures::Notified<'_> {
        self.moved.notified()
    }

    /// Nobody will be asked any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.moved.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl InboxListener for Inbox {
    fn changed(&self, stream: StreamId, request: Option<Answer>) {
        let mut state = self.lock();
        let place = state
            .waiting
            .iter()
            .find(|(_, (other, _))| *other == stream)
            .map(|(arrival, _)| *arrival);
        match (place, request) {
            (Some(place), Some(answer)) => {
                state.waiting.insert(place, (stream, answer));
            }
            (Some(place), None) => {
                state.waiting.remove(&place);
            }
            (None, Some(answer)) => {
                let arrival = state.arrivals;
                state.arrivals = state.arrivals.saturating_add(1);
                state.waiting.insert(arrival, (stream, answer));
            }
            (None, None) => {}
        }
        drop(state);
        self.moved.notify_waiters();
    }
}
