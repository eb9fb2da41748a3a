//! The merchant's side.

use std::path::PathBuf;
use std::sync::Arc;

use portal_core::primitives::{ErrorCode as Code, StreamId};
use portal_core::service::{self, Call, Recipient};
use portal_core::storage::Store;
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};

use crate::error::PortalError;
use crate::keys::{Keypair, public_key};
use crate::streams::EventStream;
use crate::types::handshake::{HandshakeOpened, HandshakeOptions};
use crate::types::options::ServiceOptions;
use crate::types::payment::SinglePaymentContent;
use crate::types::relay::RelayStatus;
use crate::{limits, runtime};

/// A merchant on the network. Calls that wait for a person open a stream and return its id; read
/// it with `stream`. Shut the service down before it is let go, so that its file is written.
#[derive(uniffi::Object)]
pub struct Service(service::Service);

#[uniffi::export(async_runtime = "tokio")]
impl Service {
    /// Opens the database, goes on with what was open, and connects. Does not wait for relays.
    #[uniffi::constructor]
    pub async fn start(
        keypair: Arc<Keypair>,
        options: ServiceOptions,
    ) -> Result<Arc<Self>, PortalError> {
        let (options, wallet) = options.checked()?;
        let mut builder = service::Service::builder(keypair.key())
            .relays(options.relays)
            .allow_private_relays(options.allow_private_relays);
        if let Some(rates) = options.rates {
            builder = builder.rates(rates);
        }
        if let Some(wallet) = wallet {
            builder = builder.wallet(wallet.port());
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

    /// The key people know it by, in hex.
    #[must_use]
    pub fn main_key(&self) -> String {
        self.0.main_key().to_hex()
    }

    /// Makes a URL that a person's wallet opens. Key handshakes appear on its stream.
    pub async fn new_key_handshake_url(
        &self,
        options: HandshakeOptions,
    ) -> Result<HandshakeOpened, PortalError> {
        let new = options.checked()?;
        let service = self.0.clone();
        runtime::finish(async move {
            Ok(service.logins().handshake_url(new, Call::default()).await?.into())
        })
        .await
    }

    /// Asks a person to prove who they are. The stream ends with the answer.
    pub async fn authenticate_key(
        &self,
        main_key: String,
        subkeys: Vec<String>,
    ) -> Result<String, PortalError> {
        let recipient = recipient(&main_key, &subkeys)?;
        let service = self.0.clone();
        runtime::finish(async move {
            let opened = service.logins().authenticate(recipient, Call::default()).await?;
            Ok(opened.stream.to_string())
        })
        .await
    }

    /// Asks a person for money: makes an invoice, sends it, watches the wallet. The stream ends
    /// when the wallet has the money, or when it cannot come any more.
    pub async fn request_single_payment(
        &self,
        main_key: String,
        subkeys: Vec<String>,
        content: SinglePaymentContent,
    ) -> Result<String, PortalError> {
        let recipient = recipient(&main_key, &subkeys)?;
        let new = content.checked()?;
        let service = self.0.clone();
        runtime::finish(async move {
            let call = Call::default();
            let opened = service.payments().request_single(recipient, new, call).await?;
            Ok(opened.stream.to_string())
        })
        .await
    }

    /// Reads a stream from behind this index, or from its first event. Streams outlive the
    /// process when there is a database: keep the id, and the cursor with it.
    pub async fn stream(
        &self,
        stream_id: String,
        after: Option<u64>,
    ) -> Result<Arc<EventStream>, PortalError> {
        let id = self::stream_id(&stream_id)?;
        let service = self.0.clone();
        runtime::wait(async move {
            Ok(Arc::new(EventStream::new(service.streams().reader(id, after).await?)))
        })
        .await
    }

    /// Every relay that is in use, and how it is.
    #[must_use]
    pub fn relays(&self) -> Vec<RelayStatus> {
        self.0.relays().status().into_iter().map(Into::into).collect()
    }

    /// Stops: what is durable is told, connections end, the database is written. False when
    /// something did not end within five seconds. Idempotent.
    pub async fn shutdown(&self) -> Result<bool, PortalError> {
        let service = self.0.clone();
        runtime::finish(async move { Ok(service.shutdown().await) }).await
    }
}

/// The id of a stream or of a request.
pub(crate) fn stream_id(text: &str) -> Result<StreamId, PortalError> {
    limits::text("the id", text, limits::NAME)?;
    text.parse().map_err(|_| PortalError::new(Code::StreamNotFound, "there is no such stream"))
}

/// The store in this file, if any.
pub(crate) async fn open_store(
    path: Option<PathBuf>,
) -> Result<Option<Arc<dyn Store>>, PortalError> {
    let Some(path) = path else { return Ok(None) };
    runtime::block(move || {
        let store = SqliteStore::open(&path, SqliteOptions::default())?;
        Ok(Some(Arc::new(store) as Arc<dyn Store>))
    })
    .await
}

fn recipient(main_key: &str, subkeys: &[String]) -> Result<Recipient, PortalError> {
    limits::list("subkeys", subkeys, limits::SUBKEYS, limits::KEY)?;
    Ok(Recipient {
        main_key: public_key(main_key)?,
        subkeys: subkeys.iter().map(|key| public_key(key)).collect::<Result<_, _>>()?,
    })
}
