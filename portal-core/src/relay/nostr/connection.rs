//! One connection: the reader and the writer, in one task.
//!
//! Both are driven by one poll function, so a frame never changes tasks between the socket and the
//! sink, and everything that is published while frames are read leaves in one write behind them.
//! A relay that does not read blocks the writer only; the reader goes on.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{FutureExt, Sink, SinkExt, Stream};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::auth::Authentication;
use super::dial::Socket;
use super::frame::Incoming;
use super::link::{Counters, Link};
use super::standing::Standing;
use super::{Shared, Step};

/// How many frames are taken from the queue at once.
const WRITE_BATCH: usize = 256;
/// How many frames are read before the writer has its turn.
const READ_BATCH: usize = 32;
/// How many batches are written before the rest of the runtime has its turn.
const WRITE_ROUNDS: usize = 8;
/// How long a closed connection may take to write what is queued.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of a relay's notice is logged.
const MAX_NOTICE: usize = 200;

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The relay closed it.
    Closed,
    /// The socket broke, or the relay broke the protocol.
    Broken,
    /// The relay sent a frame beyond all bounds.
    TooLarge,
    /// Nothing was heard for too long.
    Silent,
    /// The relay did not read for too long.
    Stalled,
    /// The lease is over.
    LeaseOver,
    /// We were told to stop.
    Cancelled,
    /// The sink panicked.
    Panicked,
}

/// Runs a connection to its end, with all reports to the sink.
pub(super) async fn run(socket: Socket, link: &Link, shared: &Shared) -> End {
    let mut connection = Connection::new(socket, link, shared);
    connection.subscribe();
    let end = {
        let driving = AssertUnwindSafe(poll_fn(|cx| connection.poll(cx))).catch_unwind();
        tokio::select! {
            biased;
            () = link.cancel.cancelled() => End::Cancelled,
            end = driving => end.unwrap_or(End::Panicked),
        }
    };
    let left = link.outbox.close();
    connection.outgoing.extend(left.frames);
    for id in left.unanswered {
        shared.sink.query_ended(&link.relay, &id);
    }
    if connection.reported {
        shared.sink.disconnected(&link.relay);
    }
    if matches!(end, End::Cancelled | End::LeaseOver) {
        connection.drain().await;
    }
    end
}

struct Connection<'a> {
    socket: Socket,
    link: &'a Link,
    shared: &'a Shared,
    tick: Interval,
    /// Our own words, before anything from the queue.
    control: VecDeque<Arc<str>>,
    /// Taken from the queue, not yet given to the socket.
    outgoing: VecDeque<Arc<str>>,
    unflushed: bool,
    standing: Standing,
    authentication: Authentication,
    /// Report `connected` once what is queued now is flushed.
    announce: bool,
    reported: bool,
    /// The relay wants an authentication that we cannot give, or has refused the one we gave.
    refused: bool,
    heard: bool,
    last_heard: Instant,
    wrote: bool,
    last_wrote: Instant,
    next_ping: Instant,
    ping_due: bool,
    pings: u64,
    ping_sent: Option<Instant>,
}

impl<'a> Connection<'a> {
    fn new(socket: Socket, link: &'a Link, shared: &'a Shared) -> Self {
        let now = Instant::now();
        let every = shared.options.tick();
        let mut tick = tokio::time::interval_at(now + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            link,
            shared,
            tick,
            control: VecDeque::new(),
            outgoing: VecDeque::new(),
            unflushed: false,
            standing: Standing::default(),
            authentication: Authentication::default(),
            announce: false,
            reported: false,
            refused: false,
            heard: false,
            last_heard: now,
            wrote: false,
            last_wrote: now,
            next_ping: now + shared.options.ping_every,
            ping_due: false,
            pings: 0,
            ping_sent: None,
        }
    }

    /// Queues the standing subscriptions that the relay does not have as they are now.
    fn reconcile(&mut self) {
        self.standing.reconcile(&self.shared.subscriptions(), &mut self.control);
    }

