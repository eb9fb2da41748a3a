//! What happens on a service's streams, event by event.

use std::sync::Arc;

use portal_core::service::EventReader;

use crate::error::PortalError;
use crate::runtime;
use crate::types::event::StreamEvent;

/// The events of a stream in order, each one until it is acknowledged.
#[derive(uniffi::Object)]
pub struct EventStream(Arc<EventReader>);

impl EventStream {
    pub(crate) fn new(reader: EventReader) -> Self {
        Self(Arc::new(reader))
    }
}

#[uniffi::export(async_runtime = "tokio")]
impl EventStream {
    /// The stream's id.
    #[must_use]
    pub fn stream_id(&self) -> String {
        self.0.stream().to_string()
    }

    /// The first event that is not acknowledged; waits for one. Nothing when the stream has ended
    /// and all of it is acknowledged.
    pub async fn next(&self) -> Result<Option<StreamEvent>, PortalError> {
        let reader = self.0.clone();
        runtime::wait(async move { Ok(reader.next().await?.map(Into::into)) }).await
    }

    /// Everything up to this index is done; `next` goes on behind it. What was not given yet is
    /// not skipped.
    pub fn acknowledge(&self, index: u64) {
        self.0.acknowledge(index);
    }

    /// The last index that was acknowledged: where to go on after a restart.
    #[must_use]
    pub fn cursor(&self) -> Option<u64> {
        self.0.cursor()
    }
}
