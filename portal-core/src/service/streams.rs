//! The logs of streams: reading, listening, waiting.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{EventReader, EventSink};
use crate::driver::Node;
use crate::error::Error;
use crate::event::{PortalEvent, StreamEvent};
use crate::primitives::{ErrorCode, StreamId};
use crate::storage::StreamInfo;

/// The logs of streams.
#[derive(Clone, Copy)]
pub struct Streams<'a>(pub(super) &'a Node);

impl Streams<'_> {
    /// Events with an index above `after`, from the first when `None`, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn events(
        &self,
        stream: StreamId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StreamEvent>, Error> {
        Ok(self.0.store().events(stream, after, limit).await?)
    }

    /// Where a stream stands.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn info(&self, stream: StreamId) -> Result<Option<StreamInfo>, Error> {
        Ok(self.0.store().stream(stream).await?)
    }

    /// Attaches a listener: the log after `after` first, then what happens; each index once.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`], or when the store cannot be read.
    ///
    /// # Cancel safety
    /// When dropped half way the listener is detached at its next event.
    pub async fn attach(
        &self,
        stream: StreamId,
        after: Option<u64>,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        if self.info(stream).await?.is_none() {
            return Err(Error::StreamNotFound);
        }
        Ok(self.0.hub().attach(self.0.store(), stream, after, sink).await?)
    }

    /// Reads a stream event by event, from behind `after`, or from its first event when `None`.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`], or when the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn reader(&self, stream: StreamId, after: Option<u64>) -> Result<EventReader, Error> {
        EventReader::open(self.0, stream, after).await
    }

    /// Detaches a listener.
    pub fn detach(&self, stream: StreamId, sink: &Arc<dyn EventSink>) {
        self.0.hub().detach(stream, sink);
    }

    /// Waits for the event that ends the stream; it may have happened long ago.
    ///
    /// # Errors
    /// [`Error::Ended`] when the stream ends without what it was for.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn wait(&self, stream: StreamId) -> Result<PortalEvent, Error> {
        wait(self.0, stream).await
    }
}

/// Waits for the event that ends a stream.
pub(crate) async fn wait(node: &Node, stream: StreamId) -> Result<PortalEvent, Error> {
    let (sender, mut events) = mpsc::unbounded_channel();
    Streams(node).attach(stream, None, Arc::new(Forward(sender))).await?;
    while let Some(event) = events.recv().await {
        if let PortalEvent::Error { code, reason } = &event.body {
            return Err(Error::Ended { code: *code, reason: reason.clone() });
        }
        if event.body.is_final() {
            return Ok(event.body.clone());
        }
    }
    Err(Error::Ended {
        code: ErrorCode::NotFound,
        reason: "the stream ended without a last event".to_owned(),
    })
}

struct Forward(mpsc::UnboundedSender<Arc<StreamEvent>>);

impl EventSink for Forward {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        self.0.send(event.clone()).is_ok()
    }
}
