//! The `nostr+walletconnect://` link that a wallet gives to whoever may use it.

use std::fmt;

use nostr::{PublicKey, SecretKey};

use crate::primitives::Secret;
use crate::relay::RelayAddress;

/// Most relays that a link may name. Wallets name one to three.
pub const MAX_RELAYS: usize = 8;
/// Longest link that is looked at.
const MAX_LENGTH: usize = 8192;
/// The current scheme, and one that older wallets still write.
const SCHEMES: [&str; 2] = ["nostr+walletconnect:", "nostrwalletconnect:"];

/// A link to a wallet. Whoever has it can use the wallet, so `Debug` does not show the secret.
#[derive(Clone)]
pub struct NwcUri {
    /// The wallet's key.
    pub wallet: PublicKey,
    /// The client's secret key.
    pub secret: Secret<[u8; 32]>,
    /// Where the wallet listens; any one of them suffices. Never empty.
    pub relays: Vec<RelayAddress>,
    /// A lightning address that comes with the wallet.
    pub lud16: Option<String>,
}

/// Why a link cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NwcUriError {
    /// It does not begin with `nostr+walletconnect:`, or is far too long.
    #[error("not a wallet link: it begins with nostr+walletconnect://")]
    NotALink,
    /// The wallet's key is not 64 hexadecimal digits of a public key.
    #[error("the wallet link names no valid wallet key")]
    WrongWalletKey,
    /// There is no `secret`.
    #[error("the wallet link has no secret")]
    NoSecret,
    /// The secret is not 64 hexadecimal digits of a secret key.
    #[error("the secret of the wallet link is not a valid key")]
    WrongSecret,
    /// There is no `relay`.
    #[error("the wallet link names no relay")]
    NoRelay,
    /// There are more relays than [`MAX_RELAYS`].
    #[error("the wallet link names more than {MAX_RELAYS} relays")]
    TooManyRelays,
    /// A relay is not a `ws://` or `wss://` address.
    #[error("a relay of the wallet link is not a ws:// or wss:// address")]
    WrongRelay,
}

impl NwcUri {
    /// Reads a link.
    ///
    /// # Errors
    /// [`NwcUriError`] says what is wrong with it, and never repeats any of it.
    pub fn parse(text: &str) -> Result<Self, NwcUriError> {
        let text = text.trim();
        if text.len() > MAX_LENGTH {
            return Err(NwcUriError::NotALink);
        }
        let rest = SCHEMES
            .iter()
            .find_map(|scheme| {
                let (head, rest) = text.split_at_checked(scheme.len())?;
                head.eq_ignore_ascii_case(scheme).then_some(rest)
            })
            .ok_or(NwcUriError::NotALink)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (key, query) = rest.split_once('?').unwrap_or((rest, ""));
        let wallet = PublicKey::from_hex(key.trim_end_matches('/'))
            .ok()
            .filter(|key| key.xonly().is_ok())
            .ok_or(NwcUriError::WrongWalletKey)?;
        let (mut secret, mut lud16) = (None, None);
        let mut relays: Vec<RelayAddress> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "secret" if secret.is_none() => {
                    let key = SecretKey::from_hex(&value).map_err(|_| NwcUriError::WrongSecret)?;
                    secret = Some(Secret::new(key.to_secret_bytes()));
                }
                "relay" => {
                    let relay = RelayAddress::parse(&value).map_err(|_| NwcUriError::WrongRelay)?;
                    if !relays.contains(&relay) {
                        relays.push(relay);
                    }
                    if relays.len() > MAX_RELAYS {
                        return Err(NwcUriError::TooManyRelays);
                    }
                }
                "lud16" if !value.is_empty() => lud16 = Some(value.into_owned()),
                // Whatever else a wallet adds (`pubkey`, `name`, …) is not for us.
                _ => {}
            }
        }
        let secret = secret.ok_or(NwcUriError::NoSecret)?;
        if relays.is_empty() {
            return Err(NwcUriError::NoRelay);
        }
        Ok(Self { wallet, secret, relays, lud16 })
    }

    /// Writes the link, secret included.
    #[must_use]
    pub fn to_text(&self) -> Secret<String> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for relay in &self.relays {
            query.append_pair("relay", relay.as_str());
        }
        query.append_pair("secret", &hex::encode(self.secret.expose()));
        if let Some(lud16) = &self.lud16 {
            query.append_pair("lud16", lud16);
        }
        let query = Secret::new(query.finish());
        Secret::new(format!("nostr+walletconnect://{}?{}", self.wallet.to_hex(), query.expose()))
    }
}

