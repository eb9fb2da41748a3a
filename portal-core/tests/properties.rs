//! What holds for every message and every text: encoding loses nothing, no input panics, and
//! the next occurrence of a calendar is what a slow search finds.

use std::fmt::Debug;

use nostr::PublicKey;
use portal_core::identity::nip05::Nip05Name;
use portal_core::identity::{LocalKey, Mnemonic, subkey, token};
use portal_core::primitives::{RequestId, Timestamp};
use portal_core::protocol::auth::{AuthChallenge, AuthResponse, AuthStatus};
use portal_core::protocol::calendar::Calendar;
use portal_core::protocol::handshake::{ClientInfo, KeyHandshake, KeyHandshakeUrl};
use portal_core::protocol::invoice::{Echo, InvoiceRequest, InvoiceResponse};
use portal_core::protocol::payment::{
    PaymentRequest, PaymentResponse, PaymentStatus, SinglePaymentRequest,
};
use portal_core::protocol::profile::Profile;
use portal_core::protocol::subkey::{SubkeyMetadata, SubkeyPermission, SubkeyProof};
use portal_core::protocol::subscription::{
    CloseRecurringPayment, Recurrence, RecurringPaymentRequest, RecurringPaymentResponse,
    RecurringStatus,
};
use portal_core::protocol::ticket::{CashuDirect, CashuRequest, CashuResponse, CashuStatus};
use portal_core::protocol::{Currency, ExchangeRate};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_secs)
}

fn request_id() -> impl Strategy<Value = RequestId> {
    any::<String>().prop_map(RequestId::new)
}

fn local_key() -> impl Strategy<Value = LocalKey> {
    any::<[u8; 32]>()
        .prop_filter_map("not a secret key", |bytes| LocalKey::from_secret_bytes(&bytes).ok())
}

fn public_key() -> impl Strategy<Value = PublicKey> {
    local_key().prop_map(|key| key.public_key())
}

fn currency() -> impl Strategy<Value = Currency> {
    prop_oneof![
        Just(Currency::Millisats),
        any::<String>().prop_map(|text| Currency::from(text.as_str())),
    ]
}

prop_compose! {
    fn exchange_rate()(
        // Every number that JSON can carry: no infinity, no NaN.
        rate in proptest::num::f64::ANY.prop_filter("finite", |rate| rate.is_finite()),
        source in any::<String>(),
        time in timestamp(),
    ) -> ExchangeRate {
        ExchangeRate { rate, source, time }
    }
}

fn permission() -> impl Strategy<Value = SubkeyPermission> {
    prop_oneof![Just(SubkeyPermission::Auth), Just(SubkeyPermission::Payment)]
}

prop_compose! {
    fn metadata()(
        name in any::<String>(),
        nonce in any::<[u8; 32]>(),
        valid_from in timestamp(),
        expires_at in timestamp(),
        permissions in vec(permission(), 0..4),
        version in any::<u8>(),
    ) -> SubkeyMetadata {
        SubkeyMetadata { name, nonce, valid_from, expires_at, permissions, version }
    }
}

prop_compose! {
    fn subkey_proof()(main_key in public_key(), metadata in metadata()) -> SubkeyProof {
        SubkeyProof { main_key, metadata }
    }
}

prop_compose! {
    fn single_payment()(
        amount in any::<u64>(),
        currency in currency(),
        current_exchange_rate in option::of(exchange_rate()),
        texts in vec(any::<String>(), 2),
        auth_token in option::of(any::<String>()),
        subscription_id in option::of(any::<String>()),
        expires_at in timestamp(),
        with_description in any::<bool>(),
        request_id in request_id(),
    ) -> SinglePaymentRequest {
        SinglePaymentRequest {
            amount,
            currency,
            current_exchange_rate,
            invoice: texts[0].clone(),
            auth_token,
            expires_at,
            subscription_id,
            description: with_description.then(|| texts[1].clone()),
            request_id,
        }
    }
}

