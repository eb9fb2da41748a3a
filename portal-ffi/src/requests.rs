//! What services ask, as it waits for the person.

use portal_core::client;

use crate::error::PortalError;
use crate::runtime;
use crate::service::stream_id;
use crate::types::request::IncomingRequest;

/// What services ask a person. Survives the process when the client has a database.
#[derive(uniffi::Object)]
pub struct Requests(pub(crate) client::Client);

#[uniffi::export(async_runtime = "tokio")]
impl Requests {
    /// The oldest request that is not handled; waits for one. The same one is given until it is
    /// handled, also after a restart. Nothing when the client has stopped.
    pub async fn next(&self) -> Result<Option<IncomingRequest>, PortalError> {
        let client = self.0.clone();
        runtime::wait(async move { Ok(client.requests().next().await.map(Into::into)) }).await
    }

    /// All requests that are not handled, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<IncomingRequest> {
        self.0.requests().all().into_iter().map(Into::into).collect()
    }

    /// Marks a request as dealt with: it is not given again. Replies can still be sent until it is
    /// over.
    pub async fn handled(&self, id: String) -> Result<(), PortalError> {
        let id = stream_id(&id)?;
        let client = self.0.clone();
        runtime::finish(async move { Ok(client.requests().handled(id).await?) }).await
    }
}