impl fmt::Debug for NwcUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wallet, secret: _, relays, lud16: _ } = self;
        f.debug_struct("NwcUri")
            .field("wallet", &wallet.to_hex())
            .field("relays", relays)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";
    const SECRET: &str = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c";

    fn link(query: &str) -> String {
        format!("nostr+walletconnect://{WALLET}?{query}")
    }

    #[test]
    fn the_example_of_the_nip_and_its_variants_are_read() {
        let query = format!("relay=wss%3A%2F%2Frelay.damus.io&secret={SECRET}");
        for text in [
            link(&query),
            format!("  nostr+walletconnect:{WALLET}?{query}\n"),
            format!("NOSTRWALLETCONNECT://{WALLET}/?{query}&pubkey={WALLET}&odd"),
        ] {
            let uri = NwcUri::parse(&text).expect("legal");
            assert_eq!(uri.wallet.to_hex(), WALLET);
            assert_eq!(hex::encode(uri.secret.expose()), SECRET);
            assert_eq!(uri.relays, [RelayAddress::parse("wss://relay.damus.io").expect("legal")]);
            assert_eq!(uri.lud16, None);
        }
    }

    #[test]
    fn writing_and_reading_give_the_same() {
        let query = format!(
            "relay=wss://one.example&relay=ws://127.0.0.1:7777&relay=wss://one.example\
             &secret={SECRET}&lud16=me%40example.com"
        );
        let uri = NwcUri::parse(&link(&query)).expect("legal");
        assert_eq!(uri.relays.len(), 2);
        assert_eq!(uri.lud16.as_deref(), Some("me@example.com"));
        let again = NwcUri::parse(uri.to_text().expose()).expect("ours");
        assert_eq!(again.relays, uri.relays);
        assert_eq!(again.lud16, uri.lud16);
        assert_eq!(again.to_text().expose(), uri.to_text().expose());
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let uri = NwcUri::parse(&link(&format!("relay=ws://a&secret={SECRET}"))).expect("legal");
        let shown = format!("{uri:?} {:?}", uri.to_text());
        assert!(!shown.contains(SECRET) && shown.contains(WALLET));
    }

    #[test]
    fn each_fault_has_its_name() {
        use NwcUriError as E;
        let some = |relays: usize| -> String {
            (0..relays).map(|n| format!("relay=wss://r{n}.example&")).collect()
        };
        let most = NwcUri::parse(&link(&format!("{}secret={SECRET}", some(MAX_RELAYS))));
        assert_eq!(most.expect("still legal").relays.len(), MAX_RELAYS);
        let not_on_curve = "f".repeat(64);
        let zero = "0".repeat(64);
        for (text, expected) in [
            (String::new(), E::NotALink),
            ("é".repeat(20), E::NotALink),
            (format!("https://{WALLET}?relay=wss://a&secret={SECRET}"), E::NotALink),
            (link(&"x".repeat(10_000)), E::NotALink),
            (format!("nostr+walletconnect://abc?relay=wss://a&secret={SECRET}"), E::WrongWalletKey),
            (format!("nostr+walletconnect://{not_on_curve}?secret={SECRET}"), E::WrongWalletKey),
            (link("relay=wss://a.example"), E::NoSecret),
            (link("relay=wss://a.example&secret="), E::WrongSecret),
            (link(&format!("relay=wss://a.example&secret={zero}")), E::WrongSecret),
            (link(&format!("secret={SECRET}")), E::NoRelay),
            (link(&format!("relay=https://a.example&secret={SECRET}")), E::WrongRelay),
            (link(&format!("{}secret={SECRET}", some(10))), E::TooManyRelays),
        ] {
            assert_eq!(NwcUri::parse(&text).expect_err("wrong"), expected, "{text}");
        }
    }
}
