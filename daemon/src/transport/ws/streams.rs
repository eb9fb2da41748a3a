//! What one socket knows of the streams it is attached to, and which frame each event becomes.
//! No I/O and no clock: the session calls in and writes what comes out.
//!
//! ```text
//!              command ends with                        pong or 50 ms
//!   Opening ───────────────────── Opened ──▶ Gated ───────────────────▶ Open ─▶ notifications
//!      │                          Waiting ─▶ Reply ─▶ one success or error frame, then nothing
//!      └── failed, or done ──▶ forgotten
//! ```
//!
//! `Gated` is there for clients that register a stream only some time after they have read the
//! success frame that names it: a notification that comes in the same breath would be dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use portal_core::event::{PortalEvent, StreamEvent};
use portal_core::primitives::{ErrorCode, PagedMap, StreamId};
use tokio::time::Instant;

use super::frame::{self, FrameId};
use super::outbox::{Attachment, MAX_WAITING, Outbox};
use crate::commands::{Answer, Outcome};
use crate::error::CommandError;

/// The longest that the first notification of a stream is withheld.
pub(super) const GATE_LIMIT: Duration = Duration::from_millis(50);

/// A message to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// A frame.
    Text(String),
    /// A protocol ping with this number.
    Ping(u64),
}

/// An attachment that is no longer wanted.
pub(super) type Detached = (StreamId, Arc<Attachment>);

/// All attachments of one socket.
#[derive(Default)]
pub(super) struct Streams {
    entries: PagedMap<u32, Entry>,
    /// The streams that a client who can resume is attached to, so that it is attached once.
    resumable: PagedMap<StreamId, u32>,
    gates: VecDeque<Gate>,
    /// Streams whose log is to be read, now that the client knows of them.
    to_follow: Vec<Follow>,
    limits: VecDeque<(Instant, u32)>,
    /// Events that are held back.
    held: usize,
    next_key: u32,
    pings: u64,
}

struct Entry {
    attachment: Arc<Attachment>,
    stream: Option<StreamId>,
    mode: Mode,
    /// Whether events follow that the 0.3 clients do not know.
    all: bool,
    /// Whether the stream has ended, and only events that are held back are left of it.
    ended: bool,
}

enum Mode {
    /// The command has not ended; events wait.
    Opening(Vec<Arc<StreamEvent>>),
    /// The client has not been seen to have read the success frame; events wait.
    Gated(Vec<Arc<StreamEvent>>),
    /// Events become notifications.
    Open,
    /// The end of the stream answers a command.
    Reply(FrameId, Answer),
}

struct Gate {
    ping: u64,
    until: Instant,
    key: u32,
    /// For a stream that was there before: its log after this index comes first.
    log: Option<Option<u64>>,
}

/// A stream whose log is to be delivered, and then what happens.
pub(super) struct Follow {
    pub(super) stream: StreamId,
    /// From the first event when `None`.
    pub(super) after: Option<u64>,
    pub(super) attachment: Arc<Attachment>,
}

/// How an attachment begins.
#[derive(Clone, Copy)]
struct Gating {
    /// Whether the stream can be opened again.
    shared: bool,
    /// Whether the client knows all events.
    all: bool,
    /// Whether an attachment that is there makes way for this one, and not the other way round.
    again: bool,
    /// The log after this index is to be delivered first.
    log: Option<Option<u64>>,
}

impl Streams {
    /// Makes an attachment for a command that is about to run.
    pub(super) fn begin(&mut self, outbox: &Arc<Outbox>, all: bool) -> Arc<Attachment> {
        while self.entries.contains_key(&self.next_key) {
            self.next_key = self.next_key.wrapping_add(1);
        }
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        let attachment = Attachment::new(key, Arc::clone(outbox));
        let mode = Mode::Opening(Vec::new());
        let entry =
            Entry { attachment: Arc::clone(&attachment), stream: None, mode, all, ended: false };
        self.entries.insert(key, entry);
        attachment
    }

