//! A handshake URL that a person scanned.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_core::protocol::handshake::{KeyHandshakeUrl, MAX_URL_BYTES, MAX_URL_RELAYS};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(url) = text.parse::<KeyHandshakeUrl>() else { return };
    assert!((1..=MAX_URL_RELAYS).contains(&url.relays().len()));
    assert!(url.decoded_token().len() <= url.token().len());
    let written = url.to_string();
    // Written it may be longer than read: relays may stand unescaped in what is read.
    if written.len() <= MAX_URL_BYTES {
        assert_eq!(written.parse(), Ok(url));
    }
});
