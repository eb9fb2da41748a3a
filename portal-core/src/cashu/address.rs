//! The address of a mint, in one spelling.
//!
//! The same mint is written in many ways: another case, a slash at the end, the usual port. Money
//! of one mint must not lie in two places because of that, so an address is normalised where it
//! comes in, and compared afterwards. What may lead elsewhere (another name, another port, another
//! path) stays different: `localhost` is not `127.0.0.1`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::CashuError;

/// The longest address.
const MOST: usize = 512;

/// The address of a mint, normalised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MintAddress {
    text: String,
}

impl MintAddress {
    /// The normalised text, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port: whom a token for this mint may be shown to.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url().origin().ascii_serialization()
    }

    /// The host, without brackets, and the port.
    pub(super) fn host_and_port(&self) -> (String, u16) {
        let url = self.url();
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        (host, url.port_or_known_default().unwrap_or(443))
    }

    /// The address of a route, `v1/keys` for example; its parts are plain names.
    pub(super) fn route(&self, parts: &[&str]) -> Result<Url, CashuError> {
        let mut url = self.url();
        url.path_segments_mut()
            .map_err(|()| CashuError::MintAddress { reason: "it cannot have a path" })?
            .pop_if_empty()
            .extend(parts);
        Ok(url)
    }

    fn url(&self) -> Url {
        Url::parse(&self.text).expect("checked when it was made")
    }
}

impl FromStr for MintAddress {
    type Err = CashuError;

    fn from_str(text: &str) -> Result<Self, CashuError> {
        let wrong = |reason| CashuError::MintAddress { reason };
        if text.len() > MOST {
            return Err(wrong("it is too long"));
        }
        let url = Url::parse(text.trim()).map_err(|_| wrong("it is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it is not http or https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a name or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a query or a fragment"));
        }
        let host = match url.host() {
            None => return Err(wrong("it has no host")),
            // A dot at the end names the same host.
            Some(Host::Domain(name)) => name.strip_suffix('.').unwrap_or(name).to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => format!("[{ip}]"),
        };
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = url.path().trim_end_matches('/');
        if path.contains("//") {
            return Err(wrong("its path has an empty part"));
        }
        let text = format!("{}://{host}{port}{path}", url.scheme());
        // What was put together reads back as it stands, or it is refused.
        Url::parse(&text).map_err(|_| wrong("it is no URL"))?;
        Ok(Self { text })
    }
}

impl TryFrom<String> for MintAddress {
    type Error = CashuError;

    fn try_from(text: String) -> Result<Self, CashuError> {
        text.parse()
    }
}

impl From<MintAddress> for String {
    fn from(address: MintAddress) -> Self {
        address.text
    }
}

impl fmt::Display for MintAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for MintAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MintAddress({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        text.parse::<MintAddress>().expect("an address").to_string()
    }

    #[test]
    fn spellings_of_one_mint_become_one() {
        for text in [
            "https://mint.example.com/tickets",
            "https://mint.example.com/tickets/",
            "HTTPS://Mint.Example.COM:443/tickets///",
            " https://mint.example.com./tickets ",
            "https://mint.example.com/./tickets",
        ] {
            assert_eq!(read(text), "https://mint.example.com/tickets", "{text}");
        }
        assert_eq!(read("http://127.0.0.1:3338/"), "http://127.0.0.1:3338");
        assert_eq!(read("http://[::1]:3338"), "http://[::1]:3338");
        assert_eq!(read("https://münze.example"), "https://xn--mnze-0ra.example");
    }

    #[test]
    fn what_may_be_another_mint_stays_another() {
        let all = [
            "https://mint.example.com",
            "http://mint.example.com",
            "https://mint.example.com:8443",
            "https://mint.example.com/a",
            "https://mint.example.com/A",
            "http://localhost:3338",
            "http://127.0.0.1:3338",
        ];
        let read: std::collections::BTreeSet<_> = all.iter().map(|text| read(text)).collect();
        assert_eq!(read.len(), all.len());
    }

    #[test]
    fn what_is_no_mint_is_refused() {
        for text in [
            "",
            "mint.example.com",
            "ftp://mint.example.com",
            "https://user:pass@mint.example.com",
            "https://mint.example.com/?q",
            "https://mint.example.com/#f",
            "https://mint.example.com//x",
            "https://",
            "data:,x",
        ] {
            assert!(text.parse::<MintAddress>().is_err(), "{text}");
        }
        assert!(format!("https://{}.example", "a".repeat(600)).parse::<MintAddress>().is_err());
    }

    #[test]
    fn routes_stay_below_the_path_of_the_mint() {
        let mint: MintAddress = "https://mint.example.com/tickets/".parse().expect("an address");
        let route = |parts: &[&str]| mint.route(parts).expect("a route").to_string();
        assert_eq!(route(&["v1", "keys"]), "https://mint.example.com/tickets/v1/keys");
        assert_eq!(
            route(&["v1", "unit", "a/b ?"]),
            "https://mint.example.com/tickets/v1/unit/a%2Fb%20%3F"
        );
        assert_eq!(mint.origin(), "https://mint.example.com");
    }
}
