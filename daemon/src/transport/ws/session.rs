//! The loop of one socket after the token was shown: reads commands, runs them beside itself, and
//! writes what comes of them. Nothing here waits for another socket, and no other socket waits
//! for this one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, close_code};
use futures_util::SinkExt;
use portal_core::primitives::{ErrorCode, StreamId};
use portal_core::service::{EventSink, Idempotency};
use tokio::time::{Instant, sleep_until, timeout};

use super::frame::{self, CommandFrame, FrameId};
use super::login::{goodbye, last_words};
use super::outbox::{Attachment, Item, Outbox};
use super::streams::{Follow, Out, Streams, died};
use crate::commands::{Command, Context, Outcome, Reply, auth, once};
use crate::error::CommandError;
use crate::state::AppState;
use crate::transport::server::Peer;

/// A socket that is silent this long is pinged.
const PING_AFTER: Duration = Duration::from_secs(30);

/// A socket that is silent this long is gone.
const GONE_AFTER: Duration = Duration::from_secs(75);

/// How many events of a log are read at once.
const PAGE: usize = 256;

/// How many items are written before the loop looks at its other work.
const BATCH: usize = 64;

/// Serves a socket until it ends.
pub(super) async fn serve(mut socket: WebSocket, state: AppState, peer: Peer) {
    let mut session = Session {
        state,
        peer,
        outbox: Outbox::new(),
        streams: Streams::default(),
        out: Vec::new(),
        running: 0,
        heard_at: Instant::now(),
        reading: false,
        pinged: false,
        allowance: (Instant::now(), 0),
    };
    let end = session.run(&mut socket).await;
    session.close();
    match end {
        End::Gone => {}
        End::Broken => Box::pin(goodbye(socket, close_code::PROTOCOL, "protocol error")).await,
        End::Stalled => Box::pin(goodbye(socket, close_code::AGAIN, "resume")).await,
        End::Stopping => Box::pin(goodbye(socket, close_code::RESTART, "resume")).await,
        End::Refused(id, error, code) => {
            Box::pin(last_words(socket, &id, &error, code)).await;
        }
    }
}

/// Why a session has ended.
enum End {
    /// The other side has gone.
    Gone,
    /// The other side does not speak the protocol, or its connection is broken.
    Broken,
    /// The other side does not read.
    Stalled,
    /// The daemon stops.
    Stopping,
    /// The other side did something that ends it.
    Refused(FrameId, CommandError, u16),
}

struct Session {
    state: AppState,
    peer: Peer,
    outbox: Arc<Outbox>,
    streams: Streams,
    /// What is to be written next.
    out: Vec<Out>,
    /// Commands that have not ended.
    running: u32,
    heard_at: Instant,
    /// Whether the socket is read from: who is not listened to is not silent.
    reading: bool,
    pinged: bool,
    /// Since when, and how many commands since then.
    allowance: (Instant, u32),
}

impl Session {
    async fn run(&mut self, socket: &mut WebSocket) -> End {
        let stopping = self.state.stopping.clone();
        loop {
            if self.streams.is_overfull() {
                return End::Stalled;
            }
            if !self.out.is_empty()
                && let Err(end) = self.write(socket).await
            {
                return end;
            }
            if stopping.is_cancelled() && self.running == 0 {
                return End::Stopping;
            }
            let may_read =
                self.running < self.state.limits.commands_at_once && !stopping.is_cancelled();
            if !(may_read && self.reading) {
                self.reading = may_read;
                self.heard_at = Instant::now();
            }
            // In no fixed order: whatever a client floods, everything else has its turn.
            tokio::select! {
                () = self.outbox.overflown() => return End::Stalled,
                () = self.outbox.ready() => self.collect(),
                message = socket.recv(), if may_read => {
                    if let Err(end) = self.read(message) {
                        return end;
                    }
                }
                () = sleep_until(self.next_tick()) => {
                    if let Err(end) = self.tick() {
                        return end;
                    }
                }
                () = stopping.cancelled(), if !stopping.is_cancelled() => {}
            }
        }
    }

    /// Lets go of everything, also of what commands have opened and nobody has looked at yet.
    fn close(&mut self) {
        let now = Instant::now();
        for item in self.outbox.close() {
            if let Item::Finished { key, id, result } = item {
                let detached = self.streams.finished(key, id, *result, now, &mut self.out);
                self.let_go(detached);
            }
        }
        self.out = Vec::new();
        let detached = self.streams.clear();
        self.let_go(detached);
    }