prop_compose! {
    fn recurrence()(
        until in option::of(timestamp()),
        calendar in calendar_text(),
        max_payments in option::of(any::<u32>()),
        first_payment_due in timestamp(),
    ) -> Recurrence {
        let calendar: Calendar = calendar.parse().expect("a legal calendar");
        // The zone does not cross the wire.
        Recurrence { until, calendar: calendar.with_zone(None), max_payments, first_payment_due }
    }
}

prop_compose! {
    fn recurring_payment()(
        amount in any::<u64>(),
        currency in currency(),
        recurrence in recurrence(),
        current_exchange_rate in option::of(exchange_rate()),
        expires_at in timestamp(),
        auth_token in option::of(any::<String>()),
        description in option::of(any::<String>()),
        request_id in request_id(),
    ) -> RecurringPaymentRequest {
        RecurringPaymentRequest {
            amount,
            currency,
            recurrence,
            current_exchange_rate,
            expires_at,
            auth_token,
            description,
            request_id,
        }
    }
}

prop_compose! {
    fn invoice_request()(
        request_id in request_id(),
        amount in any::<u64>(),
        currency in currency(),
        current_exchange_rate in option::of(exchange_rate()),
        expires_at in timestamp(),
        description in option::of(any::<String>()),
        refund_invoice in option::of(any::<String>()),
    ) -> InvoiceRequest {
        InvoiceRequest {
            request_id,
            amount,
            currency,
            current_exchange_rate,
            expires_at,
            description,
            refund_invoice,
        }
    }
}

prop_compose! {
    fn cashu_request()(
        request_id in request_id(),
        mint_url in any::<String>(),
        unit in any::<String>(),
        amount in any::<u64>(),
        expires_at in timestamp(),
    ) -> CashuRequest {
        CashuRequest { request_id, mint_url, unit, amount, expires_at }
    }
}

fn echo<T: Debug>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Echo<T>> {
    (inner, public_key(), public_key()).prop_map(|(inner, main_key, recipient)| Echo {
        inner,
        main_key,
        recipient,
    })
}

fn auth_status() -> impl Strategy<Value = AuthStatus> {
    prop_oneof![
        (vec(any::<String>(), 0..3), any::<String>()).prop_map(
            |(granted_permissions, session_token)| AuthStatus::Approved {
                granted_permissions,
                session_token
            }
        ),
        option::of(any::<String>()).prop_map(|reason| AuthStatus::Declined { reason }),
    ]
}

fn payment_status() -> impl Strategy<Value = PaymentStatus> {
    prop_oneof![
        Just(PaymentStatus::Approved),
        option::of(any::<String>()).prop_map(|preimage| PaymentStatus::Success { preimage }),
        option::of(any::<String>()).prop_map(|reason| PaymentStatus::Rejected { reason }),
        option::of(any::<String>()).prop_map(|reason| PaymentStatus::Failed { reason }),
    ]
}

fn recurring_status() -> impl Strategy<Value = RecurringStatus> {
    prop_oneof![
        (any::<String>(), any::<u64>(), currency(), recurrence()).prop_map(
            |(subscription_id, authorized_amount, authorized_currency, authorized_recurrence)| {
                RecurringStatus::Confirmed {
                    subscription_id,
                    authorized_amount,
                    authorized_currency,
                    authorized_recurrence,
                }
            }
        ),
        option::of(any::<String>()).prop_map(|reason| RecurringStatus::Rejected { reason }),
    ]
}

fn cashu_status() -> impl Strategy<Value = CashuStatus> {
    prop_oneof![
        any::<String>().prop_map(|token| CashuStatus::Success { token }),
        Just(CashuStatus::InsufficientFunds),
        option::of(any::<String>()).prop_map(|reason| CashuStatus::Rejected { reason }),
    ]
}