    /// A command has ended. Returns attachments to let go of.
    pub(super) fn finished(
        &mut self,
        key: Option<u32>,
        id: FrameId,
        result: Result<Outcome, CommandError>,
        now: Instant,
        out: &mut Vec<Out>,
    ) -> Vec<Detached> {
        match result {
            Ok(Outcome::Done(reply)) => out.push(Out::Text(frame::success(&id, &reply))),
            Ok(Outcome::Repeated(data)) => out.push(Out::Text(frame::success(&id, &data))),
            Err(error) => out.push(Out::Text(frame::error(&id, &error))),
            Ok(Outcome::Opened { stream, reply, shared }) => {
                out.push(Out::Text(frame::success(&id, &reply)));
                return self.gate(
                    key,
                    stream,
                    Gating { shared, all: false, again: true, log: None },
                    now,
                    out,
                );
            }
            Ok(Outcome::Attach { stream, reply, all, again, after }) => {
                out.push(Out::Text(frame::success(&id, &reply)));
                let how = Gating { shared: true, all, again, log: Some(after) };
                return self.gate(key, stream, how, now, out);
            }
            Ok(Outcome::Waiting { stream, answer }) => {
                return self.wait(key, id, stream, answer, now, out);
            }
        }
        key.and_then(|key| self.detach(key)).into_iter().collect()
    }

    /// Holds events back until the client has been seen to have read the success frame.
    fn gate(
        &mut self,
        key: Option<u32>,
        stream: StreamId,
        how: Gating,
        now: Instant,
        out: &mut Vec<Out>,
    ) -> Vec<Detached> {
        let Gating { shared, all, again, log } = how;
        let Some((key, entry)) = key.and_then(|key| Some((key, self.entries.get_mut(&key)?)))
        else {
            return Vec::new();
        };
        let Mode::Opening(held) = &mut entry.mode else { return Vec::new() };
        entry.mode = Mode::Gated(std::mem::take(held));
        entry.stream = Some(stream);
        entry.all |= all;
        let once = entry.all || shared;
        if !again && self.resumable.contains_key(&stream) {
            // The attachment that is there has missed nothing; a new one might.
            return self.detach(key).into_iter().collect();
        }
        let ping = self.ping(out);
        let until = now.checked_add(GATE_LIMIT).unwrap_or(now);
        self.gates.push_back(Gate { ping, until, key, log });
        // Whoever attaches again on the same socket hears everything once.
        let old = if once { self.resumable.insert(stream, key) } else { None };
        old.and_then(|old| self.detach(old)).into_iter().collect()
    }

    /// The end of the stream will answer the command.
    fn wait(
        &mut self,
        key: Option<u32>,
        id: FrameId,
        stream: StreamId,
        answer: Answer,
        now: Instant,
        out: &mut Vec<Out>,
    ) -> Vec<Detached> {
        let Some((key, entry)) = key.and_then(|key| Some((key, self.entries.get_mut(&key)?)))
        else {
            return Vec::new();
        };
        let Mode::Opening(held) = &mut entry.mode else { return Vec::new() };
        let held = std::mem::take(held);
        let ended = entry.ended;
        entry.mode = Mode::Reply(id, answer);
        entry.stream = Some(stream);
        self.held = self.held.saturating_sub(held.len());
        if let Some(limit) = answer.limit() {
            self.limits.push_back((now.checked_add(limit).unwrap_or(now), key));
        }
        let mut detached: Vec<Detached> =
            held.into_iter().filter_map(|event| self.event(key, event, out)).collect();
        if ended {
            detached.extend(self.ended(key, out));
        }
        detached
    }

    /// A stream has ended. Returns an attachment to let go of.
    pub(super) fn ended(&mut self, key: u32, out: &mut Vec<Out>) -> Option<Detached> {
        let entry = self.entries.get_mut(&key)?;
        match &entry.mode {
            Mode::Opening(_) | Mode::Gated(_) => {
                entry.ended = true;
                None
            }
            Mode::Open => self.detach(key),
            Mode::Reply(id, answer) => {
                out.push(Out::Text(frame::error(id, &answer.unanswered())));
                self.detach(key)
            }
        }
    }

