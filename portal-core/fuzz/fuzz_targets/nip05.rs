//! A NIP-05 name, and the document of a domain.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portal_core::identity::nip05::{MAX_RELAYS, Nip05Name};

fuzz_target!(|data: &[u8]| {
    let text = std::str::from_utf8(data).ok();
    if let Some(name) = text.and_then(|text| text.parse::<Nip05Name>().ok()) {
        let url = name.well_known_url();
        assert_eq!((url.scheme(), url.path()), ("https", "/.well-known/nostr.json"));
        assert!(url.username().is_empty() && url.password().is_none());
    }
    let name: Nip05Name = "a@example.com".parse().expect("a name");
    if let Ok(entry) = name.check(data) {
        assert!(entry.relays.len() <= MAX_RELAYS && entry.nip46.len() <= MAX_RELAYS);
    }
});