/// Written and read it is the same; a member that nobody knows changes nothing.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    message: &T,
) -> Result<(), TestCaseError> {
    let json = serde_json::to_string(message).expect("serialises");
    prop_assert_eq!(&serde_json::from_str::<T>(&json).expect("reads back"), message);
    let mut value: Value = serde_json::from_str(&json).expect("JSON");
    value["x_unknown"] = Value::from(vec![1, 2]);
    prop_assert_eq!(&serde_json::from_value::<T>(value).expect("ignores it"), message);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn handshakes_round_trip(
        token in any::<String>(),
        name in any::<String>(),
        version in any::<String>(),
        preferred_relays in vec(any::<String>(), 0..4),
    ) {
        let client_info = ClientInfo { name, version };
        round_trip(&KeyHandshake { token, client_info, preferred_relays })?;
    }

    #[test]
    fn challenges_round_trip(
        challenge in any::<String>(),
        expires_at in timestamp(),
        required_permissions in vec(any::<String>(), 0..3),
        subkey_proof in option::of(subkey_proof()),
        status in auth_status(),
    ) {
        let response = AuthResponse {
            challenge: challenge.clone(),
            subkey_proof: subkey_proof.clone(),
            status,
        };
        round_trip(&response)?;
        round_trip(&AuthChallenge { challenge, expires_at, required_permissions, subkey_proof })?;
    }

    #[test]
    fn payments_round_trip(
        single in single_payment(),
        request_id in request_id(),
        status in payment_status(),
    ) {
        round_trip(&single)?;
        round_trip(&PaymentRequest::Single(single))?;
        round_trip(&PaymentResponse { request_id, status })?;
    }

    #[test]
    fn subscriptions_round_trip(
        recurring in recurring_payment(),
        request_id in request_id(),
        status in recurring_status(),
        subscription_id in any::<String>(),
        reason in option::of(any::<String>()),
        by_service in any::<bool>(),
    ) {
        round_trip(&recurring)?;
        round_trip(&PaymentRequest::Recurring(recurring))?;
        round_trip(&RecurringPaymentResponse { request_id, status })?;
        round_trip(&CloseRecurringPayment { subscription_id, reason, by_service })?;
    }

    #[test]
    fn invoices_round_trip(
        request in echo(invoice_request()),
        invoice in any::<String>(),
        payment_hash in option::of(any::<String>()),
    ) {
        round_trip(&request.inner)?;
        round_trip(&InvoiceResponse { request, invoice, payment_hash })?;
    }

    #[test]
    fn tickets_round_trip(
        request in echo(cashu_request()),
        status in cashu_status(),
        token in any::<String>(),
    ) {
        round_trip(&request.inner)?;
        round_trip(&CashuResponse { request, status })?;
        round_trip(&CashuDirect { token })?;
    }

    #[test]
    fn proofs_and_profiles_round_trip(
        proof in subkey_proof(),
        texts in vec(option::of(any::<String>()), 4),
    ) {
        round_trip(&proof)?;
        let [name, display_name, picture, nip05] = texts.try_into().expect("four");
        round_trip(&Profile { name, display_name, picture, nip05 })?;
    }

    #[test]
    fn derived_subkeys_verify_and_foreign_proofs_do_not(
        main in local_key(),
        other in local_key(),
        mut metadata in metadata(),
        now in timestamp(),
    ) {
        (metadata.valid_from, metadata.expires_at) = (now, now);
        let subkey = subkey::derive(&main, metadata).expect("derives");
        let proof = subkey.proof().expect("has a proof");
        prop_assert_eq!(subkey::verify(proof, &subkey.public_key(), now, None), Ok(()));
        prop_assert!(subkey::verify(proof, &other.public_key(), now, None).is_err());
    }

    #[test]
    fn handshake_urls_round_trip(
        main_key in public_key(),
        subkey in option::of(public_key()),
        relays in vec(".{0,60}", 1..5),
        token in ".{1,60}",
        no_request in any::<bool>(),
    ) {
        let mut url = KeyHandshakeUrl::new(main_key, relays, &token).expect("in bounds");
        if let Some(subkey) = subkey {
            url = url.with_subkey(subkey).expect("in bounds");
        }
        let url = url.with_no_request(no_request).expect("in bounds");
        let read: KeyHandshakeUrl = url.to_string().parse().expect("reads back");
        prop_assert_eq!(&read, &url);
        prop_assert_eq!(read.decoded_token(), token);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>(), key in public_key()) {
        poke(&text, &key);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in vec(any::<u8>(), 0..300), key in public_key()) {
        poke(&String::from_utf8_lossy(&bytes), &key);
        check_name(&bytes);
    }

    #[test]
    fn texts_that_look_right_are_parsed_or_refused(
        calendar in "(Mon|Sat\\.\\.Tue|[*0-9.,/-]{1,12}) [*0-9.,/-]{0,20} [*0-9.,/:]{0,20}( [A-Z][a-z/A-Z-]{2,12})?",
        query in "[a-z]{0,6}[?&=%0-9A-Fa-f,relaystokn]{0,60}",
        parts in vec("[A-Za-z0-9_-]{0,90}", 3),
        json in "[{\\[\"names:,0-9a-f}\\]]{0,60}",
        key in public_key(),
    ) {
        poke(&calendar, &key);
        poke(&format!("portal://{}?{query}", npub(&key)), &key);
        poke(&parts.join("."), &key);
        poke(&format!("eyJhbGciOiJFUzI1NksifQ.{}.{}", parts[1], parts[2]), &key);
        check_name(json.as_bytes());
    }

    #[test]
    fn calendars_round_trip_and_move_forward(text in calendar_text(), from in timestamp()) {
        let calendar: Calendar = text.parse().expect("a legal calendar");
        let printed: Calendar = calendar.to_string().parse().expect("reads back");
        prop_assert_eq!(&printed, &calendar);
        let wire: Calendar = calendar.to_wire().parse().expect("reads back");
        prop_assert_eq!(wire, calendar.clone().with_zone(None));
        prop_assert!(!calendar.human(true).is_empty());

        for from in [from, Timestamp::from_secs(from.as_secs() % 4_102_444_800)] {
            let next = calendar.next_from(from);
            prop_assert!(next.is_none_or(|next| next >= from));
            if let Some(next) = next {
                prop_assert_eq!(calendar.next_from(next), Some(next), "it includes itself");
                let after = calendar.next_after(next);
                prop_assert!(after.is_none_or(|after| after > next));
                let between = Timestamp::from_secs(u64::midpoint(from.as_secs(), next.as_secs()));
                prop_assert_eq!(calendar.next_from(between), Some(next), "nothing in between");
            }
        }
    }

    #[test]
    fn the_next_occurrence_is_what_a_slow_search_finds(
        text in calendar_of_minutes(),
        // Around the changes of the clocks of 2025, and anywhere in that year.
        from in prop_oneof![
            1_743_200_000_u64..1_743_400_000,
            1_761_350_000_u64..1_761_550_000,
            1_735_689_600_u64..1_767_225_600,
        ],
    ) {
        const DAYS: u64 = 12;
        let calendar: Calendar = text.parse().expect("a legal calendar");
        let slow = slow_search(&text, from, from + DAYS * 86_400);
        let fast = calendar.next_from(Timestamp::from_secs(from)).map(Timestamp::as_secs);
        match slow {
            Some(_) => prop_assert_eq!(fast, slow),
            None => prop_assert!(fast.is_none_or(|fast| fast >= from + DAYS * 86_400 - 60)),
        }
    }
}