    /// Turns what waits in the outbox into frames.
    fn collect(&mut self) {
        let now = Instant::now();
        for item in self.outbox.take(BATCH) {
            let detached = match item {
                Item::Event { key, event } => {
                    self.streams.event(key, event, &mut self.out).into_iter().collect()
                }
                Item::Ended { key } => self.streams.ended(key, &mut self.out).into_iter().collect(),
                Item::Finished { key, id, result } => {
                    self.running = self.running.saturating_sub(1);
                    self.streams.finished(key, id, *result, now, &mut self.out)
                }
            };
            self.let_go(detached);
        }
    }

    /// Writes all of `out`, and gives up on a reader that stalls.
    async fn write(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        let began_at = Instant::now();
        let out = std::mem::take(&mut self.out);
        let limit = Duration::from_secs(self.state.limits.stalled_reader_seconds.into());
        let writing = async {
            for out in out {
                let message = match out {
                    Out::Text(text) => Message::Text(text.into()),
                    Out::Ping(number) => Message::Ping(number.to_be_bytes().to_vec().into()),
                };
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        let written = tokio::select! {
            written = timeout(limit, writing) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Gone),
                Err(_) => Err(End::Stalled),
            },
            () = self.outbox.overflown() => Err(End::Stalled),
        };
        self.heard_at = self.heard_at.checked_add(began_at.elapsed()).unwrap_or(began_at);
        written
    }

    fn read(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.heard_at = Instant::now();
        self.pinged = false;
        match message {
            None | Some(Ok(Message::Close(_))) => Err(End::Gone),
            Some(Ok(Message::Text(text))) => self.command(&text),
            Some(Ok(Message::Pong(payload))) => {
                if let Ok(number) = payload.as_ref().try_into().map(u64::from_be_bytes) {
                    let detached = self.streams.pong(number, &mut self.out);
                    self.let_go(detached);
                    self.follow();
                }
                Ok(())
            }
            Some(Ok(Message::Ping(_) | Message::Binary(_))) => Ok(()),
            Some(Err(error)) if is_too_large(&error) => {
                let error = CommandError::new(
                    ErrorCode::TooLarge,
                    "Invalid command format: the frame is larger than 1 MiB",
                );
                Err(End::Refused(FrameId::none(), error, close_code::SIZE))
            }
            Some(Err(_)) => Err(End::Broken),
        }
    }

    fn command(&mut self, text: &str) -> Result<(), End> {
        let frame = match frame::read(text) {
            Ok(frame) => frame,
            Err(bad) => {
                self.out.push(Out::Text(frame::error(&bad.id, &bad.error)));
                return Ok(());
            }
        };
        if let Command::Auth(request) = &frame.command {
            return match self.state.gate.check(self.peer.address.ip(), request.token.expose()) {
                Ok(()) => {
                    let reply = Reply::from(auth::Reply::default());
                    self.out.push(Out::Text(frame::success(&frame.id, &reply)));
                    Ok(())
                }
                Err(error) => Err(End::Refused(frame.id, error, close_code::POLICY)),
            };
        }
        // Whoever comes back to many streams asks for all of them at once.
        if !matches!(frame.command, Command::ResumeStream(_))
            && let Err(error) = self.spend_allowance()
        {
            self.out.push(Out::Text(frame::error(&frame.id, &error)));
            return Ok(());
        }
        self.start(frame);
        Ok(())
    }

    /// Counts commands, when the configuration limits them.
    fn spend_allowance(&mut self) -> Result<(), CommandError> {
        let limit = self.state.limits.commands_per_second;
        let (since, count) = &mut self.allowance;
        if since.elapsed() >= Duration::from_secs(1) {
            (*since, *count) = (Instant::now(), 0);
        }
        *count = count.saturating_add(1);
        if limit != 0 && *count > limit {
            return Err(CommandError::new(
                ErrorCode::RateLimited,
                "too many commands in this second",
            ));
        }
        Ok(())
    }

