//! Which variables are somebody's set-up of a daemon.
//!
//! Whoever starts a daemon to try or to measure something takes them out of its environment: no
//! real wallet, key or relay takes part in a test. This file needs nothing beside it, so programs
//! that do not stand on this crate include it by its path.

use std::ffi::OsString;

/// What the names begin with.
const PREFIXES: [&str; 3] = ["PORTAL_", "NOSTR_", "BREEZ_"];

/// The other names.
const NAMES: [&str; 2] = ["AUTH_TOKEN", "NWC_URL"];

/// Whether a variable of this name is part of somebody's set-up of the daemon.
#[must_use]
pub fn is_set_up(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// The names of all such variables that this process has.
#[must_use]
pub fn set_up() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_str().is_some_and(is_set_up)).collect()
}
