//! The merchant's side.

use std::path::PathBuf;
use std::sync::Arc;

use napi::bindgen_prelude::PromiseRaw;
use napi::{Env, Result};
use napi_derive::napi;
use portal_core::primitives::{ErrorCode, StreamId};
use portal_core::service::{self, Call, Recipient};
use portal_core::storage::Store;
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};
use tokio::runtime::Handle;

use crate::error::{error, failed};
use crate::events::EventStream;
use crate::keys::{Keypair, public_key};
use crate::limits;
use crate::types::handshake::{HandshakeOpened, HandshakeOptions};
use crate::types::options::StartOptions;
use crate::types::payment::SinglePaymentContent;
use crate::types::relay::RelayStatus;
use crate::wallet::Wallet;

/// A merchant on the network. Calls that wait for a person open a stream and return its id; read
/// it with `stream`. Shut the service down at the end: until then it keeps working, and its file
/// stays open.
#[napi]
pub struct Service(service::Service);

#[napi]
impl Service {
    /// Opens the database, goes on with what was open, and connects. Does not wait for relays.
    /// The wallet makes invoices and says what is paid; it is needed for payments only.
    #[napi]
    pub fn start<'env>(
        env: &'env Env,
        keypair: &Keypair,
        options: StartOptions,
        wallet: Option<&Wallet>,
    ) -> Result<PromiseRaw<'env, Service>> {
        let mut builder = service::Service::builder(keypair.key());
        if let Some(wallet) = wallet {
            builder = builder.wallet(wallet.port());
        }
        env.spawn_future(async move {
            let options = options.checked()?;
            let builder =
                builder.relays(options.relays).allow_private_relays(options.allow_private_relays);
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

    /// The key people know it by, in hex.
    #[napi]
    #[must_use]
    pub fn main_key(&self) -> String {
        self.0.main_key().to_hex()
    }

    /// Makes a URL that a person's wallet opens. Key handshakes appear on its stream.
    #[napi]
    pub async fn new_key_handshake_url(
        &self,
        options: HandshakeOptions,
    ) -> Result<HandshakeOpened> {
        let new = options.checked()?;
        Ok(self.0.logins().handshake_url(new, Call::default()).await.map_err(failed)?.into())
    }

    /// Asks a person to prove who they are. The stream ends with the answer.
    #[napi]
    pub async fn authenticate_key(&self, main_key: String, subkeys: Vec<String>) -> Result<String> {
        let recipient = recipient(&main_key, &subkeys)?;
        let opened = self.0.logins().authenticate(recipient, Call::default()).await;
        Ok(opened.map_err(failed)?.stream.to_string())
    }

    /// Asks a person for money: makes an invoice, sends it, watches the wallet. The stream ends
    /// when the wallet has the money, or when it cannot come any more.
    #[napi]
    pub async fn request_single_payment(
        &self,
        main_key: String,
        subkeys: Vec<String>,
        content: SinglePaymentContent,
    ) -> Result<String> {
        let recipient = recipient(&main_key, &subkeys)?;
        let new = content.checked()?;
        let opened = self.0.payments().request_single(recipient, new, Call::default()).await;
        Ok(opened.map_err(failed)?.stream.to_string())
    }

    /// Reads a stream from behind this index, or from its first event. Streams outlive the
    /// process when there is a database: keep the id, and the cursor with it.
    #[napi]
    pub async fn stream(&self, stream_id: String, after: Option<i64>) -> Result<EventStream> {
        let id = self::stream_id(&stream_id)?;
        let after = after.map(limits::index).transpose()?;
        Ok(EventStream(self.0.streams().reader(id, after).await.map_err(failed)?))
    }

    /// Every relay that is in use, and how it is.
    #[napi]
    #[must_use]
    pub fn relays(&self) -> Vec<RelayStatus> {
        self.0.relays().status().into_iter().map(Into::into).collect()
    }

    /// Stops: what is durable is told, connections end, the database is written. False when
    /// something did not end within five seconds. Idempotent.
    #[napi]
    pub async fn shutdown(&self) -> bool {
        self.0.shutdown().await
    }
}

/// The id of a stream or of a request.
pub(crate) fn stream_id(text: &str) -> Result<StreamId> {
    limits::text("the id", text, limits::NAME)?;
    text.parse().map_err(|_| error(ErrorCode::StreamNotFound, "there is no such stream"))
}

/// The store in this file, if any.
pub(crate) async fn open_store(path: Option<PathBuf>) -> Result<Option<Arc<dyn Store>>> {
    let Some(path) = path else { return Ok(None) };
    let opening =
        tokio::task::spawn_blocking(move || SqliteStore::open(&path, SqliteOptions::default()));
    let store = opening.await.map_err(|cause| {
        tracing::error!(panic = cause.is_panic(), "opening a database died");
        error(ErrorCode::Internal, "a task of the addon died")
    })?;
    Ok(Some(Arc::new(store.map_err(failed)?)))
}

fn recipient(main_key: &str, subkeys: &[String]) -> Result<Recipient> {
    limits::list("subkeys", subkeys, limits::SUBKEYS, limits::KEY)?;
    Ok(Recipient {
        main_key: public_key(main_key)?,
        subkeys: subkeys.iter().map(|key| public_key(key)).collect::<Result<_>>()?,
    })
}
