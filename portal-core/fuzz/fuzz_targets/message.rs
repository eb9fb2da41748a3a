//! The plaintext of an event, as each kind of message; the first byte chooses which.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use portal_core::identity::{LocalKey, subkey};
use portal_core::primitives::Timestamp;
use portal_core::protocol::auth::{AuthChallenge, AuthResponse};
use portal_core::protocol::handshake::KeyHandshake;
use portal_core::protocol::invoice::{InvoiceRequest, InvoiceResponse};
use portal_core::protocol::payment::{PaymentRequest, PaymentResponse};
use portal_core::protocol::profile::Profile;
use portal_core::protocol::subkey::SubkeyProof;
use portal_core::protocol::subscription::{CloseRecurringPayment, RecurringPaymentResponse};
use portal_core::protocol::ticket::{CashuDirect, CashuRequest, CashuResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|data: &[u8]| {
    let Some((choice, json)) = data.split_first() else { return };
    match choice % 14 {
        0 => round_trip::<KeyHandshake>(json),
        1 => round_trip::<AuthChallenge>(json),
        2 => round_trip::<AuthResponse>(json),
        3 => round_trip::<PaymentRequest>(json),
        4 => round_trip::<PaymentResponse>(json),
        5 => round_trip::<RecurringPaymentResponse>(json),
        6 => round_trip::<CloseRecurringPayment>(json),
        7 => round_trip::<InvoiceRequest>(json),
        8 => round_trip::<InvoiceResponse>(json),
        9 => round_trip::<CashuRequest>(json),
        10 => round_trip::<CashuResponse>(json),
        11 => round_trip::<CashuDirect>(json),
        12 => round_trip::<Profile>(json),
        _ => {
            round_trip::<SubkeyProof>(json);
            if let Ok(proof) = serde_json::from_slice::<SubkeyProof>(json) {
                let key = LocalKey::from_secret_bytes(&[1; 32]).expect("a key").public_key();
                let now = proof.metadata.valid_from;
                assert!(subkey::verify(&proof, &key, now, None).is_err(), "not for this key");
                assert!(
                    subkey::verify(&proof, &key, Timestamp::from_secs(u64::MAX), None).is_err()
                );
            }
        }
    }
});

/// What can be read can be written, and reads the same again. A calendar loses its zone when it
/// is written, so the second and the third writing are compared.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(json) else { return };
    let written = serde_json::to_string(&message).expect("serialises");
    let again: T = serde_json::from_str(&written).expect("reads back");
    let rewritten = serde_json::to_string(&again).expect("serialises");
    assert_eq!(rewritten, written);
}