    /// Queues all standing subscriptions anew and reports `connected` once they are written.
    fn subscribe(&mut self) {
        self.standing.forget();
        self.reconcile();
        self.announce = true;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.advance(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Step {
        while self.tick.poll_tick(cx).is_ready() {
            self.on_tick(Instant::now())?;
        }
        self.write(cx, false)?;
        self.read(cx)?;
        self.write(cx, true)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Step {
        for _ in 0..READ_BATCH {
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(Ok(message))) => {
                    self.heard = true;
                    self.on_message(&message);
                }
                Poll::Ready(None) => return Err(End::Closed),
                Poll::Ready(Some(Err(error))) => return Err(self.failed(&error)),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Writes all there is and flushes once a batch. With `sleep`, returns only when the socket is
    /// blocked, or nothing is left and the queue will wake us.
    fn write(&mut self, cx: &mut Context<'_>, sleep: bool) -> Step {
        for _ in 0..WRITE_ROUNDS {
            let mut drained = false;
            if self.outgoing.is_empty() {
                let sleeper = sleep.then(|| cx.waker());
                let taken = self.link.outbox.take(&mut self.outgoing, WRITE_BATCH, sleeper);
                drained = taken.drained;
                if taken.subscriptions_changed {
                    self.reconcile();
                }
            }
            if self.feed(cx)?.is_pending() || self.flush(cx)?.is_pending() {
                return Ok(());
            }
            if drained {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Gives everything that was taken to the socket's buffer.
    fn feed(&mut self, cx: &mut Context<'_>) -> Step<Poll<()>> {
        loop {
            if !self.ping_due && self.control.is_empty() && self.outgoing.is_empty() {
                return Ok(Poll::Ready(()));
            }
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(error)) => return Err(self.failed(&error)),
                Poll::Ready(Ok(())) => {}
            }
            let message = if std::mem::take(&mut self.ping_due) {
                self.ping_sent = Some(Instant::now());
                Message::Ping(Bytes::copy_from_slice(&self.pings.to_be_bytes()))
            } else if let Some(frame) =
                self.control.pop_front().or_else(|| self.outgoing.pop_front())
            {
                Counters::add(&self.link.counters.sent);
                text(frame)
            } else {
                return Ok(Poll::Ready(()));
            };
            self.wrote = true;
            self.unflushed = true;
            if let Err(error) = Pin::new(&mut self.socket).start_send(message) {
                return Err(self.failed(&error));
            }
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Step<Poll<()>> {
        if self.unflushed {
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(error)) => return Err(self.failed(&error)),
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    self.wrote = true;
                }
            }
        }
        if std::mem::take(&mut self.announce) {
            self.report_connected();
        }
        Ok(Poll::Ready(()))
    }

    /// Publications are taken before the sink hears of it, so that none falls in between.
    fn report_connected(&mut self) {
        self.link.outbox.open();
        self.link.set_connected(self.shared.env.now(), self.refused);
        self.reported = true;
        let first = !self.link.was_connected.swap(true, Ordering::Relaxed);
        self.shared.sink.connected(&self.link.relay, first);
    }

    fn on_message(&mut self, message: &Message) {
        match message {
            Message::Text(text) => {
                Counters::add(&self.link.counters.received);
                self.on_text(text.as_str());
            }
            Message::Pong(payload) => {
                if payload.as_ref() == self.pings.to_be_bytes()
                    && let Some(sent) = self.ping_sent.take()
                {
                    self.link.set_latency(sent.elapsed());
                }
            }
            Message::Binary(_) | Message::Frame(_) => Counters::add(&self.link.counters.garbage),
            // The library answers both.
            Message::Ping(_) | Message::Close(_) => {}
        }
    }

    fn on_text(&mut self, text: &str) {
        let (link, sink) = (self.link, &self.shared.sink);
        let awaited = self.authentication.is_awaited() || link.outbox.awaits_answers();
        if !awaited && Incoming::is_plain_accepted(text) {
            return;
        }
        match Incoming::read(text) {
            Incoming::Event(frame) => sink.event(&link.relay, &frame),
            Incoming::Ok { id, accepted, message } => {
                if let Some(accepted) = self.authentication.answered(&id, accepted) {
                    self.on_authenticated(accepted);
                    return;
                }
                if link.outbox.answered(&id) {
                    sink.accepted(&link.relay, id, accepted, &message);
                }
                if !accepted && wants_authentication(&message) {
                    self.authenticate_again();
                }
            }
            Incoming::Eose(id) => {
                if self.standing.confirmed(&id) {
                    self.refused = false;
                    self.announce = true;
                } else if link.outbox.query_answered(&id) {
                    sink.query_ended(&link.relay, &id);
                }
            }
            Incoming::Closed { id, message } => self.on_closed(&id, &message),
            Incoming::Notice(notice) => {
                let shown: String = notice.chars().take(MAX_NOTICE).collect();
                tracing::debug!(relay = %link.relay, notice = ?shown, "notice");
            }
            Incoming::Auth(challenge) => {
                if self.authentication.challenged(challenge) {
                    if !self.authenticate() {
                        tracing::debug!(relay = %link.relay, "challenge left unanswered");
                    }
                } else {
                    Counters::add(&link.counters.garbage);
                }
            }
            Incoming::Oversized => Counters::add(&link.counters.oversized),
            Incoming::Garbage => Counters::add(&link.counters.garbage),
        }
    }

    fn on_closed(&mut self, id: &str, message: &str) {
        let jitter = |limit| self.shared.env.jitter(limit);
        if self.standing.closed(id, Instant::now(), jitter) {
            Counters::add(&self.link.counters.closed);
        } else if self.link.outbox.query_answered(id) {
            self.shared.sink.query_ended(&self.link.relay, id);
        }
        if wants_authentication(message) {
            self.authenticate_again();
        }
    }

    /// The relay insists, whether or not it has asked or had an answer before.
    fn authenticate_again(&mut self) {
        if !self.authentication.is_awaited() && !self.authenticate() {
            self.refused = true;
            self.link.set_refused_authentication();
        }
    }

    /// False when there is nothing to answer, or no answer.
    fn authenticate(&mut self) -> bool {
        let Some(challenge) = self.authentication.to_answer() else { return false };
        let Some((id, frame)) = self.shared.sink.authenticate(&self.link.relay, challenge) else {
            return false;
        };
        self.authentication.sent(id);
        self.control.push_back(Arc::from(frame));
        true
    }

    fn on_authenticated(&mut self, accepted: bool) {
        self.refused = !accepted;
        if accepted {
            self.subscribe();
        } else {
            self.link.set_refused_authentication();
        }
    }

    fn on_tick(&mut self, now: Instant) -> Step {
        let options = &self.shared.options;
        if std::mem::take(&mut self.heard) {
            self.last_heard = now;
        } else if now.saturating_duration_since(self.last_heard) >= options.dead_after {
            return Err(End::Silent);
        }
        let waiting = self.unflushed || !self.outgoing.is_empty() || !self.control.is_empty();
        if std::mem::take(&mut self.wrote) || !waiting {
            self.last_wrote = now;
        } else if now.saturating_duration_since(self.last_wrote) >= options.stall_after {
            return Err(End::Stalled);
        }
        if now >= self.next_ping {
            self.next_ping = now + options.ping_every;
            self.pings = self.pings.wrapping_add(1);
            self.ping_due = true;
        }
        self.link.outbox.expire(now);
        self.standing.retry(now, &mut self.control);
        if self.link.lease_is_over(now) { Err(End::LeaseOver) } else { Ok(()) }
    }

    fn failed(&self, error: &Error) -> End {
        match error {
            Error::Capacity(_) => {
                Counters::add(&self.link.counters.oversized);
                End::TooLarge
            }
            Error::WriteBufferFull(_) => End::Stalled,
            Error::ConnectionClosed | Error::AlreadyClosed => End::Closed,
            other => {
                tracing::debug!(relay = %self.link.relay, error = %other, "connection broke");
                End::Broken
            }
        }
    }

    /// Writes what is left and says goodbye, for a second at most.
    async fn drain(mut self) {
        let frames = self.control.drain(..).chain(self.outgoing.drain(..));
        let frames: Vec<_> = frames.collect();
        let socket = &mut self.socket;
        let goodbye = async {
            for frame in frames {
                socket.feed(text(frame)).await?;
            }
            socket.close(None).await
        };
        match tokio::time::timeout(DRAIN_TIMEOUT, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(relay = %self.link.relay, %error, "unclean end"),
            Err(_) => tracing::debug!(relay = %self.link.relay, "gave up flushing"),
        }
    }
}

fn wants_authentication(message: &str) -> bool {
    message.starts_with("auth-required:")
}

/// A text message that shares the frame instead of copying it.
fn text(frame: Arc<str>) -> Message {
    struct Shared(Arc<str>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    let payload = Bytes::from_owner(Shared(frame));
    Message::Frame(Frame::message(payload, OpCode::Data(Data::Text), true))
}
