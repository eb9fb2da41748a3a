//! Anything a relay says, as the pool reads it before the driver does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_core::protocol::envelope::Incoming;
use portal_core::relay::nostr::event_in;

/// An event of 64 KiB, and what is around it.
const MOST: usize = 65 * 1024;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(event) = event_in(text) {
        assert!(event.starts_with("[\"EVENT\",") && event.len() <= MOST);
        // Errors are what is expected; only a panic is a finding.
        drop(Incoming::parse(&event));
    }
});
