//! The key handshake: kind 27010, and the URL that leads to it.
//!
//! Only the shapes. Whether a token is known, one-time or static is for
//! [`crate::conversation`]; whether a relay may be connected to is for [`crate::relay`].

use std::borrow::Cow;
use std::fmt;
use std::str::{FromStr, Utf8Error};

use nostr::PublicKey;
use nostr::nips::nip19::{FromBech32, ToBech32};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// No handshake URL is longer than this.
pub const MAX_URL_BYTES: usize = 4096;
/// No handshake URL names more relays than this.
pub const MAX_URL_RELAYS: usize = 32;

const SCHEME: &str = "portal://";
/// How long every npub is.
const NPUB_BYTES: usize = 63;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Kind 27010: "I opened your URL". Whoever signs the event is the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHandshake {
    /// The token of the URL, as it stands there or decoded.
    pub token: String,
    /// The wallet that opened the URL.
    pub client_info: ClientInfo,
    /// Where the person listens. Named by a stranger: to be bounded and guarded before use.
    pub preferred_relays: Vec<String>,
}

/// A wallet's name and version, for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
}

/// `portal://<npub>?relays=…&token=…`: what a service shows and a wallet opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHandshakeUrl {
    main_key: PublicKey,
    relays: Vec<String>,
    token: String,
    subkey: Option<PublicKey>,
    no_request: bool,
}

impl KeyHandshakeUrl {
    /// A URL for a service with this main key. The token is percent-encoded when it has
    /// characters that a URL reserves.
    ///
    /// # Errors
    /// When the token is empty, there is no relay, or a bound is passed; then nobody could open
    /// the URL.
    pub fn new(
        main_key: PublicKey,
        relays: Vec<String>,
        token: &str,
    ) -> Result<Self, HandshakeUrlError> {
        if token.is_empty() {
            return Err(HandshakeUrlError::MissingToken);
        }
        let token = utf8_percent_encode(token, RESERVED).to_string();
        Self { main_key, relays, token, subkey: None, no_request: false }.bounded()
    }

    /// The same URL for a service that runs on a subkey of its main key.
    ///
    /// # Errors
    /// When the URL becomes too long.
    pub fn with_subkey(mut self, subkey: PublicKey) -> Result<Self, HandshakeUrlError> {
        self.subkey = Some(subkey);
        self.bounded()
    }

    /// The same URL, telling the wallet whether to expect no request after the handshake.
    ///
    /// # Errors
    /// When the URL becomes too long.
    pub fn with_no_request(mut self, no_request: bool) -> Result<Self, HandshakeUrlError> {
        if self.no_request == no_request {
            return Ok(self);
        }
        self.no_request = no_request;
        self.bounded()
    }

    /// The main key of the service.
    #[must_use]
    pub const fn main_key(&self) -> PublicKey {
        self.main_key
    }

    /// The subkey that the service runs on, if it does.
    #[must_use]
    pub const fn subkey(&self) -> Option<PublicKey> {
        self.subkey
    }

    /// The key to which the handshake is sealed: the subkey, or else the main key.
    #[must_use]
    pub fn send_to(&self) -> PublicKey {
        self.subkey.unwrap_or(self.main_key)
    }

    /// Where the service listens. Not checked to be URLs.
    #[must_use]
    pub fn relays(&self) -> &[String] {
        &self.relays
    }

    /// The token exactly as it stands in the URL: what deployed wallets echo.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The token percent-decoded; as it stands when that gives no text.
    #[must_use]
    pub fn decoded_token(&self) -> Cow<'_, str> {
        percent_decode_str(&self.token).decode_utf8().unwrap_or(Cow::Borrowed(&self.token))
    }

    /// Whether the service announces that no request follows the handshake.
    #[must_use]
    pub const fn no_request(&self) -> bool {
        self.no_request
    }

    fn bounded(self) -> Result<Self, HandshakeUrlError> {
        if self.relays.is_empty() {
            Err(HandshakeUrlError::NoRelays)
        } else if self.relays.len() > MAX_URL_RELAYS {
            Err(HandshakeUrlError::TooManyRelays)
        } else if self.length() > MAX_URL_BYTES {
            Err(HandshakeUrlError::TooLong)
        } else {
            Ok(self)
        }
    }
}

