//! A session token: whole, and as the claims of one that its issuer really signed.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use portal_core::identity::{LocalKey, token};
use portal_core::primitives::Timestamp;

fuzz_target!(|data: &[u8]| {
    let key = LocalKey::from_secret_bytes(&[1; 32]).expect("a key");
    let Some((times, rest)) = data.split_first_chunk::<16>() else { return };
    let (now, lifetime) = times.split_at(8);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let (now, lifetime) = (Timestamp::from_secs(number(now)), number(lifetime));

    if let Ok(text) = std::str::from_utf8(rest) {
        assert!(token::verify(&key.public_key(), text, now).is_err(), "nobody signed this");
        let with_header = format!("eyJhbGciOiJFUzI1NksifQ.{text}");
        assert!(token::verify(&key.public_key(), &with_header, now).is_err());
    }
    let lifetime = Duration::from_secs(lifetime);
    if let Ok(made) = token::issue(&key, key.public_key(), now, lifetime) {
        let claims = token::verify(&key.public_key(), made.expose(), now).expect("just made");
        assert_eq!(claims.expires_at, now.saturating_add(lifetime));
    }
});
