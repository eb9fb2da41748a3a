//! What waits to be written to one relay, and which answers are awaited from it. Everything here
//! is bounded, and a full queue refuses at once: nobody ever waits for a relay.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use ::nostr::EventId;
use tokio::time::Instant;

/// How many publications' answers are remembered.
const MAX_TRACKED: usize = 8192;
/// How long an answer is awaited.
const TRACKED_FOR: Duration = Duration::from_secs(60);
/// How many one-off queries may be open at one relay.
const MAX_QUERIES: usize = 256;

/// The queue to one relay. Closed until its connection has written the subscriptions.
pub(super) struct Outbox {
    max_frames: usize,
    max_bytes: usize,
    state: Mutex<State>,
    /// Mirrors `state.tracked.len()`, so that answers nobody awaits cost no lock.
    tracked: AtomicUsize,
}

#[derive(Default)]
struct State {
    open: bool,
    /// The writer, when it sleeps.
    sleeper: Option<Waker>,
    subscriptions_changed: bool,
    frames: VecDeque<Arc<str>>,
    bytes: usize,
    dropped: u64,
    tracked: HashMap<EventId, Instant>,
    tracked_order: VecDeque<(EventId, Instant)>,
    /// True once the relay has answered.
    queries: HashMap<String, bool>,
}

/// What [`Outbox::take`] found.
pub(super) struct Taken {
    /// Nothing was left behind; if a waker was given it will be woken by what comes next.
    pub(super) drained: bool,
    /// The standing subscriptions are to be compared again, before the frames are written.
    pub(super) subscriptions_changed: bool,
}

/// What [`Outbox::close`] found.
pub(super) struct Leftover {
    pub(super) frames: VecDeque<Arc<str>>,
    pub(super) unanswered: Vec<String>,
}

impl Outbox {
    pub(super) fn new(max_frames: usize, max_bytes: usize) -> Self {
        Self { max_frames, max_bytes, state: Mutex::default(), tracked: AtomicUsize::new(0) }
    }

    /// From here on publications are taken.
    pub(super) fn open(&self) {
        self.lock().open = true;
    }

    /// Takes nothing more and forgets everything.
    pub(super) fn close(&self) -> Leftover {
        let mut state = self.lock();
        let dropped = state.dropped;
        let old = std::mem::replace(&mut *state, State { dropped, ..State::default() });
        self.tracked.store(0, Ordering::Relaxed);
        let unanswered =
            old.queries.into_iter().filter(|(_, answered)| !answered).map(|(id, _)| id).collect();
        Leftover { frames: old.frames, unanswered }
    }

    /// Queues a frame. False when the relay is not connected or its queue is full.
    pub(super) fn publish(&self, frame: &Arc<str>, track: Option<EventId>) -> bool {
        let mut state = self.lock();
        if !self.push(&mut state, frame) {
            return false;
        }
        if let Some(id) = track {
            self.track(&mut state, id, Instant::now());
        }
        wake(state);
        true
    }

    /// Queues a query. False when the relay is not connected, or it is one too many.
    pub(super) fn query(&self, id: &str, frame: &Arc<str>) -> bool {
        let mut state = self.lock();
        let known = state.queries.contains_key(id);
        if (!known && state.queries.len() >= MAX_QUERIES) || !self.push(&mut state, frame) {
            return false;
        }
        state.queries.insert(id.to_owned(), false);
        wake(state);
        true
    }

    /// Ends a query. Not refused by a full queue: there are never more of these than queries.
    pub(super) fn close_query(&self, id: &str, frame: &Arc<str>) {
        let mut state = self.lock();
        if state.queries.remove(id).is_some() {
            state.bytes = state.bytes.saturating_add(frame.len());
            state.frames.push_back(frame.clone());
            wake(state);
        }
    }

    /// The relay has answered this query. True the first time.
    pub(super) fn query_answered(&self, id: &str) -> bool {
        self.lock().queries.get_mut(id).is_some_and(|answered| !std::mem::replace(answered, true))
    }

    /// The writer shall compare the standing subscriptions with what the relay has.
    pub(super) fn subscriptions_changed(&self) {
        let mut state = self.lock();
        state.subscriptions_changed = true;
        wake(state);
    }

    /// Moves up to `limit` frames. With a waker, and when nothing is left, the writer is woken by
    /// whatever comes next.
    pub(super) fn take(
        &self,
        into: &mut VecDeque<Arc<str>>,
        limit: usize,
        sleeper: Option<&Waker>,
    ) -> Taken {
        let mut state = self.lock();
        let subscriptions_changed = std::mem::take(&mut state.subscriptions_changed);
        if state.frames.len() <= limit {
            into.append(&mut state.frames);
            state.bytes = 0;
        } else {
            let before = into.len();
            into.extend(state.frames.drain(..limit));
            let moved: usize = into.iter().skip(before).map(|frame| frame.len()).sum();
            state.bytes = state.bytes.saturating_sub(moved);
        }
        let drained = state.frames.is_empty();
        state.sleeper = if drained { sleeper.cloned() } else { None };
        Taken { drained, subscriptions_changed }
    }

    /// Whether any answer is awaited.
    pub(super) fn awaits_answers(&self) -> bool {
        self.tracked.load(Ordering::Relaxed) > 0
    }