    /// A stream has an event. Returns an attachment to let go of.
    pub(super) fn event(
        &mut self,
        key: u32,
        event: Arc<StreamEvent>,
        out: &mut Vec<Out>,
    ) -> Option<Detached> {
        let entry = self.entries.get_mut(&key)?;
        match &mut entry.mode {
            Mode::Opening(held) | Mode::Gated(held) => {
                held.push(event);
                self.held = self.held.saturating_add(1);
                None
            }
            Mode::Open => {
                if entry.all || known_to_old_clients(&event.body) {
                    let text = frame::notification(event.stream, event.index, &event.body);
                    out.push(Out::Text(text));
                }
                if event.body.is_final() { self.detach(key) } else { None }
            }
            Mode::Reply(id, answer) => {
                let text = match answer.answer_in(&event.body)? {
                    Ok(reply) => frame::success(id, &reply),
                    Err(error) => frame::error(id, &error),
                };
                out.push(Out::Text(text));
                self.detach(key)
            }
        }
    }

    /// The client has answered the ping with this number, so it has read all that was before.
    pub(super) fn pong(&mut self, number: u64, out: &mut Vec<Out>) -> Vec<Detached> {
        let mut detached = Vec::new();
        while self.gates.front().is_some_and(|gate| gate.ping <= number) {
            self.open_first(out, &mut detached);
        }
        detached
    }

    /// Time has passed: gates open, and answers that are overdue become errors.
    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Out>) -> Vec<Detached> {
        let mut detached = Vec::new();
        while self.gates.front().is_some_and(|gate| gate.until <= now) {
            self.open_first(out, &mut detached);
        }
        while let Some((until, key)) = self.limits.front().copied() {
            if until > now {
                break;
            }
            self.limits.pop_front();
            if let Some(Mode::Reply(id, answer)) = self.entries.get(&key).map(|entry| &entry.mode) {
                out.push(Out::Text(frame::error(id, &answer.too_late())));
                detached.extend(self.detach(key));
            }
        }
        detached
    }

    fn open_first(&mut self, out: &mut Vec<Out>, detached: &mut Vec<Detached>) {
        let Some(gate) = self.gates.pop_front() else { return };
        let Some(entry) = self.entries.get_mut(&gate.key) else { return };
        let Mode::Gated(held) = &mut entry.mode else { return };
        let held = std::mem::take(held);
        let ended = entry.ended;
        entry.mode = Mode::Open;
        if let (Some(after), Some(stream)) = (gate.log, entry.stream) {
            let attachment = Arc::clone(&entry.attachment);
            self.to_follow.push(Follow { stream, after, attachment });
        }
        self.held = self.held.saturating_sub(held.len());
        detached.extend(held.into_iter().filter_map(|event| self.event(gate.key, event, out)));
        if ended {
            detached.extend(self.ended(gate.key, out));
        }
    }

    /// The streams whose log is to be read now.
    pub(super) fn take_to_follow(&mut self) -> Vec<Follow> {
        std::mem::take(&mut self.to_follow)
    }

    /// When [`Streams::tick`] has something to do next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let gate = self.gates.front().map(|gate| gate.until);
        let limit = self.limits.front().map(|(until, _)| *until);
        gate.into_iter().chain(limit).min()
    }

    /// A ping that is one more than the last.
    pub(super) fn ping(&mut self, out: &mut Vec<Out>) -> u64 {
        self.pings = self.pings.wrapping_add(1);
        out.push(Out::Ping(self.pings));
        self.pings
    }

    /// Whether more waits for the client than a socket may hold.
    pub(super) const fn is_overfull(&self) -> bool {
        self.held > MAX_WAITING
    }

    /// How much there is in the tables.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.resumable.len() + self.gates.len() + self.held
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) -> Vec<Detached> {
        drop(self.resumable.drain());
        self.gates.clear();
        self.to_follow.clear();
        self.limits.clear();
        self.held = 0;
        self.entries
            .drain()
            .filter_map(|(_, entry)| {
                entry.attachment.leave();
                Some((entry.stream?, entry.attachment))
            })
            .collect()
    }

    fn detach(&mut self, key: u32) -> Option<Detached> {
        let entry = self.entries.remove(&key)?;
        entry.attachment.leave();
        if let Mode::Opening(held) | Mode::Gated(held) = &entry.mode {
            self.held = self.held.saturating_sub(held.len());
        }
        let stream = entry.stream?;
        if self.resumable.get(&stream) == Some(&key) {
            self.resumable.remove(&stream);
        }
        Some((stream, entry.attachment))
    }
}

