//! The requests that wait for the person, oldest first.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::conversation::answer::Answer;
use crate::driver::InboxListener;
use crate::primitives::StreamId;
use crate::protocol::kinds;
use crate::protocol::payment::PaymentRequest;

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
    /// By arrival: those that may be dealt with without the person, until that is known.
    held: BTreeMap<u64, (StreamId, Answer)>,
    holds: bool,
    arrivals: u64,
    closed: bool,
}

impl Inbox {
    /// An empty one. With `holds`, what concerns subscriptions is held back until somebody has
    /// looked at it.
    pub fn new(holds: bool) -> Self {
        Self { state: Mutex::new(State { holds, ..State::default() }), moved: Notify::new() }
    }

    /// Requests that are held back, oldest first.
    pub fn held(&self) -> Vec<(StreamId, Answer)> {
        self.lock().held.values().cloned().collect()
    }

    /// The person is to see a request that was held back.
    pub fn release(&self, stream: StreamId) {
        let mut state = self.lock();
        let place = state.held.iter().find(|(_, (other, _))| *other == stream);
        if let Some(place) = place.map(|(place, _)| *place)
            && let Some(request) = state.held.remove(&place)
        {
            state.waiting.insert(place, request);
        }
        drop(state);
        self.moved.notify_waiters();
    }

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
        let held = place_of(&state.held, stream);
        if let Some(place) = held {
            match request {
                Some(answer) => state.held.insert(place, (stream, answer)),
                None => state.held.remove(&place),
            };
            return;
        }
        let place = place_of(&state.waiting, stream);
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
                if state.holds && concerns_subscription(&answer) {
                    state.held.insert(arrival, (stream, answer));
                } else {
                    state.waiting.insert(arrival, (stream, answer));
                }
            }
            (None, None) => {}
        }
        drop(state);
        self.moved.notify_waiters();
    }
}

fn place_of(requests: &BTreeMap<u64, (StreamId, Answer)>, stream: StreamId) -> Option<u64> {
    requests.iter().find(|(_, (other, _))| *other == stream).map(|(arrival, _)| *arrival)
}

/// A charge of a subscription, or the end of one.
fn concerns_subscription(answer: &Answer) -> bool {
    match answer.kind {
        kinds::RECURRING_CLOSE => true,
        kinds::PAYMENT_REQUEST => matches!(
            serde_json::from_str(&answer.request),
            Ok(PaymentRequest::Single(request)) if request.subscription_id.is_some()
        ),
        _ => false,
    }
}