    /// The relay has answered this publication. True when that was awaited.
    pub(super) fn answered(&self, id: &EventId) -> bool {
        let mut state = self.lock();
        let awaited = state.tracked.remove(id).is_some();
        self.tracked.store(state.tracked.len(), Ordering::Relaxed);
        awaited
    }

    /// Forgets answers that have not come in time.
    pub(super) fn expire(&self, now: Instant) {
        if !self.awaits_answers() {
            return;
        }
        let mut state = self.lock();
        while let Some(&(id, since)) = state.tracked_order.front() {
            if now.saturating_duration_since(since) < TRACKED_FOR {
                break;
            }
            forget_oldest(&mut state, id, since);
        }
        self.tracked.store(state.tracked.len(), Ordering::Relaxed);
    }

    /// How many frames wait, and how many were not taken since the start.
    pub(super) fn counts(&self) -> (usize, u64) {
        let state = self.lock();
        (state.frames.len(), state.dropped)
    }

    fn push(&self, state: &mut State, frame: &Arc<str>) -> bool {
        if !state.open {
            return false;
        }
        let bytes = state.bytes.saturating_add(frame.len());
        if state.frames.len() >= self.max_frames || bytes > self.max_bytes {
            state.dropped = state.dropped.saturating_add(1);
            return false;
        }
        state.bytes = bytes;
        state.frames.push_back(frame.clone());
        true
    }

    fn track(&self, state: &mut State, id: EventId, now: Instant) {
        state.tracked.insert(id, now);
        state.tracked_order.push_back((id, now));
        while state.tracked_order.len() > MAX_TRACKED {
            if let Some(&(oldest, since)) = state.tracked_order.front() {
                forget_oldest(state, oldest, since);
            }
        }
        self.tracked.store(state.tracked.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the front of the order, and what it stands for unless that was tracked again since.
fn forget_oldest(state: &mut State, id: EventId, since: Instant) {
    state.tracked_order.pop_front();
    if state.tracked.get(&id) == Some(&since) {
        state.tracked.remove(&id);
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let sleeper = state.sleeper.take();
    drop(state);
    if let Some(sleeper) = sleeper {
        sleeper.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Arc<str> {
        Arc::from("x".repeat(length))
    }

    fn id(n: u32) -> EventId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        EventId::from_byte_array(bytes)
    }

    #[test]
    fn a_closed_outbox_takes_nothing() {
        let outbox = Outbox::new(10, 1000);
        assert!(!outbox.publish(&frame(1), None));
        assert!(!outbox.query("q", &frame(1)));
        assert_eq!(outbox.counts(), (0, 0));
    }

    #[test]
    fn a_full_outbox_refuses_and_counts() {
        let outbox = Outbox::new(3, 1000);
        outbox.open();
        for _ in 0..3 {
            assert!(outbox.publish(&frame(1), None));
        }
        assert!(!outbox.publish(&frame(1), None));
        let outbox = Outbox::new(1000, 100);
        outbox.open();
        assert!(outbox.publish(&frame(60), None));
        assert!(!outbox.publish(&frame(60), None));
        assert!(outbox.publish(&frame(40), None));
        assert_eq!(outbox.counts(), (2, 1));
        let mut batch = VecDeque::new();
        assert!(!outbox.take(&mut batch, 1, None).drained);
        assert!(outbox.publish(&frame(60), None), "room for what was taken");
        assert!(outbox.take(&mut batch, 10, None).drained);
        assert_eq!(batch.iter().map(|f| f.len()).collect::<Vec<_>>(), [60, 40, 60]);
    }

    #[test]
    fn answers_are_awaited_once_bounded_and_for_a_time() {
        let outbox = Outbox::new(100_000, 1 << 20);
        outbox.open();
        assert!(outbox.publish(&frame(1), Some(id(1))));
        assert!(outbox.answered(&id(1)));
        assert!(!outbox.answered(&id(1)));
        assert!(!outbox.awaits_answers());
        for n in 0..20_000 {
            assert!(outbox.publish(&frame(1), Some(id(n))));
        }
        assert!(!outbox.answered(&id(0)), "gave way");
        assert!(outbox.answered(&id(19_999)));
        assert_eq!(outbox.tracked.load(Ordering::Relaxed), MAX_TRACKED - 1);
        outbox.expire(Instant::now() + TRACKED_FOR);
        assert!(!outbox.awaits_answers());
    }

    #[test]
    fn closing_names_the_queries_without_an_answer() {
        let outbox = Outbox::new(100, 1000);
        outbox.open();
        assert!(outbox.query("a", &frame(1)));
        assert!(outbox.query("b", &frame(1)));
        assert!(outbox.query_answered("a"));
        assert!(!outbox.query_answered("a"));
        assert!(!outbox.query_answered("unknown"));
        let left = outbox.close();
        assert_eq!(left.unanswered, ["b"]);
        assert_eq!(left.frames.len(), 2);
        assert!(!outbox.publish(&frame(1), None));
    }

    #[test]
    fn queries_are_bounded() {
        let outbox = Outbox::new(10_000, 1 << 20);
        outbox.open();
        for n in 0..MAX_QUERIES {
            assert!(outbox.query(&n.to_string(), &frame(1)));
        }
        assert!(!outbox.query("one more", &frame(1)));
        outbox.close_query("0", &frame(1));
        assert!(outbox.query("one more", &frame(1)));
    }
}
