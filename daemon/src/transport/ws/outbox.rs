//! What waits to be written to one socket. Filled from the driver's effect task and from running
//! commands, so filling never blocks; bounded, and when the bound is reached the socket is given
//! up. Nothing is lost by that: every event is in its stream's log, to be resumed from.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use portal_core::event::StreamEvent;
use portal_core::primitives::StreamId;
use portal_core::service::EventSink;
use tokio::sync::Notify;

use super::frame::FrameId;
use crate::commands::Outcome;
use crate::error::CommandError;

/// Events that may wait. A burst of answers must fit in; a reader that stalls must not.
pub(super) const MAX_WAITING: usize = 4096;

/// How many of them may come out of logs, which can wait; the rest is for what happens now.
const MAX_REPLAYED: usize = MAX_WAITING / 2;

/// Something for the session to write.
pub(super) enum Item {
    /// A command has ended.
    Finished {
        /// The attachment that was made for it, if any.
        key: Option<u32>,
        /// Its id.
        id: FrameId,
        /// How.
        result: Result<Outcome, CommandError>,
    },
    /// A stream has an event.
    Event {
        /// The attachment that received it.
        key: u32,
        /// The event.
        event: Arc<StreamEvent>,
    },
    /// A stream has no more events.
    Ended {
        /// The attachment that heard of it.
        key: u32,
    },
}

/// What waits to be written to one socket.
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
    overflow: Notify,
    room: Notify,
}

struct Queue {
    items: VecDeque<Item>,
    /// How many of the items are events.
    events: usize,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Overflown,
    Closed,
}

impl Outbox {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(Queue { items: VecDeque::new(), events: 0, end: End::Open }),
            wake: Notify::new(),
            overflow: Notify::new(),
            room: Notify::new(),
        })
    }

    /// Puts an event behind what waits. False when the socket is closed or given up.
    pub(super) fn event(&self, key: u32, event: &Arc<StreamEvent>) -> bool {
        let mut queue = self.lock();
        if queue.end != End::Open {
            return false;
        }
        if queue.events >= MAX_WAITING {
            drop(queue);
            self.give_up();
            return false;
        }
        queue.put(key, event);
        drop(queue);
        self.wake.notify_one();
        true
    }

    /// Puts an event of a log behind what waits, once there is room for it. False when the socket
    /// is closed or given up.
    ///
    /// # Cancel safety
    /// The event is not put when the future is dropped.
    async fn replayed(&self, key: u32, event: &Arc<StreamEvent>) -> bool {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Before the look at the queue, or a place that becomes free in between is missed.
            room.as_mut().enable();
            {
                let mut queue = self.lock();
                if queue.end != End::Open {
                    return false;
                }
                if queue.events < MAX_REPLAYED {
                    queue.put(key, event);
                    drop(queue);
                    self.wake.notify_one();
                    return true;
                }
            }
            room.await;
        }
    }

    /// Puts the end of a stream behind what waits: at most one for each attachment, so it needs no
    /// bound of its own.
    pub(super) fn ended(&self, key: u32) {
        let mut queue = self.lock();
        if queue.end != End::Closed {
            queue.items.push_back(Item::Ended { key });
            drop(queue);
            self.wake.notify_one();
        }
    }

    /// Gives the socket up: its client comes back and resumes.
    pub(super) fn give_up(&self) {
        let mut queue = self.lock();
        if queue.end == End::Open {
            queue.end = End::Overflown;
            drop(queue);
            self.overflow.notify_one();
            self.room.notify_waiters();
        }
    }

    /// Puts the end of a command behind what waits. How many of these there can be is bounded by
    /// the number of commands that run at once. False when the socket is closed.
    pub(super) fn finished(
        &self,
        key: Option<u32>,
        id: FrameId,
        result: Result<Outcome, CommandError>,
    ) -> bool {
        let mut queue = self.lock();
        if queue.end == End::Closed {
            return false;
        }
        queue.items.push_back(Item::Finished { key, id, result });
        drop(queue);
        self.wake.notify_one();
        true
    }

    /// Takes at most `limit` items, without waiting.
    pub(super) fn take(&self, limit: usize) -> Vec<Item> {
        let mut queue = self.lock();
        let count = queue.items.len().min(limit);
        let items: Vec<Item> = queue.items.drain(..count).collect();
        let events = items.iter().filter(|item| matches!(item, Item::Event { .. })).count();
        queue.events = queue.events.saturating_sub(events);
        let has_room = queue.events < MAX_REPLAYED;
        if queue.items.is_empty() && queue.items.capacity() > 64 {
            // A burst is over: an idle socket keeps no memory for it.
            queue.items = VecDeque::new();
        }
        drop(queue);
        if has_room {
            self.room.notify_waiters();
        }
        items
    }

    /// Waits until there may be something to take.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn ready(&self) {
        while self.lock().items.is_empty() {
            self.wake.notified().await;
        }
    }

    /// Waits until the bound was reached.
    pub(super) async fn overflown(&self) {
        while self.lock().end != End::Overflown {
            self.overflow.notified().await;
        }
    }

    /// Takes nothing more. Returns what was left.
    pub(super) fn close(&self) -> VecDeque<Item> {
        let mut queue = self.lock();
        queue.end = End::Closed;
        queue.events = 0;
        let left = std::mem::take(&mut queue.items);
        drop(queue);
        self.room.notify_waiters();
        left
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn put(&mut self, key: u32, event: &Arc<StreamEvent>) {
        self.events = self.events.saturating_add(1);
        self.items.push_back(Item::Event { key, event: Arc::clone(event) });
    }
}