impl KeyHandshakeUrl {
    /// How long the text is.
    fn length(&self) -> usize {
        struct Count(usize);
        impl fmt::Write for Count {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0 = self.0.saturating_add(text.len());
                Ok(())
            }
        }
        let mut count = Count(0);
        // An npub of any key is as long as this, and takes longer to encode than all the rest.
        match self.write(&mut count, |_| "0".repeat(NPUB_BYTES)) {
            Ok(()) => count.0,
            Err(fmt::Error) => usize::MAX,
        }
    }

    fn write(&self, f: &mut impl fmt::Write, npub: fn(&PublicKey) -> String) -> fmt::Result {
        write!(f, "{SCHEME}{}?relays=", npub(&self.main_key))?;
        for (place, relay) in self.relays.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{}", utf8_percent_encode(relay, RESERVED))?;
        }
        write!(f, "&token={}", self.token)?;
        if let Some(subkey) = &self.subkey {
            write!(f, "&subkey={}", npub(subkey))?;
        }
        if self.no_request {
            f.write_str("&no_request=true")?;
        } else if self.subkey.is_none() && self.token.ends_with(char::is_whitespace) {
            // Readers trim what they read: keep the end of the token from that.
            f.write_str("&no_request=false")?;
        }
        Ok(())
    }
}

impl fmt::Display for KeyHandshakeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, npub)
    }
}

impl FromStr for KeyHandshakeUrl {
    type Err = HandshakeUrlError;

    /// Reads a URL as deployed wallets do: unknown parameters are ignored, of repeated ones the
    /// last counts, one without `=` is an error.
    fn from_str(text: &str) -> Result<Self, HandshakeUrlError> {
        let text = text.trim();
        if text.len() > MAX_URL_BYTES {
            return Err(HandshakeUrlError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(HandshakeUrlError::InvalidProtocol)?;
        let (main_key, query) = rest.split_once('?').ok_or(HandshakeUrlError::MissingQuery)?;
        let main_key = parse_npub(main_key)?;

        let (mut relays, mut token, mut subkey, mut no_request) = (None, None, None, None);
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').ok_or(HandshakeUrlError::MissingValue)?;
            match name {
                "relays" => relays = Some(value),
                "token" => token = Some(value),
                "subkey" => subkey = Some(value),
                "no_request" => no_request = Some(value),
                _ => {}
            }
        }
        let token = token.ok_or(HandshakeUrlError::MissingToken)?;
        let relays = relays.ok_or(HandshakeUrlError::NoRelays)?;
        if relays.split(',').count() > MAX_URL_RELAYS {
            return Err(HandshakeUrlError::TooManyRelays);
        }
        let relays = relays
            .split(',')
            .map(|relay| match percent_decode_str(relay).decode_utf8() {
                Ok(relay) => Ok(relay.into_owned()),
                Err(source) => Err(HandshakeUrlError::InvalidRelayUrl { source }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            main_key,
            relays,
            token: token.to_owned(),
            subkey: subkey.map(parse_npub).transpose()?,
            no_request: no_request == Some("true"),
        })
    }
}

/// A public key in the form for people.
#[must_use]
pub fn npub(key: &PublicKey) -> String {
    match key.to_bech32() {
        Ok(text) => text,
        Err(never) => match never {},
    }
}

/// Reads an npub and makes sure that it names a point of the curve.
fn parse_npub(text: &str) -> Result<PublicKey, HandshakeUrlError> {
    let key = PublicKey::from_bech32(text).map_err(|_| HandshakeUrlError::InvalidBech32)?;
    key.xonly().map_err(|_| HandshakeUrlError::InvalidKey)?;
    Ok(key)
}

/// Why a text is not a handshake URL. The texts start as those that deployed peers know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeUrlError {
    /// It does not start with `portal://`.
    #[error("Invalid protocol")]
    InvalidProtocol,
    /// It has no `?`.
    #[error("Missing query parameters")]
    MissingQuery,
    /// A parameter has no `=`.
    #[error("Invalid query parameter: missing value")]
    MissingValue,
    /// There is no token.
    #[error("Missing required parameter: token")]
    MissingToken,
    /// There are no relays.
    #[error("No relays specified")]
    NoRelays,
    /// A relay is not UTF-8 once decoded.
    #[error("Invalid relay URL: {source}")]
    InvalidRelayUrl {
        /// Where it stops being UTF-8.
        source: Utf8Error,
    },
    /// A key is not an npub.
    #[error("Invalid bech32: not an npub")]
    InvalidBech32,
    /// A key is an npub, but of no point of the curve.
    #[error("Invalid bech32: not a public key")]
    InvalidKey,
    /// Longer than [`MAX_URL_BYTES`].
    #[error("Invalid handshake URL: longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// More relays than [`MAX_URL_RELAYS`].
    #[error("Invalid handshake URL: more than {MAX_URL_RELAYS} relays")]
    TooManyRelays,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn key() -> PublicKey {
        PublicKey::from_hex(KEY).expect("a key")
    }

    fn relays(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("wss://r{number}.example.com/a,b?c=d&e")).collect()
    }

