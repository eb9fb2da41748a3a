//! Who listens to which stream. Events reach listeners once they are durable, in order, each index
//! once; a listener that joins late gets the log first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::StreamEvent;
use crate::primitives::{PagedMap, StreamId};
use crate::storage::{StorageError, Store, Write};

/// Receives the events of the streams it is attached to.
///
/// Called on the driver's own task: it must be quick and must not block. It returns false to be
/// detached, for example because its queue is full; the log has everything it missed.
pub trait EventSink: Send + Sync {
    /// An event of a stream.
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool;

    /// Nothing more will happen on a stream; the listener is detached. Not told to one that has
    /// asked to be detached.
    fn ended(&self, _stream: StreamId) {}
}

const PAGE: usize = 256;

/// The listeners of all streams.
#[derive(Default)]
pub struct Hub {
    streams: Mutex<PagedMap<StreamId, Attachments>>,
}

/// Most streams have one listener, and there may be very many streams.
enum Attachments {
    One(Attachment),
    Many(Vec<Attachment>),
}

struct Attachment {
    sink: Arc<dyn EventSink>,
    next: u64,
    /// While the log is read: what happened meanwhile.
    held: Option<Box<Held>>,
}

#[derive(Default)]
struct Held {
    events: Vec<Arc<StreamEvent>>,
    ended: bool,
}

impl Hub {
    /// Attaches a listener to a stream that has no events yet.
    pub fn attach_new(&self, stream: StreamId, sink: Arc<dyn EventSink>) {
        self.add(stream, Attachment { sink, next: 0, held: None });
    }

    /// Attaches a listener: the log after `after` first, then what happens.
    ///
    /// # Errors
    /// When the log cannot be read; the listener is not attached then.
    ///
    /// # Cancel safety
    /// When dropped half way the listener is not attached; it may have heard a part of the log.
    pub async fn attach(
        &self,
        store: &dyn Store,
        stream: StreamId,
        after: Option<u64>,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), StorageError> {
        let next = after.map_or(0, |after| after.saturating_add(1));
        let attachment = Attachment { sink: sink.clone(), next, held: Some(Box::default()) };
        self.add(stream, attachment);
        let joining = Joining { hub: self, stream, sink: &sink };
        // First whether it is open, then the log: when it had ended the log has the end; when it
        // had not, what ends it is held here or delivered later.
        let open = match store.stream(stream).await {
            Ok(info) => {
                let open = info.is_some_and(|info| info.open);
                self.replay(store, stream, after, &sink).await.map(|next| (next, open))
            }
            Err(error) => Err(error),
        };
        std::mem::forget(joining);
        let mut streams = self.lock();
        let Some(attachments) = streams.get_mut(&stream) else { return open.map(|_| ()) };
        let position = attachments
            .as_slice()
            .iter()
            .position(|other| Arc::ptr_eq(&other.sink, &sink) && other.held.is_some());
        if let Some(position) = position {
            let attachment = &mut attachments.as_mut_slice()[position];
            let held = attachment.held.take().unwrap_or_default();
            let keep = match &open {
                Ok((Some(next), open)) => {
                    attachment.next = *next;
                    let taken = held.events.iter().all(|event| attachment.deliver(event));
                    let over = !*open || held.ended;
                    if taken && over {
                        attachment.sink.ended(stream);
                    }
                    taken && !over
                }
                Ok((None, _)) | Err(_) => false,
            };
            if !keep {
                attachments.swap_remove(position);
            }
        }
        if attachments.is_empty() {
            streams.remove(&stream);
        }
        open.map(|_| ())
    }

    /// Delivers the log. The next index, or `None` when the listener wants no more.
    async fn replay(
        &self,
        store: &dyn Store,
        stream: StreamId,
        mut after: Option<u64>,
        sink: &Arc<dyn EventSink>,
    ) -> Result<Option<u64>, StorageError> {
        loop {
            let page = store.events(stream, after, PAGE).await?;
            let full = page.len() == PAGE;
            for event in page {
                after = Some(event.index);
                if !sink.deliver(&Arc::new(event)) {
                    return Ok(None);
                }
            }
            if !full {
                return Ok(Some(after.map_or(0, |after| after.saturating_add(1))));
            }
        }
    }

    /// Detaches a listener.
    pub fn detach(&self, stream: StreamId, sink: &Arc<dyn EventSink>) {
        let mut streams = self.lock();
        if let Some(attachments) = streams.get_mut(&stream) {
            attachments.retain(|attachment| !Arc::ptr_eq(&attachment.sink, sink));
            if attachments.is_empty() {
                streams.remove(&stream);
            }
        }
    }

