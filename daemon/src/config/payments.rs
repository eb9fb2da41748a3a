//! `[payments]`: the bounds of what the daemon pays.

use portal_core::payments::PayPolicy;
use portal_core::primitives::Millisats;

use super::values::Values;

/// What a sum in satoshi is asked for as.
const SATS: &str = "a whole number of satoshi, 0 for no limit";

/// The bounds of what the daemon pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaymentsConfig {
    /// Fees, spending in a day and on one recipient.
    pub policy: PayPolicy,
}

impl PaymentsConfig {
    pub(super) fn take(values: &mut Values) -> Self {
        let usual = PayPolicy::default();
        let percent = "a whole number of percent, 0 to 100";
        let name = values.name_of("payments.fee_percent");
        let fee_ppm = match values.number::<u32>("payments.fee_percent", percent) {
            Some(share) if share <= 100 => share.saturating_mul(10_000),
            Some(_) => values.wrong(name, percent).unwrap_or(usual.fee_ppm),
            None => usual.fee_ppm,
        };
        let floor = sats(values, "payments.fee_floor_sats", "a whole number of satoshi");
        let per_day = sats(values, "payments.per_day_sats", SATS);
        let per_recipient = sats(values, "payments.per_recipient_per_day_sats", SATS);
        let limit = |sum: Option<Millisats>| sum.filter(|sum| *sum > Millisats::new(0));
        let policy = PayPolicy {
            fee_ppm,
            fee_floor: floor.unwrap_or(usual.fee_floor),
            strict_fees: values.flag("payments.strict_fees").unwrap_or(usual.strict_fees),
            per_day: limit(per_day),
            per_recipient: limit(per_recipient),
        };
        Self { policy }
    }
}

fn sats(values: &mut Values, key: &'static str, expected: &'static str) -> Option<Millisats> {
    let name = values.name_of(key);
    let number: u64 = values.number(key, expected)?;
    Millisats::from_sats(number).or_else(|| values.wrong(name, expected))
}