/// Receives the events of one stream for one socket. There may be very many: it has no more than
/// it needs.
pub(super) struct Attachment {
    pub(super) key: u32,
    /// Whether the socket no longer wants the events.
    gone: AtomicBool,
    outbox: Arc<Outbox>,
}

impl Attachment {
    pub(super) fn new(key: u32, outbox: Arc<Outbox>) -> Arc<Self> {
        Arc::new(Self { key, gone: AtomicBool::new(false), outbox })
    }

    /// The socket no longer wants the events.
    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Delivers an event of the log, once there is room for it. False when nobody wants more.
    pub(super) async fn replayed(&self, event: &Arc<StreamEvent>) -> bool {
        !self.is_gone() && self.outbox.replayed(self.key, event).await
    }

    /// Gives up the socket: its client comes back and resumes.
    pub(super) fn give_up(&self) {
        self.outbox.give_up();
    }
}

impl EventSink for Attachment {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        !self.is_gone() && self.outbox.event(self.key, event)
    }

    fn ended(&self, _: StreamId) {
        self.outbox.ended(self.key);
    }
}

#[cfg(test)]
mod tests {
    use portal_core::event::{PaymentUpdate, PortalEvent};

    use super::*;

    fn event() -> Arc<StreamEvent> {
        Arc::new(StreamEvent {
            stream: StreamId::from_uuid(uuid::Uuid::nil()),
            index: 0,
            at_millis: 0,
            body: PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::Timeout },
        })
    }

    #[tokio::test]
    async fn a_socket_that_does_not_drain_is_given_up() {
        let outbox = Outbox::new();
        let sink = Attachment::new(1, Arc::clone(&outbox));
        for _ in 0..MAX_WAITING {
            assert!(sink.deliver(&event()));
        }
        assert!(!sink.deliver(&event()), "one too many");
        outbox.overflown().await;
        assert!(!sink.deliver(&event()), "and it stays so");
        sink.ended(event().stream);
        assert_eq!(outbox.close().len(), MAX_WAITING + 1, "the end of a stream needs no place");
        sink.ended(event().stream);
        assert!(outbox.take(10).is_empty());
    }

    #[tokio::test]
    async fn what_was_put_in_comes_out_in_order_and_leaves_no_memory() {
        let outbox = Outbox::new();
        for key in 0..100 {
            assert!(outbox.event(key, &event()));
        }
        outbox.ready().await;
        let keys: Vec<u32> = outbox
            .take(1000)
            .into_iter()
            .map(|item| match item {
                Item::Event { key, .. } => key,
                Item::Finished { .. } | Item::Ended { .. } => panic!("only events were put in"),
            })
            .collect();
        assert_eq!(keys, (0..100).collect::<Vec<_>>());
        assert_eq!(outbox.lock().items.capacity(), 0);
    }

    #[tokio::test]
    async fn what_comes_from_a_log_waits_for_room_and_leaves_some_for_what_happens_now() {
        let outbox = Outbox::new();
        let log = Attachment::new(1, Arc::clone(&outbox));
        for _ in 0..MAX_REPLAYED {
            assert!(log.replayed(&event()).await);
        }
        let waiting = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.replayed(&event()).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(Attachment::new(2, Arc::clone(&outbox)).deliver(&event()));
        assert_eq!(outbox.take(2).len(), 2);
        assert!(waiting.await.expect("it does not panic"));
        outbox.close();
        assert!(!log.replayed(&event()).await);
    }

    #[tokio::test]
    async fn nothing_is_delivered_to_whoever_has_left() {
        let attachment = Attachment::new(1, Outbox::new());
        assert!(attachment.deliver(&event()) && attachment.replayed(&event()).await);
        attachment.leave();
        assert!(!attachment.deliver(&event()) && !attachment.replayed(&event()).await);
    }
}
