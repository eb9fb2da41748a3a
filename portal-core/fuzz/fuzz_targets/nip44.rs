//! The content of an event: raw bytes as a payload, and as plaintext to seal and open again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nostr::nips::nip44;
use portal_core::identity::LocalKey;

fuzz_target!(|data: &[u8]| {
    let ours = LocalKey::from_secret_bytes(&[1; 32]).expect("a key");
    let theirs = LocalKey::from_secret_bytes(&[2; 32]).expect("a key").public_key();
    // Errors are what is expected; only a panic is a finding.
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(opened) = nip44::decrypt_to_bytes(ours.secret_key(), &theirs, text) {
            assert!(opened.len() < text.len());
        }
    }
    let payload = nip44::encrypt(ours.secret_key(), &theirs, data, nip44::Version::V2);
    if let Ok(payload) = payload {
        let opened = nip44::decrypt_to_bytes(ours.secret_key(), &theirs, payload);
        assert_eq!(opened.expect("we sealed it"), data);
    }
});