fn npub(key: &PublicKey) -> String {
    use nostr::nips::nip19::ToBech32;
    key.to_bech32().expect("a key has an npub")
}

/// Hands the text to everything that reads texts of strangers. What can be read must be fit to
/// be used and written again.
fn poke(text: &str, key: &PublicKey) {
    let now = Timestamp::from_secs(1_744_993_853);
    if let Ok(calendar) = text.parse::<Calendar>() {
        let next = calendar.next_after(now);
        assert!(next.is_none_or(|next| next > now));
        assert_eq!(calendar.to_string().parse(), Ok(calendar));
    }
    if let Ok(url) = text.parse::<KeyHandshakeUrl>() {
        assert!(!url.relays().is_empty());
        assert!(url.decoded_token().len() <= url.token().len());
    }
    if let Ok(name) = text.parse::<Nip05Name>() {
        assert_eq!(name.well_known_url().scheme(), "https");
    }
    assert!(token::verify(key, text, now).is_err(), "nobody signed this");
    assert!(Mnemonic::parse(text).is_err(), "no mnemonic looks like this");
    let secret = LocalKey::parse(text);
    assert!(secret.is_err() || text.trim().len() >= 63);
    let proof: Result<SubkeyProof, _> = serde_json::from_str(text);
    if let Ok(proof) = proof {
        assert!(subkey::verify(&proof, key, now, None).is_err(), "not for this key");
    }
}

