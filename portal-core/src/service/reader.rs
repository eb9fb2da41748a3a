//! Reading a stream one event at a time, for applications that acknowledge what they have done.
//!
//! The log in the store is the queue: nothing is held in memory. A reader does not save how far it
//! came; whoever wants to go on after a restart keeps [`EventReader::cursor`] with the stream's id.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::EventSink;
use crate::driver::{Hub, Node, NodeError, Tasks};
use crate::error::Error;
use crate::event::StreamEvent;
use crate::primitives::StreamId;
use crate::storage::Store;

/// Gives the events of a stream in order; each one until it is acknowledged.
pub struct EventReader {
    stream: StreamId,
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    tasks: Tasks,
    place: Mutex<Place>,
    moved: Arc<Notify>,
    /// Owned by the hub alone, so that it is dropped when the stream ends.
    sink: Weak<dyn EventSink>,
}

#[derive(Clone, Copy)]
struct Place {
    acknowledged: Option<u64>,
    given: Option<u64>,
}

/// Wakes the reader: at each event, and when it is dropped because nothing can follow.
struct Bell(Arc<Notify>);

impl EventSink for Bell {
    fn deliver(&self, _event: &Arc<StreamEvent>) -> bool {
        self.0.notify_waiters();
        true
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

impl EventReader {
    pub(super) async fn open(
        node: &Node,
        stream: StreamId,
        after: Option<u64>,
    ) -> Result<Self, Error> {
        let store = node.shared_store();
        let info = store.stream(stream).await?.ok_or(Error::StreamNotFound)?;
        let moved = Arc::new(Notify::new());
        let sink: Arc<dyn EventSink> = Arc::new(Bell(moved.clone()));
        let weak = Arc::downgrade(&sink);
        let hub = node.shared_hub();
        // It reads the log itself; there is no need to hear of what is in it already.
        hub.attach(&*store, stream, info.events.checked_sub(1), sink).await?;
        Ok(Self {
            stream,
            store,
            hub,
            tasks: node.tasks().clone(),
            place: Mutex::new(Place { acknowledged: after, given: after }),
            moved,
            sink: weak,
        })
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// The first event that is not acknowledged; waits for one. `None` when the stream has ended
    /// and everything was acknowledged.
    ///
    /// # Errors
    /// When the service stops, or the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is taken.
    pub async fn next(&self) -> Result<Option<StreamEvent>, Error> {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.tasks.is_stopping() {
                return Err(NodeError::Stopped.into());
            }
            // In this order: what ends the stream is durable before the stream counts as ended.
            let open = self.store.stream(self.stream).await?.is_some_and(|info| info.open);
            let after = self.lock().acknowledged;
            if let Some(event) = self.store.events(self.stream, after, 1).await?.into_iter().next()
            {
                let mut place = self.lock();
                place.given = place.given.max(Some(event.index));
                return Ok(Some(event));
            }
            if !open {
                return Ok(None);
            }
            tokio::select! {
                () = moved => {}
                () = self.tasks.stopping() => {}
            }
        }
    }

    /// Everything up to this index is done; [`EventReader::next`] goes on behind it. An event that
    /// was not given yet is not skipped, and nothing goes back.
    pub fn acknowledge(&self, index: u64) {
        let mut place = self.lock();
        let done = Some(index).min(place.given);
        place.acknowledged = place.acknowledged.max(done);
    }

    /// The last index that was acknowledged: where to go on after a restart.
    #[must_use]
    pub fn cursor(&self) -> Option<u64> {
        self.lock().acknowledged
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        if let Some(sink) = self.sink.upgrade() {
            self.hub.detach(self.stream, &sink);
        }
    }
}

impl std::fmt::Debug for EventReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventReader")
            .field("stream", &self.stream)
            .field("cursor", &self.cursor())
            .finish_non_exhaustive()
    }
}