    /// Runs a command beside the loop. It goes on when the socket closes: what was begun for a
    /// caller is finished, and a caller who comes back finds it.
    fn start(&mut self, frame: CommandFrame) {
        let CommandFrame { id, command, idempotency } = frame;
        let attaches = command.opens_stream()
            || matches!(
                command,
                Command::ListenClosedRecurringPayment(_)
                    | Command::ListenLightningAddress(_)
                    | Command::ResumeStream(_)
            );
        // Whoever knows idempotency keys, or commands that came later than 0.3, also knows events
        // that did.
        let all = idempotency.is_some()
            || matches!(command, Command::RefundPayment(_) | Command::ListenLightningAddress(_));
        let attachment = attaches.then(|| self.streams.begin(&self.outbox, all));
        self.running = self.running.saturating_add(1);
        let state = self.state.clone();
        let mut ending = Ending {
            outbox: Arc::clone(&self.outbox),
            key: attachment.as_ref().map(|attachment| attachment.key),
            id: Some(id),
        };
        self.state.tasks.spawn(async move {
            let idempotency = idempotency.map(|frame::IdempotencyKey { key, command_hash }| {
                Idempotency { key, command_hash }
            });
            let result = execute(&state, command, attachment.clone(), idempotency).await;
            let stream = result.as_ref().ok().and_then(Outcome::stream);
            if !ending.send(result)
                && let (Some(stream), Some(attachment)) = (stream, attachment)
            {
                // The socket has gone meanwhile: nobody else knows of this attachment.
                let sink: Arc<dyn EventSink> = attachment;
                state.service.streams().detach(stream, &sink);
            }
        });
    }

    fn next_tick(&self) -> Instant {
        let silence = if self.pinged { GONE_AFTER } else { PING_AFTER };
        let silent = self.heard_at.checked_add(silence).unwrap_or(self.heard_at);
        self.streams.next_tick().map_or(silent, |tick| tick.min(silent))
    }

    fn tick(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let silence = now.saturating_duration_since(self.heard_at);
        if silence >= GONE_AFTER {
            return Err(End::Gone);
        }
        if silence >= PING_AFTER && !self.pinged {
            self.pinged = true;
            self.streams.ping(&mut self.out);
        }
        let detached = self.streams.tick(now, &mut self.out);
        self.let_go(detached);
        self.follow();
        Ok(())
    }

    /// Begins to read the logs of streams that the client knows of now.
    fn follow(&mut self) {
        for follow in self.streams.take_to_follow() {
            let state = self.state.clone();
            self.state.tasks.spawn(async move {
                let Follow { stream, after, attachment } = follow;
                follow_log(&state, stream, after, attachment).await;
            });
        }
    }

    fn let_go(&self, detached: Vec<super::streams::Detached>) {
        for (stream, attachment) in detached {
            let sink: Arc<dyn EventSink> = attachment;
            self.state.service.streams().detach(stream, &sink);
        }
    }
}

/// Does a command and attaches to the stream it names.
async fn execute(
    state: &AppState,
    command: Command,
    attachment: Option<Arc<Attachment>>,
    idempotency: Option<Idempotency>,
) -> Result<Outcome, CommandError> {
    let context = Context {
        service: &state.service,
        env: &state.env,
        wallet_missing: state.wallet_missing,
        #[cfg(feature = "cashu")]
        tickets: state.tickets.as_ref(),
        stopping: &state.stopping,
        attach: attachment.map(|attachment| attachment as Arc<dyn EventSink>),
        idempotency,
    };
    once::execute(command, context).await
}

/// Delivers the log of a stream, as fast as the client reads, then what happens.
async fn follow_log(
    state: &AppState,
    stream: StreamId,
    mut after: Option<u64>,
    attachment: Arc<Attachment>,
) {
    let streams = state.service.streams();
    let following = async {
        loop {
            let page = streams.events(stream, after, PAGE).await?;
            let full = page.len() == PAGE;
            for event in page {
                after = Some(event.index);
                if !attachment.replayed(&Arc::new(event)).await {
                    return Ok(());
                }
            }
            if !full {
                break;
            }
        }
        let sink: Arc<dyn EventSink> = Arc::clone(&attachment) as _;
        streams.attach(stream, after, Arc::clone(&sink)).await?;
        if attachment.is_gone() {
            streams.detach(stream, &sink);
        }
        Ok::<(), portal_core::Error>(())
    };
    match following.await {
        Ok(()) => {}
        Err(portal_core::Error::StreamNotFound) => attachment.ended(stream),
        Err(error) => {
            tracing::warn!(%error, "a stream cannot be read; its socket is closed");
            attachment.give_up();
        }
    }
}

/// Tells the session that a command has ended, also when its task panics or is dropped.
struct Ending {
    outbox: Arc<Outbox>,
    key: Option<u32>,
    id: Option<FrameId>,
}

impl Ending {
    fn send(&mut self, result: Result<Outcome, CommandError>) -> bool {
        self.id.take().is_some_and(|id| self.outbox.finished(self.key, id, result))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.send(Err(died()));
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().starts_with("Space limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}
