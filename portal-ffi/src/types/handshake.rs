//! Handshakes.

use portal_core::protocol::handshake::{self, KeyHandshakeUrl};
use portal_core::service::{self, NewHandshake};

use crate::error::PortalError;
use crate::limits;

/// What a `portal://` URL says.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct HandshakeUrlParts {
    /// The service.
    pub main_key: String,
    /// The key that listens, when it is another one.
    pub subkey: Option<String>,
    /// Where the service listens.
    pub relays: Vec<String>,
    /// Proves to the service that the URL was seen.
    pub token: String,
    /// Whether no request follows.
    pub no_request: bool,
}

impl From<KeyHandshakeUrl> for HandshakeUrlParts {
    fn from(url: KeyHandshakeUrl) -> Self {
        Self {
            main_key: url.main_key().to_hex(),
            subkey: url.subkey().map(|key| key.to_hex()),
            relays: url.relays().to_vec(),
            token: url.token().to_owned(),
            no_request: url.no_request(),
        }
    }
}

/// The app that opens a URL, for display.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ClientInfo {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
}

impl ClientInfo {
    pub(crate) fn checked(self) -> Result<handshake::ClientInfo, PortalError> {
        let Self { name, version } = self;
        limits::text("the app's name", &name, limits::NAME)?;
        limits::at_most("the app's version", &version, limits::NAME)?;
        Ok(handshake::ClientInfo { name, version })
    }
}

/// A URL to make.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct HandshakeOptions {
    /// A token of the merchant's own, for a URL that is printed: everyone may open it, until it is
    /// revoked. Without one the URL is for one person and five minutes.
    #[uniffi(default = None)]
    pub static_token: Option<String>,
    /// Tells the wallet that no request follows.
    #[uniffi(default = false)]
    pub no_request: bool,
}

impl HandshakeOptions {
    pub(crate) fn checked(self) -> Result<NewHandshake, PortalError> {
        let Self { static_token, no_request } = self;
        if let Some(token) = &static_token {
            limits::text("the static token", token, limits::NAME)?;
        }
        Ok(NewHandshake { static_token, no_request })
    }
}

/// A URL to show.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct HandshakeOpened {
    /// What a wallet opens.
    pub url: String,
    /// The stream on which key handshakes appear.
    pub stream_id: String,
    /// Whether it was made before, for the same static token.
    pub repeated: bool,
    /// The last event that was on the stream already: read from behind it to hear only what is new.
    pub last_index: Option<u64>,
}

impl From<service::HandshakeOpened> for HandshakeOpened {
    fn from(opened: service::HandshakeOpened) -> Self {
        let service::HandshakeOpened { url, stream, repeated, last_index } = opened;
        Self { url, stream_id: stream.to_string(), repeated, last_index }
    }
}
