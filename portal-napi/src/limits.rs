//! What may come in: longest texts, longest lists, largest numbers.

use napi::Result;
use napi::bindgen_prelude::BigInt;

use crate::error::invalid;

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
pub const PAYMENTS: u32 = 1000;
/// A path of the file system.
pub const PATH: usize = 4096;
/// All bitcoin there will be, in millisatoshi.
pub const MILLISATS: u64 = 2_100_000_000_000_000_000;
/// The longest life of a session token, in seconds: ten years.
pub const LIFETIME: i64 = 10 * 366 * 24 * 3600;

/// A text that is neither empty nor too long.
pub fn text(what: &str, value: &str, most: usize) -> Result<()> {
    if value.is_empty() || value.len() > most {
        return Err(invalid(&format!("{what} must have 1 to {most} bytes")));
    }
    Ok(())
}

/// A text that may be absent or empty.
pub fn optional(what: &str, value: Option<&String>, most: usize) -> Result<()> {
    if value.is_some_and(|value| value.len() > most) {
        return Err(invalid(&format!("{what} must have at most {most} bytes")));
    }
    Ok(())
}

/// A list that is not too long, of texts that are neither empty nor too long.
pub fn list(what: &str, values: &[String], most: usize, each: usize) -> Result<()> {
    if values.len() > most {
        return Err(invalid(&format!("there may be at most {most} of {what}")));
    }
    values.iter().try_for_each(|value| text(what, value, each))
}

/// An amount within bounds.
pub fn amount(what: &str, value: &BigInt, least: u64) -> Result<u64> {
    match value.get_u64() {
        (false, amount, true) if (least..=MILLISATS).contains(&amount) => Ok(amount),
        _ => Err(invalid(&format!("{what} must be from {least} to {MILLISATS}"))),
    }
}

/// A place in a stream.
pub fn index(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| invalid("an index is not negative"))
}
