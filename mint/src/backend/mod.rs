//! What pays for quotes: nothing for tickets ([`tickets`]), a Lightning wallet for `sat`
//! ([`lightning`]). Both are implementations of cdk's `MintPayment`.

pub mod lightning;
pub mod tickets;

use cdk_common::payment;

/// A refusal in the words of cdk; it reaches wallets as "this unit or request is not supported".
fn refused(what: &'static str) -> payment::Error {
    payment::Error::Custom(what.to_owned())
}