    /// Something durable happened.
    pub fn deliver(&self, event: &Arc<StreamEvent>) {
        let mut streams = self.lock();
        if let Some(attachments) = streams.get_mut(&event.stream) {
            attachments.retain(|attachment| attachment.take(event));
            if attachments.is_empty() {
                streams.remove(&event.stream);
            }
        }
    }

    /// The events that a batch appends.
    #[must_use]
    pub fn events_in(batch: &[Write]) -> Vec<Arc<StreamEvent>> {
        let appended = batch.iter().filter_map(|write| match write {
            Write::Append(event) => Some(Arc::new(event.clone())),
            _ => None,
        });
        appended.collect()
    }

    /// These became durable, in this order. One that is final ends its stream.
    pub fn deliver_all(&self, events: &[Arc<StreamEvent>]) {
        for event in events {
            self.deliver(event);
            if event.body.is_final() {
                self.ended(event.stream);
            }
        }
    }

    /// Nothing more will happen on a stream.
    pub fn ended(&self, stream: StreamId) {
        let mut streams = self.lock();
        if let Some(attachments) = streams.get_mut(&stream) {
            attachments.retain(|attachment| match &mut attachment.held {
                Some(held) => {
                    held.ended = true;
                    true
                }
                None => {
                    attachment.sink.ended(stream);
                    false
                }
            });
            if attachments.is_empty() {
                streams.remove(&stream);
            }
        }
    }

    /// How many streams are listened to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn add(&self, stream: StreamId, attachment: Attachment) {
        let mut streams = self.lock();
        match streams.get_mut(&stream) {
            Some(attachments) => attachments.push(attachment),
            None => drop(streams.insert(stream, Attachments::One(attachment))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PagedMap<StreamId, Attachments>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a listener away again whose joining was given up half way.
struct Joining<'a> {
    hub: &'a Hub,
    stream: StreamId,
    sink: &'a Arc<dyn EventSink>,
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        let mut streams = self.hub.lock();
        if let Some(attachments) = streams.get_mut(&self.stream) {
            attachments
                .retain(|other| !(Arc::ptr_eq(&other.sink, self.sink) && other.held.is_some()));
            if attachments.is_empty() {
                streams.remove(&self.stream);
            }
        }
    }
}

impl Attachments {
    fn as_slice(&self) -> &[Attachment] {
        match self {
            Self::One(attachment) => std::slice::from_ref(attachment),
            Self::Many(attachments) => attachments,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Attachment] {
        match self {
            Self::One(attachment) => std::slice::from_mut(attachment),
            Self::Many(attachments) => attachments,
        }
    }

    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    fn push(&mut self, attachment: Attachment) {
        let mut all = self.take_all();
        all.push(attachment);
        *self = Self::Many(all);
    }

    fn swap_remove(&mut self, position: usize) {
        let mut all = self.take_all();
        all.swap_remove(position);
        *self = Self::Many(all);
    }

    fn retain(&mut self, mut keep: impl FnMut(&mut Attachment) -> bool) {
        match self {
            Self::One(attachment) => {
                if !keep(attachment) {
                    *self = Self::Many(Vec::new());
                }
            }
            Self::Many(attachments) => attachments.retain_mut(keep),
        }
    }

    fn take_all(&mut self) -> Vec<Attachment> {
        match std::mem::replace(self, Self::Many(Vec::new())) {
            Self::One(attachment) => vec![attachment],
            Self::Many(attachments) => attachments,
        }
    }
}

impl Attachment {
    fn take(&mut self, event: &Arc<StreamEvent>) -> bool {
        match &mut self.held {
            Some(held) => {
                held.events.push(event.clone());
                true
            }
            None => self.deliver(event),
        }
    }