/// Whoever delivers a log is told when nobody is left to read it.
impl Drop for Streams {
    fn drop(&mut self) {
        drop(self.clear());
    }
}

/// The notifications of 0.3. Its JVM clients fail on others.
const fn known_to_old_clients(event: &PortalEvent) -> bool {
    match event {
        PortalEvent::KeyHandshake { .. }
        | PortalEvent::PaymentStatusUpdate { .. }
        | PortalEvent::ClosedRecurringPayment { .. } => true,
        PortalEvent::AuthenticateKey { .. }
        | PortalEvent::RecurringPaymentResponse { .. }
        | PortalEvent::InvoiceResponse { .. }
        | PortalEvent::CashuResponse { .. }
        | PortalEvent::LightningAddressPayment { .. }
        | PortalEvent::SubscriptionUpdate { .. }
        | PortalEvent::Refunded { .. }
        | PortalEvent::Delivery { .. }
        | PortalEvent::Error { .. } => false,
    }
}

/// The end of a command whose task has died.
pub(super) fn died() -> CommandError {
    CommandError::new(ErrorCode::Internal, "the command has failed inside the daemon")
}

#[cfg(test)]
mod tests {
    use nostr::PublicKey;
    use portal_core::event::PaymentUpdate;
    use serde_json::{Value, json};

    use super::*;
    use crate::commands::auth;
    use crate::commands::{Command, Reply};

    struct Socket {
        streams: Streams,
        outbox: Arc<Outbox>,
        now: Instant,
    }

    impl Socket {
        fn new() -> Self {
            Self { streams: Streams::default(), outbox: Outbox::new(), now: Instant::now() }
        }

        fn finish(&mut self, key: u32, outcome: Outcome) -> (Vec<Value>, usize) {
            let mut out = Vec::new();
            let gone = self.streams.finished(Some(key), id(), Ok(outcome), self.now, &mut out);
            (values(out), gone.len())
        }

        fn event(&mut self, key: u32, index: u64, body: PortalEvent) -> (Vec<Value>, bool) {
            let mut out = Vec::new();
            let event = Arc::new(StreamEvent { stream: stream(1), index, at_millis: 0, body });
            let gone = self.streams.event(key, event, &mut out).is_some();
            (values(out), gone)
        }

        fn tick(&mut self, by: Duration) -> Vec<Value> {
            let mut out = Vec::new();
            self.now += by;
            self.streams.tick(self.now, &mut out);
            values(out)
        }

        fn pong(&mut self, number: u64) -> Vec<Value> {
            let mut out = Vec::new();
            self.streams.pong(number, &mut out);
            values(out)
        }

        fn begin(&mut self, all: bool) -> u32 {
            self.streams.begin(&self.outbox, all).key
        }
    }

    fn values(out: Vec<Out>) -> Vec<Value> {
        out.into_iter()
            .map(|out| match out {
                Out::Text(text) => serde_json::from_str(&text).expect("JSON"),
                Out::Ping(number) => json!(number),
            })
            .collect()
    }

