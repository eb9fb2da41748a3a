//! Reads what several commands take: keys, currencies, cursors. Lenient where older clients or
//! older documentation differ, strict about everything else.

use nostr::PublicKey;
use portal_core::primitives::{ErrorCode, Secret, StreamId};
use portal_core::protocol::Currency;
use portal_core::protocol::calendar::Calendar;
use portal_core::service::{self, Recipient};
use serde::{Deserialize, Deserializer};

use crate::error::CommandError;

/// The most subkeys of one person.
const MAX_SUBKEYS: usize = 8;

/// Reads a key: hex, `npub1…` or `nostr:npub1…`.
///
/// # Errors
/// `invalid_key`, with `Invalid <what>: ` before the reason.
pub fn key(text: &str, what: &str) -> Result<PublicKey, CommandError> {
    PublicKey::parse(text.trim()).map_err(|_| {
        CommandError::new(
            ErrorCode::InvalidKey,
            format!("Invalid {what}: not a public key in hex or npub form"),
        )
    })
}

/// Reads a person: their main key and the subkeys that are known.
///
/// # Errors
/// `invalid_key` or `invalid_request`.
pub fn recipient(
    main_key: &str,
    subkeys: &[String],
    what: &str,
) -> Result<Recipient, CommandError> {
    let main_key = key(main_key, what)?;
    if subkeys.len() > MAX_SUBKEYS {
        return Err(CommandError::new(
            ErrorCode::InvalidRequest,
            "Invalid subkeys: at most 8 are possible",
        ));
    }
    let subkeys = subkeys.iter().map(|text| key(text, "subkeys")).collect::<Result<Vec<_>, _>>()?;
    Ok(Recipient { main_key, subkeys })
}

/// Reads a calendar expression.
///
/// # Errors
/// `invalid_calendar`.
pub fn calendar(text: &str) -> Result<Calendar, CommandError> {
    text.parse().map_err(|error| {
        CommandError::new(ErrorCode::InvalidCalendar, format!("Invalid calendar: {error}"))
    })
}

/// A currency: `"Millisats"` (the older documentation also writes `"millisats"`), a fiat code, or
/// the `{"Fiat":"EUR"}` of the older documentation.
///
/// # Errors
/// When it is none of these.
pub fn currency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a currency such as \"Millisats\" or \"EUR\"")]
    enum Written {
        Text(String),
        Object {
            #[serde(rename = "Fiat")]
            fiat: String,
        },
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Text(text) if text.eq_ignore_ascii_case("millisats") => Currency::Millisats,
        Written::Text(text) => Currency::from(text.as_str()),
        Written::Object { fiat } => Currency::Fiat(fiat.into()),
    })
}

/// A text that must not be printed.
///
/// # Errors
/// When it is not a text.
pub fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// A list that may be absent or `null`.
///
/// # Errors
/// When it is something else.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::<Vec<String>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A flag that may be absent or `null`.
///
/// # Errors
/// When it is something else.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An index of a stream, as a number or as digits; an empty text is none.
///
/// # Errors
/// When it is neither.
pub fn cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "the index of an event")]
    enum Written {
        Number(u64),
        Text(String),
    }
    match Option::<Written>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Number(number)) => Ok(Some(number)),
        Some(Written::Text(text)) => read_cursor(&text),
    }
}

/// The same where everything is a text, as in the query of a URL.
///
/// # Errors
/// When it is neither empty nor digits.
pub fn cursor_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    String::deserialize(deserializer).and_then(|text| read_cursor(&text))
}

fn read_cursor<E: serde::de::Error>(text: &str) -> Result<Option<u64>, E> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| E::custom("not the index of an event"))
}

/// The stream that collects every close, by the name it has in the REST dialect.
pub const CLOSES: &str = "recurring-payment-close";
/// The stream of payments to our Lightning addresses, by a name of the same kind.
pub const RECEIPTS: &str = "lightning-address";

/// Whether a stream is there from the beginning, and for ever.
pub fn is_always_open(stream: StreamId) -> bool {
    [service::CLOSES, service::RECEIPTS].contains(&stream)
}

/// Reads the name of a stream.
///
/// # Errors
/// `stream_not_found`: what is no id is no stream either.
pub fn stream(text: &str) -> Result<StreamId, CommandError> {
    match text {
        CLOSES => Ok(service::CLOSES),
        RECEIPTS => Ok(service::RECEIPTS),
        _ => text.parse().map_err(|_| {
            CommandError::new(ErrorCode::StreamNotFound, "there is no stream with this id")
        }),
    }
}

/// Reads a mint's address and a unit.
///
/// # Errors
/// `invalid_url` or `mint_unsupported`.
#[cfg(feature = "cashu")]
pub fn mint_and_unit(
    mint_url: &str,
    unit: &str,
    what: &str,
) -> Result<(portal_core::cashu::MintAddress, portal_core::cashu::Unit), CommandError> {
    let refused = |error: portal_core::cashu::CashuError| {
        CommandError::from(portal_core::Error::from(error)).during(what)
    };
    Ok((mint_url.parse().map_err(refused)?, unit.parse().map_err(refused)?))
}

/// Takes in what the caller says of a mint: who may use this daemon names the mints it works with,
/// wherever they are, and what lets it in there.
///
/// # Errors
/// When it cannot be kept.
#[cfg(feature = "cashu")]
pub async fn mint_token(
    wallet: &portal_core::cashu::TicketWallet,
    mint: &portal_core::cashu::MintAddress,
    token: Option<String>,
    what: &str,
) -> Result<(), CommandError> {
    let failed = |error: portal_core::cashu::CashuError| {
        CommandError::from(portal_core::Error::from(error)).during(what)
    };
    wallet.trust_always(mint).await.map_err(failed)?;
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(()) };
    wallet.set_mint_token(mint, &Secret::new(token)).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    #[test]
    fn keys_come_in_three_forms() {
        let npub = "npub10xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqpkge6d";
        for text in [HEX, npub, &format!("nostr:{npub}"), &HEX.to_uppercase()] {
            assert_eq!(key(text, "main key").expect(text).to_hex(), HEX);
        }
        for bad in ["", "zz", &HEX[1..], "nsec1x"] {
            let error = key(bad, "main key").expect_err(bad);
            assert_eq!(error.code, ErrorCode::InvalidKey);
            assert!(error.message.starts_with("Invalid main key: "));
        }
        let error = recipient(HEX, &["x".into()], "main key").expect_err("bad subkey");
        assert!(error.message.starts_with("Invalid subkeys: "));
        assert!(recipient(HEX, &vec![HEX.into(); 9], "main key").is_err());
    }

    #[test]
    fn cursors_are_numbers_digits_or_nothing() {
        let read = |text: &str| cursor(&mut serde_json::Deserializer::from_str(text));
        for (text, after) in [("7", Some(7)), ("\"7\"", Some(7)), ("\"\"", None), ("null", None)] {
            assert_eq!(read(text).expect(text), after);
        }
        for text in ["-1", "1.5", "\"x\"", "\"-1\"", "[]", "18446744073709551616"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn currencies_of_code_and_documentation_are_understood() {
        let read = |text: &str| currency(&mut serde_json::Deserializer::from_str(text));
        for text in ["\"Millisats\"", "\"millisats\""] {
            assert_eq!(read(text).expect(text), Currency::Millisats);
        }
        for text in ["\"EUR\"", "{\"Fiat\":\"EUR\"}"] {
            assert_eq!(read(text).expect(text), Currency::Fiat("EUR".into()));
        }
        for text in ["5", "null", "{}", "[]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