fn check_name(document: &[u8]) {
    let name: Nip05Name = "alice@example.com".parse().expect("a name");
    if let Ok(entry) = name.check(document) {
        assert!(document.len() > entry.public_key.to_hex().len());
    }
}

/// `*`, a number, a list, a range or a stepped range.
fn component(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => (low..=high).prop_map(|number| number.to_string()),
        1 => vec(low..=high, 1..4)
            .prop_map(|list| list.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        1 => (low..=high, low..=high)
            .prop_map(|(a, b)| format!("{}..{}", a.min(b), a.max(b))),
        1 => (low..=high, low..=high, 1..70_u32)
            .prop_map(|(a, b, step)| format!("{}..{}/{step}", a.min(b), a.max(b))),
    ]
}

fn weekdays() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just(""),
        1 => Just("Mon "),
        1 => Just("Sat..Mon "),
        1 => Just("sunday,Tue "),
    ]
}

fn zone() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        2 => Just(""),
        1 => Just(" UTC"),
        2 => Just(" Europe/Rome"),
        1 => Just(" America/Port-au-Prince"),
        1 => Just(" Australia/Lord_Howe"),
        1 => Just(" Asia/Kathmandu"),
        1 => Just(" Pacific/Apia"),
    ]
}

prop_compose! {
    fn calendar_text()(
        weekdays in weekdays(),
        year in component(1970, 2099),
        month in component(1, 12),
        day in component(1, 31),
        hour in component(0, 23),
        minute in component(0, 59),
        second in component(0, 59),
        zone in zone(),
    ) -> String {
        format!("{weekdays}{year}-{month}-{day} {hour}:{minute}:{second}{zone}")
    }
}

prop_compose! {
    fn calendar_of_minutes()(
        weekdays in weekdays(),
        day in component(1, 31),
        hour in component(0, 23),
        minute in component(0, 59),
        zone in zone(),
    ) -> String {
        format!("{weekdays}*-*-{day} {hour}:{minute}:00{zone}")
    }
}

/// Looks at every minute in `from..end`, by its own reading of the expression.
fn slow_search(text: &str, from: u64, end: u64) -> Option<u64> {
    use chrono::{Datelike, TimeZone, Timelike};

    let mut parts: Vec<&str> = text.split(' ').collect();
    let weekdays: &[u32] = match parts[0] {
        "Mon" => &[0],
        "Sat..Mon" => &[5, 6, 0],
        "sunday,Tue" => &[6, 1],
        _ => &[0, 1, 2, 3, 4, 5, 6],
    };
    if weekdays.len() < 7 {
        parts.remove(0);
    }
    let zone = parts.get(2).map_or(chrono_tz::UTC, |name| name.parse().expect("a zone"));
    let days = numbers(parts[0].split('-').next_back().expect("a day"), 31);
    let mut time = parts[1].split(':');
    let hours = numbers(time.next().expect("an hour"), 23);
    let minutes = numbers(time.next().expect("a minute"), 59);

    (from.div_ceil(60) * 60..end).step_by(60).find(|moment| {
        let instant = chrono::DateTime::from_timestamp(i64::try_from(*moment).expect("small"), 0)
            .expect("in range");
        let local = instant.with_timezone(&zone).naive_local();
        days.contains(&local.day())
            && hours.contains(&local.hour())
            && minutes.contains(&local.minute())
            && weekdays.contains(&local.weekday().num_days_from_monday())
            // Of a time that happens twice only the first counts.
            && zone.from_local_datetime(&local).earliest().expect("it happens") == instant
    })
}

fn numbers(component: &str, high: u32) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().expect("a number");
    if component == "*" {
        return (0..=high).collect();
    }
    match component.split_once("..") {
        None => component.split(',').map(number).collect(),
        Some((start, rest)) => {
            let (end, step) = rest.split_once('/').unwrap_or((rest, "1"));
            (number(start)..=number(end))
                .step_by(usize::try_from(number(step)).expect("small"))
                .collect()
        }
    }
}
