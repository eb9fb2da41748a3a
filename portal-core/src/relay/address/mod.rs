//! The address of a relay, in one normal form, and what may be connected to.
//!
//! Parsing here is about form only. Whether an address may be dialled is the question that
//! [`AddressPolicy`] answers, before and after the name is resolved.

mod policy;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::{Host, Url};

pub use self::policy::AddressPolicy;

/// The longest address that is read.
const MAX_LENGTH: usize = 512;

/// A relay: a `ws://` or `wss://` URL in normal form, cheap to clone.
///
/// Two spellings of the same place are equal: the scheme and the host are in lower case, a default
/// port, a dot behind the host and a lone slash at the end are gone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayAddress(Arc<str>);

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AddressError {
    /// Longer than any honest address.
    #[error("the address is too long")]
    TooLong,
    /// Not a URL, or one with characters that hide what it names.
    #[error("the address is not a plain url")]
    Malformed,
    /// Neither `ws` nor `wss`.
    #[error("the address is neither ws nor wss")]
    Scheme,
    /// A user name or a password in it.
    #[error("the address contains credentials")]
    Credentials,
    /// A `#fragment` in it.
    #[error("the address contains a fragment")]
    Fragment,
    /// No host, or one in a disguised spelling.
    #[error("the host of the address is missing or disguised")]
    Host,
    /// A port that strangers may not name.
    #[error("the port of the address is not allowed")]
    Port,
    /// Not on the public internet, while only that is allowed.
    #[error("the address is not on the public internet")]
    NotPublic,
    /// The name leads nowhere.
    #[error("the host could not be resolved")]
    Unresolvable,
}

impl RelayAddress {
    /// Reads an address and brings it into normal form.
    ///
    /// # Errors
    /// When it is not a plain `ws` or `wss` URL of at most 512 bytes with a host.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_LENGTH {
            return Err(AddressError::TooLong);
        }
        // The URL parser drops tabs and line ends and turns `\` into `/`: refuse what it would hide.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(AddressError::Malformed);
        }
        let mut url = Url::parse(text).map_err(|error| match error {
            url::ParseError::EmptyHost | url::ParseError::InvalidIpv4Address => AddressError::Host,
            _ => AddressError::Malformed,
        })?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(AddressError::Scheme);
        }
        let written = written_host(text)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(AddressError::Fragment);
        }
        if url.port() == Some(0) {
            return Err(AddressError::Port);
        }
        match url.host() {
            None => return Err(AddressError::Host),
            // `0177.1`, `2130706433` and `0x7f.0.0.1` are the same place as `127.0.0.1`.
            Some(Host::Ipv4(ip)) if ip.to_string() != written => return Err(AddressError::Host),
            Some(Host::Domain(name)) => {
                let bare = name.strip_suffix('.').unwrap_or(name);
                if bare.is_empty() || bare.split('.').any(str::is_empty) {
                    return Err(AddressError::Host);
                }
                if bare.len() != name.len() {
                    let bare = bare.to_owned();
                    url.set_host(Some(&bare)).map_err(|_| AddressError::Host)?;
                }
            }
            Some(_) => {}
        }
        let text = url.as_str();
        let lone_slash = url.path() == "/" && url.query().is_none();
        let text = if lone_slash { text.strip_suffix('/').unwrap_or(text) } else { text };
        // Encoding may have made it longer.
        if text.len() > MAX_LENGTH {
            return Err(AddressError::TooLong);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port to connect to; an IPv6 host comes without brackets.
    #[must_use]
    pub fn host_and_port(&self) -> (String, u16) {
        let url = Url::parse(&self.0).expect("it was parsed when it was made");
        let host = match url.host().expect("it has a host, checked when it was made") {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        (host, url.port_or_known_default().expect("ws and wss have default ports"))
    }
}

/// The host as it was written, without port and credentials, in lower case.
fn written_host(text: &str) -> Result<String, AddressError> {
    let (_, rest) = text.split_once("://").ok_or(AddressError::Malformed)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (credentials, host) = match authority.rsplit_once('@') {
        Some((_, host)) => (true, host),
        None => (false, authority),
    };
    if credentials {
        return Err(AddressError::Credentials);
    }
    if host.starts_with('[') {
        return Ok(host.to_ascii_lowercase());
    }
    let host = host.split(':').next().unwrap_or(host);
    if host.is_empty() {
        return Err(AddressError::Host);
    }
    Ok(host.to_ascii_lowercase())
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayAddress({})", self.0)
    }
}