    #[test]
    fn a_static_token_with_reserved_characters_survives() {
        let url = KeyHandshakeUrl::new(key(), relays(2), "table-14 & co/ü=").expect("in bounds");
        assert_eq!(url.token(), "table-14%20%26%20co%2F%C3%BC%3D");
        let parsed: KeyHandshakeUrl = url.to_string().parse().expect("legal");
        assert_eq!(parsed, url);
        assert_eq!(parsed.decoded_token(), "table-14 & co/ü=");
        assert_eq!(parsed.relays(), relays(2));
        let plain = KeyHandshakeUrl::new(key(), relays(1), "A1b2.-_~").expect("in bounds");
        assert_eq!(plain.token(), "A1b2.-_~", "unreserved characters stay");
    }

    #[test]
    fn a_token_that_decodes_to_no_text_is_itself() {
        let url = KeyHandshakeUrl::new(key(), relays(1), "x").expect("in bounds").to_string();
        let parsed: KeyHandshakeUrl = url.replace("token=x", "token=%FF").parse().expect("legal");
        assert_eq!((parsed.token(), &*parsed.decoded_token()), ("%FF", "%FF"));
    }

    #[test]
    fn a_token_that_ends_in_space_keeps_it() {
        let url = KeyHandshakeUrl::new(key(), relays(1), "x").expect("in bounds").to_string();
        let parsed: KeyHandshakeUrl =
            url.replace("token=x", "token=x \n&other=").parse().expect("legal");
        assert_eq!(parsed.token(), "x \n");
        assert_eq!(parsed.to_string().parse(), Ok(parsed));
    }

    #[test]
    fn the_handshake_goes_to_the_subkey_when_there_is_one() {
        let url = KeyHandshakeUrl::new(key(), relays(1), "x").expect("in bounds");
        assert_eq!(url.send_to(), key());
        let subkey = nostr::Keys::parse(&format!("{:064x}", 2)).expect("a key").public_key();
        let url = url.with_subkey(subkey).expect("in bounds");
        let url = url.with_no_request(true).expect("in bounds");
        let parsed: KeyHandshakeUrl = url.to_string().parse().expect("legal");
        assert_eq!(parsed.send_to(), subkey);
        assert_eq!(parsed.subkey(), Some(subkey));
        assert!(parsed.no_request());
    }

    #[test]
    fn the_length_is_that_of_the_text() {
        let subkey = nostr::Keys::parse(&format!("{:064x}", 2)).expect("a key").public_key();
        for token in ["x", "table-14 & co/ü="] {
            let url = KeyHandshakeUrl::new(key(), relays(3), token).expect("in bounds");
            assert_eq!(url.length(), url.to_string().len());
            let url = url.with_subkey(subkey).and_then(|url| url.with_no_request(true));
            let url = url.expect("in bounds");
            assert_eq!(url.length(), url.to_string().len());
        }
    }

    #[test]
    fn counts_and_lengths_are_bounded_both_ways() {
        use HandshakeUrlError as E;
        assert_eq!(KeyHandshakeUrl::new(key(), relays(1), ""), Err(E::MissingToken));
        assert_eq!(KeyHandshakeUrl::new(key(), Vec::new(), "x"), Err(E::NoRelays));
        assert_eq!(KeyHandshakeUrl::new(key(), relays(33), "x"), Err(E::TooManyRelays));
        assert!(KeyHandshakeUrl::new(key(), relays(32), "x").is_ok());
        let long = "x".repeat(MAX_URL_BYTES);
        assert_eq!(KeyHandshakeUrl::new(key(), relays(1), &long), Err(E::TooLong));
        let url = KeyHandshakeUrl::new(key(), relays(1), "x").expect("in bounds").to_string();
        assert_eq!(format!("{url}{long}").parse::<KeyHandshakeUrl>(), Err(E::TooLong));
        let commas = format!("{url}&relays={}", ",".repeat(32));
        assert_eq!(commas.parse::<KeyHandshakeUrl>(), Err(E::TooManyRelays));
    }

    #[test]
    fn a_key_that_is_no_point_of_the_curve_is_refused() {
        let bad = PublicKey::from_byte_array([0xff; 32]);
        let url = KeyHandshakeUrl::new(bad, relays(1), "x").expect("in bounds").to_string();
        assert_eq!(url.parse::<KeyHandshakeUrl>(), Err(HandshakeUrlError::InvalidKey));
    }
}