    fn deliver(&mut self, event: &Arc<StreamEvent>) -> bool {
        if event.index < self.next {
            return true;
        }
        self.next = event.index.saturating_add(1);
        self.sink.deliver(event)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("streams", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::event::PortalEvent;
    use crate::primitives::ErrorCode;
    use crate::storage::ConversationRecord;
    use crate::storage::memory::MemoryStore;

    const STREAM: StreamId = StreamId::from_uuid(uuid::Uuid::from_u128(1));

    fn event(index: u64) -> StreamEvent {
        let body = PortalEvent::Error { code: ErrorCode::Timeout, reason: String::new() };
        StreamEvent { stream: STREAM, index, at_millis: 0, body }
    }

    fn record() -> Write {
        Write::PutConversation(ConversationRecord {
            stream: STREAM,
            machine: "ask".to_owned(),
            state: Vec::new(),
            next_index: 0,
        })
    }

    /// Hears events, and does something after the first.
    struct Ear {
        heard: Mutex<Vec<u64>>,
        after_first: Box<dyn Fn() + Send + Sync>,
        takes: usize,
        ends: AtomicUsize,
    }

    impl EventSink for Ear {
        fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
            let count = {
                let mut heard = self.heard.lock().expect("not poisoned");
                heard.push(event.index);
                heard.len()
            };
            if count == 1 {
                (self.after_first)();
            }
            count < self.takes
        }

        fn ended(&self, stream: StreamId) {
            assert_eq!(stream, STREAM);
            self.ends.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn ear(takes: usize, after_first: impl Fn() + Send + Sync + 'static) -> Arc<Ear> {
        Arc::new(Ear {
            heard: Mutex::default(),
            after_first: Box::new(after_first),
            takes,
            ends: AtomicUsize::new(0),
        })
    }

    fn ends(ear: &Ear) -> usize {
        ear.ends.load(Ordering::SeqCst)
    }

    fn heard(ear: &Ear) -> Vec<u64> {
        ear.heard.lock().expect("not poisoned").clone()
    }

    #[tokio::test]
    async fn a_listener_that_joins_while_the_stream_ends_hears_the_end() {
        let store = Arc::new(MemoryStore::new());
        store.commit(vec![record(), Write::Append(event(0))], Box::new(|_| ()));
        // While the log is read, the last event becomes durable; it is told a moment later.
        let ending = store.clone();
        let ear = ear(100, move || {
            let batch = vec![Write::Append(event(1)), Write::RemoveConversation(STREAM)];
            ending.commit(batch, Box::new(|_| ()));
        });
        let hub = Hub::default();
        hub.attach(&*store, STREAM, None, ear.clone()).await.expect("readable");
        hub.deliver(&Arc::new(event(1)));
        hub.ended(STREAM);
        assert_eq!(heard(&ear), [0, 1]);
        assert_eq!(ends(&ear), 1);
        assert!(hub.is_empty());
    }

    #[tokio::test]
    async fn listeners_are_told_once_that_a_stream_is_over() {
        let store = MemoryStore::new();
        let over = vec![record(), Write::Append(event(0)), Write::RemoveConversation(STREAM)];
        let hub = Hub::default();
        let (early, bored) = (ear(100, || ()), ear(1, || ()));
        hub.attach_new(STREAM, early.clone());
        hub.attach_new(STREAM, bored.clone());
        store.commit(over, Box::new(|_| ()));
        hub.deliver(&Arc::new(event(0)));
        hub.ended(STREAM);
        hub.ended(STREAM);
        assert_eq!((ends(&early), ends(&bored)), (1, 0));
        let late = ear(100, || ());
        hub.attach(&store, STREAM, None, late.clone()).await.expect("readable");
        assert_eq!((heard(&late), ends(&late)), (vec![0], 1));
        assert!(hub.is_empty());
    }

    #[tokio::test]
    async fn each_index_is_heard_once_whether_from_the_log_or_as_it_happens() {
        let store = MemoryStore::new();
        let batch = vec![record(), Write::Append(event(0)), Write::Append(event(1))];
        store.commit(batch, Box::new(|_| ()));
        let hub = Arc::new(Hub::default());
        let late = hub.clone();
        let listener = ear(100, move || {
            // Told while the log is read: one that the log has too, one that is new.
            late.deliver(&Arc::new(event(1)));
            late.deliver(&Arc::new(event(2)));
        });
        hub.attach(&store, STREAM, None, listener.clone()).await.expect("readable");
        hub.deliver(&Arc::new(event(2)));
        hub.deliver(&Arc::new(event(3)));
        assert_eq!(heard(&listener), [0, 1, 2, 3]);
        let sink: Arc<dyn EventSink> = listener;
        hub.detach(STREAM, &sink);
        assert!(hub.is_empty());
    }

    #[tokio::test]
    async fn a_listener_that_wants_no_more_is_detached() {
        let store = MemoryStore::new();
        store.commit(vec![record(), Write::Append(event(0))], Box::new(|_| ()));
        let hub = Hub::default();
        let listener = ear(2, || ());
        hub.attach(&store, STREAM, None, listener.clone()).await.expect("readable");
        assert_eq!(hub.len(), 1);
        hub.deliver(&Arc::new(event(1)));
        assert!(hub.is_empty());
        hub.deliver(&Arc::new(event(2)));
        assert_eq!(heard(&listener), [0, 1]);
        let only_log = ear(1, || ());
        hub.attach(&store, STREAM, None, only_log).await.expect("readable");
        assert!(hub.is_empty());
    }
}