impl AsRef<str> for RelayAddress {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for RelayAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for RelayAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelayAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_place_are_equal() {
        for (text, normal) in [
            ("wss://relay.example.com", "wss://relay.example.com"),
            ("WSS://Relay.Example.COM/", "wss://relay.example.com"),
            ("wss://relay.example.com:443/", "wss://relay.example.com"),
            ("ws://relay.example.com:80", "ws://relay.example.com"),
            ("ws://relay.example.com:443", "ws://relay.example.com:443"),
            ("wss://relay.example.com.", "wss://relay.example.com"),
            ("wss://relay.example.com/inbox", "wss://relay.example.com/inbox"),
            ("wss://relay.example.com/inbox/", "wss://relay.example.com/inbox/"),
            ("wss://relay.example.com/?a=b", "wss://relay.example.com/?a=b"),
            ("wss://Bücher.example", "wss://xn--bcher-kva.example"),
            ("ws://127.0.0.1:7777/", "ws://127.0.0.1:7777"),
            ("ws://[::1]:7777", "ws://[::1]:7777"),
            ("ws://[0:0:0:0:0:0:0:1]:7777", "ws://[::1]:7777"),
        ] {
            assert_eq!(RelayAddress::parse(text).map(|a| a.to_string()), Ok(normal.to_owned()));
        }
    }

    #[test]
    fn what_is_not_a_plain_relay_url_is_refused() {
        use AddressError as E;
        for (text, error) in [
            ("", E::Malformed),
            ("relay.example.com", E::Malformed),
            ("wss:", E::Host),
            ("wss://", E::Host),
            ("wss:///path", E::Host),
            ("wss://:443", E::Host),
            ("wss:relay.example.com", E::Malformed),
            ("https://relay.example.com", E::Scheme),
            ("file:///etc/passwd", E::Scheme),
            ("javascript:alert(1)", E::Scheme),
            ("wss://user@relay.example.com", E::Credentials),
            ("wss://user:secret@relay.example.com", E::Credentials),
            ("wss://@relay.example.com", E::Credentials),
            ("wss://relay.example.com#x", E::Fragment),
            ("wss://relay.example.com:0", E::Port),
            ("wss://relay.example.com:99999", E::Malformed),
            ("wss://relay .example.com", E::Malformed),
            ("wss://relay.exam\tple.com", E::Malformed),
            ("wss://relay.example.com\n", E::Malformed),
            ("wss:\\\\relay.example.com", E::Malformed),
            ("wss://good.example\\@127.0.0.1", E::Malformed),
            ("wss://.", E::Host),
            ("wss://a..b", E::Host),
            ("wss://2130706433", E::Host),
            ("wss://0177.0.0.1", E::Host),
            ("wss://0x7f.0.0.1", E::Host),
            ("wss://0x7f000001", E::Host),
            ("wss://127.1", E::Host),
            ("wss://127.0.0.1.", E::Host),
            ("wss://127%2e0.0.1", E::Host),
            ("wss://１２７.0.0.1", E::Host),
            ("wss://256.0.0.1", E::Host),
            ("wss://[::1", E::Malformed),
        ] {
            assert_eq!(RelayAddress::parse(text), Err(error), "{text}");
        }
        let long = format!("wss://relay.example.com/{}", "a".repeat(512));
        assert_eq!(RelayAddress::parse(&long), Err(E::TooLong));
    }

    #[test]
    fn json_form_is_the_string_and_is_checked() {
        let address: RelayAddress = serde_json::from_str("\"WSS://A.example/\"").unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), "\"wss://a.example\"");
        assert!(serde_json::from_str::<RelayAddress>("\"http://a.example\"").is_err());
    }

    #[test]
    fn host_and_port_are_ready_to_connect() {
        let of = |text| RelayAddress::parse(text).unwrap().host_and_port();
        assert_eq!(of("wss://a.example"), ("a.example".to_owned(), 443));
        assert_eq!(of("ws://[::1]:7777"), ("::1".to_owned(), 7777));
    }
}
