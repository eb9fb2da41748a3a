//! Who may do what at the mint's door.
//!
//! The mint's own protocol knows only an OpenID server or blind tokens; this is a layer around all
//! of it. It is a list of what exists ([`Endpoint::parse`]): a path that is not on it goes no
//! further, so no spelling of a guarded path can slip past the guard to a router that would
//! understand it. Tokens are compared as hashes, all of them each time, in constant time.

mod endpoint;
mod tokens;

pub use endpoint::{Endpoint, Operation, Operations, PORTAL, Quote};
pub use tokens::{Grant, NewToken, TokenError, TokenFile, Tokens, hash};
