//! The person's side: a wallet app.

use napi::bindgen_prelude::PromiseRaw;
use napi::{Env, Result};
use napi_derive::napi;
use portal_core::client;
use tokio::runtime::Handle;

use crate::error::failed;
use crate::events::Requests;
use crate::keys::Keypair;
use crate::limits;
use crate::service::{open_store, stream_id};
use crate::types::handshake::{ClientInfo, HandshakeUrlParts};
use crate::types::options::StartOptions;
use crate::types::relay::RelayStatus;
use crate::types::request::{LoginStatus, PaymentStatus};

/// A person's wallet on the network. Shut it down at the end: until then it keeps working, and its
/// file stays open.
#[napi]
pub struct Client(client::Client);

#[napi]
impl Client {
    /// Opens the database, goes on with what was open, and connects. Does not wait for relays.
    #[napi]
    pub fn start<'env>(
        env: &'env Env,
        keypair: &Keypair,
        options: StartOptions,
    ) -> Result<PromiseRaw<'env, Client>> {
        let key = keypair.key();
        env.spawn_future(async move {
            let options = options.checked()?;
            let builder = client::Client::builder(key)
                .relays(options.relays)
                .allow_private_relays(options.allow_private_relays);
            let builder = match options.rates {
                Some(rates) => builder.rates(rates),
                None => builder,
            };
            let builder = match open_store(options.database).await? {
                Some(store) => builder.store(store),
                None => builder,
            };
            Ok(Self(builder.start(Handle::current()).await.map_err(failed)?))
        })
    }

    /// The person's main key, in hex.
    #[napi]
    #[must_use]
    pub fn main_key(&self) -> String {
        self.0.main_key().to_hex()
    }

    /// Opens the URL of a service: tells it who we are and where we listen. Done when one of the
    /// service's relays has the message.
    #[napi]
    pub async fn send_key_handshake(
        &self,
        url: String,
        app: ClientInfo,
    ) -> Result<HandshakeUrlParts> {
        limits::text("the URL", &url, limits::URL)?;
        let app = app.checked()?;
        Ok(self.0.handshakes().send(&url, app).await.map_err(failed)?.into())
    }

    /// What services ask.
    #[napi]
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests(self.0.clone())
    }

    /// Answers a login. The answer is saved before it is sent, and sent again to whoever asks
    /// again.
    #[napi]
    pub async fn reply_login(&self, request_id: String, status: LoginStatus) -> Result<()> {
        let (request, status) = (self.recall(&request_id).await?, status.checked()?);
        self.0.replies().login(&request, status).await.map_err(failed)
    }

    /// Tells where a payment stands; once for each status.
    #[napi]
    pub async fn reply_payment(&self, request_id: String, status: PaymentStatus) -> Result<()> {
        let (request, status) = (self.recall(&request_id).await?, status.checked()?);
        self.0.replies().payment(&request, status).await.map_err(failed)
    }

    /// Every relay that is in use, and how it is.
    #[napi]
    #[must_use]
    pub fn relays(&self) -> Vec<RelayStatus> {
        self.0.relays().status().into_iter().map(Into::into).collect()
    }

    /// Stops: connections end, the database is written. False when something did not end within
    /// five seconds. Idempotent.
    #[napi]
    pub async fn shutdown(&self) -> bool {
        self.0.shutdown().await
    }

    async fn recall(&self, id: &str) -> Result<client::IncomingRequest> {
        let request = self.0.replies().recall(stream_id(id)?).await.map_err(failed)?;
        request.ok_or_else(|| failed(portal_core::Error::RequestNotFound))
    }
}
