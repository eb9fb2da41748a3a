//! Handshake URLs, before they are opened.

use portal_core::protocol::handshake::KeyHandshakeUrl;

use crate::error::PortalError;
use crate::limits;
use crate::types::handshake::HandshakeUrlParts;

/// Reads a `portal://` URL, for example to show whose it is before it is opened.
#[uniffi::export]
pub fn parse_handshake_url(url: String) -> Result<HandshakeUrlParts, PortalError> {
    limits::text("the URL", &url, limits::URL)?;
    let url: KeyHandshakeUrl = url.parse()?;
    Ok(url.into())
}
