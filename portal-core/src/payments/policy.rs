//! What may be spent: on fees, in a day, on one recipient.

use std::time::Duration;

use crate::primitives::Millisats;

/// Limits are about this much time back, whatever the time of day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// The bounds of outgoing payments.
///
/// Limits on spending count what left and what may still leave, with its fees, over the last 24
/// hours. They are computed from the journal, so no restart forgets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayPolicy {
    /// The most that goes to fees, in millionths of the amount, when a call does not say.
    pub fee_ppm: u32,
    /// What fees may always be, however small the amount.
    pub fee_floor: Millisats,
    /// Whether a wallet that cannot keep fees within a bound is not used at all.
    pub strict_fees: bool,
    /// The most that may be spent in 24 hours.
    pub per_day: Option<Millisats>,
    /// The same for one recipient: the node that is paid.
    pub per_recipient: Option<Millisats>,
}

impl Default for PayPolicy {
    /// One percent, or 10 satoshi where that is more; no limits on spending.
    fn default() -> Self {
        Self {
            fee_ppm: 10_000,
            fee_floor: Millisats::new(10_000),
            strict_fees: false,
            per_day: None,
            per_recipient: None,
        }
    }
}

impl PayPolicy {
    /// The most that paying this much may cost on top.
    #[must_use]
    pub fn fee_cap(&self, amount: Millisats) -> Millisats {
        let share = u128::from(amount.as_u64()) * u128::from(self.fee_ppm) / 1_000_000;
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        Millisats::new(share).max(self.fee_floor)
    }

    /// Whether spending is limited.
    #[must_use]
    pub const fn limits_spending(&self) -> bool {
        self.per_day.is_some() || self.per_recipient.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_are_a_share_of_the_amount_and_small_for_small_ones() {
        let policy = PayPolicy::default();
        let cap = |sats: u64| policy.fee_cap(Millisats::new(sats * 1000)).as_u64() / 1000;
        assert_eq!(cap(1), 10);
        assert_eq!(cap(500), 10, "never 1,000 on 500");
        assert_eq!(cap(1_000), 10);
        assert_eq!(cap(100_000), 1_000);
        let most = policy.fee_cap(Millisats::new(u64::MAX));
        assert_eq!(most.as_u64(), u64::MAX / 100);
        let all = PayPolicy { fee_ppm: u32::MAX, ..policy };
        assert_eq!(all.fee_cap(Millisats::new(u64::MAX)).as_u64(), u64::MAX);
    }
}