    fn id() -> FrameId {
        frame::read(r#"{"id":"c","cmd":"GetWalletInfo"}"#).expect("readable").id
    }

    fn stream(number: u128) -> StreamId {
        StreamId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn reply() -> Reply {
        auth::Reply::default().into()
    }

    fn opened() -> Outcome {
        Outcome::Opened { stream: stream(1), reply: reply(), shared: false }
    }

    fn paid() -> PortalEvent {
        PortalEvent::PaymentStatusUpdate {
            status: PaymentUpdate::Paid { preimage: None, late: false },
        }
    }

    fn handshake() -> PortalEvent {
        let main_key = PublicKey::from_byte_array([1; 32]);
        PortalEvent::KeyHandshake { main_key, preferred_relays: Vec::new() }
    }

    fn failed() -> PortalEvent {
        PortalEvent::Error { code: ErrorCode::Timeout, reason: "x".into() }
    }

    #[test]
    fn the_first_notification_waits_for_the_pong_behind_the_success() {
        let mut socket = Socket::new();
        let key = socket.begin(false);
        assert!(socket.event(key, 0, handshake()).0.is_empty(), "the command has not ended");
        let (out, _) = socket.finish(key, opened());
        assert_eq!(out[0]["type"], "success");
        assert_eq!(out[1], 1, "a ping right behind it");
        assert!(socket.event(key, 1, handshake()).0.is_empty());
        assert!(socket.pong(0).is_empty(), "an older pong says nothing");
        let out = socket.pong(1);
        assert_eq!(out.iter().map(|frame| frame["index"].clone()).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(socket.event(key, 2, handshake()).0[0]["index"], 2, "then at once");
    }

    #[test]
    fn a_client_without_pongs_waits_fifty_milliseconds() {
        let mut socket = Socket::new();
        let key = socket.begin(false);
        socket.finish(key, opened());
        assert!(socket.event(key, 0, handshake()).0.is_empty());
        assert_eq!(socket.streams.next_tick(), Some(socket.now + GATE_LIMIT));
        assert!(socket.tick(Duration::from_millis(49)).is_empty());
        assert_eq!(socket.tick(Duration::from_millis(1))[0]["type"], "notification");
        assert_eq!(socket.streams.next_tick(), None);
    }

    #[test]
    fn nothing_is_kept_of_what_has_ended() {
        let mut socket = Socket::new();
        let key = socket.begin(false);
        socket.finish(key, opened());
        socket.pong(1);
        let (out, gone) = socket.event(key, 0, paid());
        assert!(gone && out[0]["data"]["status"]["status"] == "paid");
        assert!(socket.event(key, 1, handshake()).0.is_empty());
        let key = socket.begin(false);
        let mut out = Vec::new();
        let error = Err(CommandError::not_authenticated());
        socket.streams.finished(Some(key), id(), error, socket.now, &mut out);
        assert_eq!(values(out)[0]["type"], "error");
        assert_eq!(socket.streams.len(), 0);
    }

    #[test]
    fn the_end_of_the_stream_answers_a_waiting_command_once() {
        let mut socket = Socket::new();
        let key = socket.begin(false);
        let waiting = Outcome::Waiting { stream: stream(1), answer: Answer::Authenticate };
        assert!(socket.finish(key, waiting).0.is_empty());
        let (out, gone) = socket.event(key, 0, failed());
        assert!(gone);
        assert_eq!(out[0]["type"], "error");
        assert_eq!(out[0]["id"], "c");
        assert_eq!(out[0]["message"], "Failed to authenticate key: Timeout");
        assert!(socket.event(key, 1, failed()).0.is_empty());
    }

    #[test]
    fn an_answer_that_was_faster_than_its_command_is_not_lost() {
        let mut socket = Socket::new();
        let key = socket.begin(false);
        assert!(socket.event(key, 0, failed()).0.is_empty());
        let waiting = Outcome::Waiting { stream: stream(1), answer: Answer::Invoice };
        let (out, gone) = socket.finish(key, waiting);
        assert_eq!((out.len(), gone), (1, 1));
    }

    #[test]
    fn a_queued_message_is_told_after_ten_seconds_and_not_twice() {
        let mut socket = Socket::new();
        let key = socket.begin(false);
        let waiting = Outcome::Waiting { stream: stream(1), answer: Answer::SendCashu };
        socket.finish(key, waiting);
        let queued = |queued, delivered: &[&str]| PortalEvent::Delivery {
            delivered: delivered.iter().map(|relay| (*relay).to_owned()).collect(),
            refused: Vec::new(),
            queued,
        };
        assert!(socket.event(key, 0, queued(true, &[])).0.is_empty());
        assert!(socket.tick(Duration::from_millis(9_999)).is_empty());
        let out = socket.tick(Duration::from_millis(1));
        assert_eq!(
            (&out[0]["code"], &out[0]["retryable"]),
            (&json!("not_delivered"), &json!(true))
        );
        assert!(socket.event(key, 1, queued(false, &["wss://a"])).0.is_empty());
    }

    #[test]
    fn old_clients_hear_nothing_they_do_not_know() {
        let mut socket = Socket::new();
        let (old, new) = (socket.begin(false), socket.begin(true));
        socket.finish(old, opened());
        socket.finish(new, Outcome::Opened { stream: stream(2), reply: reply(), shared: false });
        socket.pong(2);
        assert!(socket.event(old, 0, failed()).0.is_empty());
        assert_eq!(socket.event(new, 0, failed()).0[0]["data"]["type"], "error");
    }

    fn attach(again: bool) -> Outcome {
        Outcome::Attach { stream: stream(1), after: None, reply: reply(), all: false, again }
    }

    #[test]
    fn resuming_twice_lets_go_of_the_first() {
        let mut socket = Socket::new();
        let (one, two) = (socket.begin(false), socket.begin(false));
        assert_eq!(socket.finish(one, attach(true)).1, 0);
        assert_eq!(socket.finish(two, attach(true)).1, 1);
        socket.pong(2);
        assert!(socket.event(one, 0, handshake()).0.is_empty());
        assert_eq!(socket.event(two, 0, handshake()).0[0]["index"], 0);
        assert_eq!(socket.streams.clear().len(), 1);
    }

    #[test]
    fn asking_again_for_a_stream_that_is_heard_keeps_what_is_there() {
        let mut socket = Socket::new();
        let (one, two) = (socket.begin(false), socket.begin(false));
        assert_eq!(socket.finish(one, attach(false)).1, 0);
        assert!(socket.event(one, 0, handshake()).0.is_empty());
        let (out, gone) = socket.finish(two, attach(false));
        assert_eq!((out.len(), &out[0]["type"], gone), (1, &json!("success"), 1));
        assert_eq!(socket.pong(1)[0]["index"], 0, "the first has lost nothing");
        assert!(socket.event(two, 1, handshake()).0.is_empty());
        assert_eq!(socket.streams.entries.len(), 1);
    }

    #[test]
    fn streams_that_end_without_a_last_event_leave_nothing_behind() {
        let mut socket = Socket::new();
        let mut out = Vec::new();
        for round in 0..1_000 {
            let key = socket.begin(round % 2 == 0);
            socket.finish(key, opened());
            if round % 3 == 0 {
                assert!(socket.event(key, 0, handshake()).0.is_empty());
                assert!(socket.streams.ended(key, &mut out).is_none(), "held back");
                let heard = socket.pong(u64::MAX);
                assert_eq!(heard[0]["index"], 0);
            } else {
                socket.pong(u64::MAX);
                assert_eq!(socket.event(key, 0, handshake()).0[0]["index"], 0);
                assert!(socket.streams.ended(key, &mut out).is_some());
            }
            assert!(socket.streams.ended(key, &mut out).is_none());
        }
        assert_eq!((socket.streams.len(), out.len()), (0, 0));
    }

    #[test]
    fn a_command_whose_stream_ends_without_an_answer_is_answered() {
        for early in [true, false] {
            let mut socket = Socket::new();
            let key = socket.begin(false);
            let mut out = Vec::new();
            if early {
                assert!(socket.streams.ended(key, &mut out).is_none());
            }
            let waiting = Outcome::Waiting { stream: stream(1), answer: Answer::Invoice };
            let (told, _) = socket.finish(key, waiting);
            socket.streams.ended(key, &mut out);
            let told = [told, values(out)].concat();
            assert_eq!((told.len(), &told[0]["id"]), (1, &json!("c")));
            assert_eq!(told[0]["type"], "error");
            assert_eq!(socket.streams.len(), 0);
        }
    }

    #[test]
    fn events_that_are_held_back_are_bounded() {
        let mut socket = Socket::new();
        let keys = [socket.begin(false), socket.begin(false)];
        socket.finish(keys[1], opened());
        for index in 0..=(MAX_WAITING as u64) {
            assert!(!socket.streams.is_overfull());
            socket.event(keys[usize::from(index % 2 == 0)], index, handshake());
        }
        assert!(socket.streams.is_overfull());
        socket.pong(1);
        assert!(!socket.streams.is_overfull());
    }

    #[test]
    fn every_command_has_one_way_to_end() {
        for name in Command::NAMES {
            let known = Command::read(name, "{}").err().map(|error| error.code);
            assert_ne!(known, Some(ErrorCode::UnknownCommand), "{name}");
        }
    }
}
