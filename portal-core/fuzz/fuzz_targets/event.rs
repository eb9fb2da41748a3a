//! A frame from a relay: peeked at, parsed and verified as the driver does it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_core::protocol::envelope::{Incoming, peek_id};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Errors are what is expected; only a panic is a finding.
    drop(peek_id(text));
    if let Ok(incoming) = Incoming::parse(text) {
        let id = *incoming.id();
        if let Ok(verified) = incoming.verify() {
            assert_eq!(verified.id().to_bytes(), id);
        }
    }
});
