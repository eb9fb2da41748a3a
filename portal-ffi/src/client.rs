//! The person's side: a wallet app.

use std::sync::Arc;

use portal_core::client;

use crate::error::PortalError;
use crate::keys::Keypair;
use crate::requests::Requests;
use crate::service::{open_store, stream_id};
use crate::types::handshake::{ClientInfo, HandshakeUrlParts};
use crate::types::options::ClientOptions;
use crate::types::relay::RelayStatus;
use crate::types::request::{LoginStatus, PaymentStatus};
use crate::{limits, runtime};

/// A person's wallet on the network. Shut it down before it is let go, so that its file is written.
#[derive(uniffi::Object)]
pub struct Client(client::Client);

#[uniffi::export(async_runtime = "tokio")]
impl Client {
    /// Opens the database, goes on with what was open, and connects. Does not wait for relays.
    #[uniffi::constructor]
    pub async fn start(
        keypair: Arc<Keypair>,
        options: ClientOptions,
    ) -> Result<Arc<Self>, PortalError> {
        let options = options.checked()?;
        let mut builder = client::Client::builder(keypair.key())
            .relays(options.relays)
            .allow_private_relays(options.allow_private_relays);
        if let Some(rates) = options.rates {
            builder = builder.rates(rates);
        }
        let handle = runtime::handle()?.clone();
        runtime::finish(async move {
            let builder = match open_store(options.database).await? {
                Some(store) => builder.store(store),
                None => builder,
            };
            Ok(Arc::new(Self(builder.start(handle).await?)))
        })
        .await
    }

    /// The person's main key, in hex.
    #[must_use]
    pub fn main_key(&self) -> String {
        self.0.main_key().to_hex()
    }

    /// Opens the URL of a service: tells it who we are and where we listen. Done when one of the
    /// service's relays has the message.
    pub async fn send_key_handshake(
        &self,
        url: String,
        app: ClientInfo,
    ) -> Result<HandshakeUrlParts, PortalError> {
        limits::text("the URL", &url, limits::URL)?;
        let app = app.checked()?;
        let client = self.0.clone();
        runtime::finish(async move { Ok(client.handshakes().send(&url, app).await?.into()) }).await
    }

    /// What services ask.
    #[must_use]
    pub fn requests(&self) -> Arc<Requests> {
        Arc::new(Requests(self.0.clone()))
    }

    /// Answers a login. The answer is saved before it is sent, and sent again to whoever asks
    /// again.
    pub async fn reply_login(
        &self,
        request_id: String,
        status: LoginStatus,
    ) -> Result<(), PortalError> {
        let id = stream_id(&request_id)?;
        let status = status.checked()?;
        let client = self.0.clone();
        runtime::finish(async move {
            let replies = client.replies();
            let request = replies.recall(id).await?.ok_or(portal_core::Error::RequestNotFound)?;
            Ok(replies.login(&request, status).await?)
        })
        .await
    }

    /// Tells where a payment stands; once for each status.
    pub async fn reply_payment(
        &self,
        request_id: String,
        status: PaymentStatus,
    ) -> Result<(), PortalError> {
        let id = stream_id(&request_id)?;
        let status = status.checked()?;
        let client = self.0.clone();
        runtime::finish(async move {
            let replies = client.replies();
            let request = replies.recall(id).await?.ok_or(portal_core::Error::RequestNotFound)?;
            Ok(replies.payment(&request, status).await?)
        })
        .await
    }

    /// Every relay that is in use, and how it is.
    #[must_use]
    pub fn relays(&self) -> Vec<RelayStatus> {
        self.0.relays().status().into_iter().map(Into::into).collect()
    }

    /// Stops: connections end, the database is written. False when something did not end within
    /// five seconds. Idempotent.
    pub async fn shutdown(&self) -> Result<bool, PortalError> {
        let client = self.0.clone();
        runtime::finish(async move { Ok(client.shutdown().await) }).await
    }
}
