//! An invoice of ours that anybody may pay: nobody was asked for the money, so nobody but the
//! wallet says anything about it.
//!
//! ```text
//!   Open ── the wallet has the money, however late ──▶ (ended; it appears on the stream of receipts)
//!     └── an hour after the invoice's end ── the wallet says it has not ──▶ (ended, without a word)
//! ```
//!
//! Strangers have such invoices made (a Lightning address, LUD-06), so what is kept of one is small
//! and there is a bound on how many are open ([`MOST_OPEN`]).

use serde::{Deserialize, Serialize};

use super::payment::{GRACE_SECS, WatchedInvoice};
use crate::event::PortalEvent;
use crate::primitives::{Millisats, Timestamp};

/// How many may be open at once.
pub const MOST_OPEN: usize = 10_000;
/// The longest that one is watched, whatever its text says: wallets may make it longer than they
/// were asked to.
const LONGEST_WATCH_SECS: u64 = 24 * 3600;

/// An invoice that anybody may pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkIn {
    /// What was paid to: the name before the `@` of a Lightning address.
    pub name: Box<str>,
    /// BOLT11.
    pub invoice: Box<str>,
    /// What the wallet is asked about.
    pub watched: WatchedInvoice,
}

impl WalkIn {
    /// Until when money may still come.
    #[must_use]
    pub const fn watched_until(&self) -> Timestamp {
        let made = self.watched.made_at.as_secs();
        let end = self.watched.payable_until.as_secs();
        let latest = made.saturating_add(LONGEST_WATCH_SECS);
        let last = if end > latest { latest } else { end };
        Timestamp::from_secs(last.saturating_add(GRACE_SECS))
    }

    /// The wallet has the money: so much.
    #[must_use]
    pub fn settled(&self, preimage: Option<String>, amount_msat: Millisats) -> PortalEvent {
        PortalEvent::LightningAddressPayment {
            name: self.name.to_string(),
            amount_msat,
            invoice: self.invoice.to_string(),
            payment_hash: hex::encode(self.watched.payment_hash),
            preimage,
        }
    }

    /// Whether it is given up, now that the wallet said, at `at`, that it does not have the money.
    #[must_use]
    pub fn is_given_up(&self, at: Timestamp) -> bool {
        self.watched_until() <= at
    }
}
