//! Names of the form `name@domain` (NIP-05), and the document in which a domain vouches for
//! them.
//!
//! Pure: whoever fetches the document must guard the address, refuse redirects and bound the
//! body.

use std::fmt;
use std::str::FromStr;

use nostr::PublicKey;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

/// No name or domain is longer than this.
pub const MAX_NAME_BYTES: usize = 255;
/// A longer document is not read.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// More relays of one key are not read.
pub const MAX_RELAYS: usize = 32;

/// A name at a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nip05Name {
    name: String,
    url: Url,
}

impl Nip05Name {
    /// The part before the `@`, in small letters; `_` when there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part after the `@`, with the port if one is given.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.url.authority()
    }

    /// Where the domain vouches for the name.
    #[must_use]
    pub const fn well_known_url(&self) -> &Url {
        &self.url
    }

    /// Reads the document: which key has this name, and where to reach it.
    ///
    /// # Errors
    /// When the document is not one of NIP-05, or does not have the name.
    pub fn check(&self, document: &[u8]) -> Result<Nip05Entry, Nip05Error> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(Nip05Error::TooLong);
        }
        // Entries of other names are none of our business, whatever they are.
        #[derive(Deserialize)]
        struct Document {
            names: Map<String, Value>,
            #[serde(default)]
            relays: Option<Map<String, Value>>,
            #[serde(default)]
            nip46: Option<Map<String, Value>>,
        }
        let document: Document =
            serde_json::from_slice(document).map_err(|_| Nip05Error::MalformedDocument)?;
        let entry = document.names.get(&self.name).ok_or(Nip05Error::UnknownName)?;
        let hex = entry.as_str().ok_or(Nip05Error::InvalidKey)?;
        let public_key = PublicKey::from_hex(hex).map_err(|_| Nip05Error::InvalidKey)?;
        public_key.xonly().map_err(|_| Nip05Error::InvalidKey)?;
        let list = |map: Option<Map<String, Value>>| {
            map.as_ref().and_then(|map| map.get(hex)).map(relays).unwrap_or_default()
        };
        Ok(Nip05Entry { public_key, relays: list(document.relays), nip46: list(document.nip46) })
    }
}

/// The texts of a list; anything else is left out.
fn relays(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.take(MAX_RELAYS).map(str::to_owned).collect()
}

impl FromStr for Nip05Name {
    type Err = Nip05Error;

    /// Reads `name@domain`, or `domain` for the name `_`.
    fn from_str(text: &str) -> Result<Self, Nip05Error> {
        let text = text.trim();
        if text.len() > MAX_NAME_BYTES {
            return Err(Nip05Error::TooLong);
        }
        let (name, domain) = text.split_once('@').unwrap_or(("_", text));
        let name = name.to_ascii_lowercase();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(legal) {
            return Err(Nip05Error::InvalidName);
        }
        // Nothing that could lead the parser of URLs to read more than a host and a port.
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        if domain.is_empty() || !domain.bytes().all(legal) {
            return Err(Nip05Error::InvalidDomain);
        }
        let mut url = Url::parse(&format!("https://{domain}/.well-known/nostr.json"))
            .map_err(|_| Nip05Error::InvalidDomain)?;
        url.query_pairs_mut().append_pair("name", &name);
        Ok(Self { name, url })
    }
}

impl fmt::Display for Nip05Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.domain())
    }
}

/// What a domain says about a name. The relays are named by a stranger: to be guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nip05Entry {
    /// The key that has the name.
    pub public_key: PublicKey,
    /// Where it can be reached, at most [`MAX_RELAYS`].
    pub relays: Vec<String>,
    /// Where its remote signer can be reached, at most [`MAX_RELAYS`].
    pub nip46: Vec<String>,
}

/// Why a name or its document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nip05Error {
    /// Longer than [`MAX_NAME_BYTES`] or [`MAX_DOCUMENT_BYTES`].
    #[error("the name or the document is too long")]
    TooLong,
    /// The name has characters other than `a-z0-9-_.`.
    #[error("the part before the @ is not a name")]
    InvalidName,
    /// The domain is not a host with an optional port.
    #[error("the part after the @ is not a domain")]
    InvalidDomain,
    /// The document is not JSON with `names`.
    #[error("the document is not one of NIP-05")]
    MalformedDocument,
    /// The document does not have the name.
    #[error("the domain does not know the name")]
    UnknownName,
    /// The document gives no public key for the name.
    #[error("the domain gives an invalid key for the name")]
    InvalidKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn name(text: &str) -> Nip05Name {
        text.parse().expect("a name")
    }

    #[test]
    fn a_name_leads_to_its_well_known_url() {
        let alice = name(" Alice@Example.com ");
        assert_eq!(
            alice.well_known_url().as_str(),
            "https://example.com/.well-known/nostr.json?name=alice"
        );
        assert_eq!(alice.to_string(), "alice@example.com");
        assert_eq!(name("example.com").to_string(), "_@example.com");
        assert_eq!(name("a@localhost:8080").domain(), "localhost:8080");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        use Nip05Error::{InvalidDomain, InvalidName, TooLong};
        let long = format!("a@{}", "b".repeat(300));
        for (text, error) in [
            ("@example.com", InvalidName),
            ("a b@example.com", InvalidName),
            ("a&b@example.com", InvalidName),
            ("", InvalidDomain),
            ("a@", InvalidDomain),
            ("a@b@c", InvalidDomain),
            ("a@example.com/path", InvalidDomain),
            ("a@example.com?x=", InvalidDomain),
            ("a@example.com:99999", InvalidDomain),
            ("a@exa\u{e4}mple.com", InvalidDomain),
            (&long, TooLong),
        ] {
            assert_eq!(text.parse::<Nip05Name>(), Err(error), "{text}");
        }
    }

    #[test]
    fn the_document_gives_the_key_and_its_relays() {
        let many: Vec<String> = (0..50).map(|number| format!("wss://r{number}")).collect();
        let document = serde_json::json!({
            "names": {"alice": KEY, "bob": 5},
            "relays": {KEY: many},
            "nip46": {KEY: ["wss://signer", 7]},
        });
        let entry = name("alice@example.com").check(document.to_string().as_bytes());
        let entry = entry.expect("known");
        assert_eq!(entry.public_key.to_hex(), KEY);
        assert_eq!(entry.relays.len(), MAX_RELAYS);
        assert_eq!(entry.nip46, ["wss://signer"]);
        let plain = format!(r#"{{"names":{{"_":"{KEY}"}},"relays":null}}"#);
        let entry = name("example.com").check(plain.as_bytes()).expect("known");
        assert_eq!((entry.relays.len(), entry.nip46.len()), (0, 0));
    }

    #[test]
    fn other_documents_are_refused() {
        let check = |document: &str| name("alice@example.com").check(document.as_bytes()).err();
        for bad in ["", "[]", "{}", r#"{"names":[]}"#, "<html>"] {
            assert_eq!(check(bad), Some(Nip05Error::MalformedDocument), "{bad}");
        }
        assert_eq!(check(r#"{"names":{"bob":"x"}}"#), Some(Nip05Error::UnknownName));
        let key = format!(r#"{{"names":{{"alice":"{}"}}}}"#, "f".repeat(64));
        assert_eq!(check(&key), Some(Nip05Error::InvalidKey), "no point of the curve");
        assert_eq!(check(r#"{"names":{"alice":7}}"#), Some(Nip05Error::InvalidKey));
        let long = " ".repeat(MAX_DOCUMENT_BYTES + 1);
        assert_eq!(check(&long), Some(Nip05Error::TooLong));
    }
}
