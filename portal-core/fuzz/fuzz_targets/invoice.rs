//! The text of an invoice: as it comes, and as the content of one whose checksum is right.

#![no_main]

use bech32::primitives::iter::Fe32IterExt as _;
use bech32::{Bech32, Fe32, Hrp};
use libfuzzer_sys::fuzz_target;
use portal_core::primitives::Timestamp;
use portal_core::wallet::bolt11::Bolt11;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    let Some((choice, content)) = data.split_first() else { return };
    let amounts = ["lnbc", "lnbc1m", "lnbc2500u", "lntb10n", "lnbcrt1p", "lntbs99999999999999999999p"];
    let amount = amounts[usize::from(*choice) % amounts.len()];
    let words = content.iter().map(|byte| Fe32::try_from(byte & 31).expect("five bits"));
    let prefix = Hrp::parse(amount).expect("a prefix");
    check(&words.with_checksum::<Bech32>(&prefix).chars().collect::<String>());
});

/// What can be read is read the same again, and every question about it has an answer.
fn check(text: &str) {
    let Ok(invoice) = Bolt11::parse(text) else { return };
    assert_eq!(Bolt11::parse(&invoice.text), Ok(invoice.clone()));
    for now in [0, 1_800_000_000, u64::MAX].map(Timestamp::from_secs) {
        let over = invoice.remaining_at(now).is_zero();
        assert_eq!(invoice.is_expired_at(now), over);
    }
    assert!(!invoice.is_foreign_to(Some(invoice.network)));
}
