//! A calendar expression and a moment: the first eight bytes are the moment.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_core::primitives::Timestamp;
use portal_core::protocol::calendar::Calendar;

fuzz_target!(|data: &[u8]| {
    let Some((moment, text)) = data.split_first_chunk::<8>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(calendar) = text.parse::<Calendar>() else { return };
    assert_eq!(calendar.to_string().parse().as_ref(), Ok(&calendar));
    assert_eq!(calendar.to_wire().parse(), Ok(calendar.clone().with_zone(None)));
    assert!(!calendar.human(true).is_empty());

    let any = u64::from_le_bytes(*moment);
    for from in [any, any % 4_102_444_800] {
        let from = Timestamp::from_secs(from);
        if let Some(next) = calendar.next_from(from) {
            assert!(next >= from);
            assert_eq!(calendar.next_from(next), Some(next));
            assert!(calendar.next_after(next).is_none_or(|after| after > next));
        }
    }
});
