//! What waits to be dealt with: requests of a client, events of a service's streams.

use napi::Result;
use napi_derive::napi;
use portal_core::client;
use portal_core::service::EventReader;

use crate::error::failed;
use crate::limits;
use crate::service::stream_id;
use crate::types::event::StreamEvent;
use crate::types::request::IncomingRequest;

/// What services ask a person. Survives the process when the client has a database.
#[napi]
pub struct Requests(pub(crate) client::Client);

#[napi]
impl Requests {
    /// The oldest request that is not handled; waits for one. The same one is given until it is
    /// handled, also after a restart. `null` when the client has stopped.
    #[napi]
    pub async fn next(&self) -> Option<IncomingRequest> {
        self.0.requests().next().await.map(Into::into)
    }

    /// All requests that are not handled, oldest first.
    #[napi]
    #[must_use]
    pub fn all(&self) -> Vec<IncomingRequest> {
        self.0.requests().all().into_iter().map(Into::into).collect()
    }

    /// Marks a request as dealt with: it is not given again. Replies can still be sent until it is
    /// over.
    #[napi]
    pub async fn handled(&self, id: String) -> Result<()> {
        let id = stream_id(&id)?;
        self.0.requests().handled(id).await.map_err(failed)
    }
}

/// The events of a stream in order, each one until it is acknowledged.
#[napi]
pub struct EventStream(pub(crate) EventReader);

#[napi]
impl EventStream {
    /// The stream's id.
    #[napi]
    #[must_use]
    pub fn stream_id(&self) -> String {
        self.0.stream().to_string()
    }

    /// The first event that is not acknowledged; waits for one. `null` when the stream has ended
    /// and all of it is acknowledged.
    #[napi]
    pub async fn next(&self) -> Result<Option<StreamEvent>> {
        Ok(self.0.next().await.map_err(failed)?.map(Into::into))
    }

    /// Everything up to this index is done; `next` goes on behind it. What was not given yet is
    /// not skipped.
    #[napi]
    pub fn acknowledge(&self, index: i64) -> Result<()> {
        self.0.acknowledge(limits::index(index)?);
        Ok(())
    }

    /// The last index that was acknowledged: where to go on after a restart.
    #[napi]
    #[must_use]
    pub fn cursor(&self) -> Option<i64> {
        self.0.cursor().map(|index| i64::try_from(index).unwrap_or(i64::MAX))
    }
}
