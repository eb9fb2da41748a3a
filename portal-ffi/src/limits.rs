//! What may come in: longest texts, longest lists, largest numbers. Checked before the core is
//! called, so that a mistake of an app is told as one.

use crate::error::PortalError;

/// A public or secret key in any form.
pub const KEY: usize = 128;
/// Twenty-four words, generously spaced.
pub const MNEMONIC: usize = 512;
/// A session token.
pub const TOKEN: usize = 8192;
/// A handshake URL.
pub const URL: usize = 4096;
/// A link to a wallet.
pub const WALLET_LINK: usize = 8192;
/// The address of a relay.
pub const RELAY: usize = 512;
/// Relays of one's own.
pub const RELAYS: usize = 32;
/// Sources of exchange rates.
pub const RATES: usize = 16;
/// Subkeys of one person.
pub const SUBKEYS: usize = 64;
/// Permissions granted at a login.
pub const PERMISSIONS: usize = 64;
/// A permission, a name, a version, an id.
pub const NAME: usize = 256;
/// A reason or a description.
pub const SENTENCE: usize = 4096;
/// A BOLT11 invoice.
pub const INVOICE: usize = 8192;
/// Payments of one list.
pub const PAYMENTS: u64 = 1000;
/// A path of the file system.
pub const PATH: usize = 4096;
/// All bitcoin there will be, in millisatoshi.
pub const MILLISATS: u64 = 2_100_000_000_000_000_000;
/// The longest life of a session token, in seconds: ten years.
pub const LIFETIME: u64 = 10 * 366 * 24 * 3600;

/// A text that is neither empty nor too long.
pub fn text(what: &str, value: &str, most: usize) -> Result<(), PortalError> {
    if value.is_empty() || value.len() > most {
        return Err(PortalError::invalid(format!("{what} must have 1 to {most} bytes")));
    }
    Ok(())
}

/// A text that may be empty.
pub fn at_most(what: &str, value: &str, most: usize) -> Result<(), PortalError> {
    if value.len() > most {
        return Err(PortalError::invalid(format!("{what} must have at most {most} bytes")));
    }
    Ok(())
}

/// A text that may be absent or empty.
pub fn optional(what: &str, value: Option<&String>, most: usize) -> Result<(), PortalError> {
    value.map_or(Ok(()), |value| at_most(what, value, most))
}

/// A list that is not too long, of texts that are neither empty nor too long.
pub fn list(what: &str, values: &[String], most: usize, each: usize) -> Result<(), PortalError> {
    if values.len() > most {
        return Err(PortalError::invalid(format!("there may be at most {most} of {what}")));
    }
    values.iter().try_for_each(|value| text(what, value, each))
}

/// A number within bounds.
pub fn number(what: &str, value: u64, least: u64, most: u64) -> Result<(), PortalError> {
    if value < least || value > most {
        return Err(PortalError::invalid(format!("{what} must be from {least} to {most}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn is_refused(result: Result<(), PortalError>) -> bool {
        matches!(result, Err(PortalError::Failed { code: ErrorCode::InvalidRequest, .. }))
    }

    #[test]
    fn bounds_are_included_and_what_is_beyond_is_refused() {
        assert_eq!(text("it", "ab", 2), Ok(()));
        assert!(is_refused(text("it", "", 2)) && is_refused(text("it", "abc", 2)));
        assert_eq!(at_most("it", "", 2), Ok(()));
        assert!(is_refused(at_most("it", "abc", 2)));
        assert_eq!(optional("it", None, 0), Ok(()));
        assert!(is_refused(optional("it", Some(&"abc".to_owned()), 2)));
        assert_eq!(list("them", &["a".to_owned()], 1, 1), Ok(()));
        assert!(is_refused(list("them", &["a".to_owned(), "b".to_owned()], 1, 1)));
        assert!(is_refused(list("them", &[String::new()], 1, 1)));
        assert_eq!(number("it", 2, 1, 2), Ok(()));
        assert!(is_refused(number("it", 0, 1, 2)) && is_refused(number("it", 3, 1, 2)));
    }
}
