//! Requests for an invoice and for a ticket.

use std::time::Duration;

use futures_util::FutureExt as _;
use lightning_invoice::{InvoiceBuilder, PaymentSecret};
use nostr::hashes::{Hash as _, sha256};
use secp256k1::{SECP256K1, SecretKey};

use super::bench::{Bench, MSATS, START, ask, at, key, public, stream};
use crate::conversation::Conversation;
use crate::conversation::ask::{Ask, Mismatch, Question};
use crate::env::mock;
use crate::event::PortalEvent;
use crate::primitives::{ErrorCode, Millisats, RequestId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::envelope::Refusal;
use crate::protocol::invoice::{Echo, InvoiceRequest, InvoiceResponse};
use crate::protocol::kinds::{CASHU_RESPONSE, INVOICE_RESPONSE};
use crate::protocol::ticket::{CashuRequest, CashuResponse, CashuStatus};
use crate::wallet::simulated::SimulatedNetwork;
use crate::wallet::{LightningWallet, NewInvoice};

fn invoice(amount: Option<u64>, expiry: u64) -> String {
    let network = SimulatedNetwork::new(mock::env(Timestamp::from_secs(START), 1).0);
    let wallet = network.wallet("person", Millisats::new(0)).expect("new");
    let expiry = Duration::from_secs(expiry);
    match amount {
        None => wallet.make_amountless_invoice(None, expiry).expect("made").bolt11,
        Some(msat) => {
            wallet
                .make_invoice(NewInvoice {
                    amount: Millisats::new(msat),
                    description: None,
                    expiry,
                })
                .now_or_never()
                .expect("at once")
                .expect("made")
                .bolt11
        }
    }
}

/// 5,000 msat on the main network.
fn mainnet() -> String {
    InvoiceBuilder::new(lightning_invoice::Currency::Bitcoin)
        .description(String::new())
        .payment_hash(sha256::Hash::hash(&[1]))
        .payment_secret(PaymentSecret([2; 32]))
        .duration_since_epoch(Duration::from_secs(START))
        .min_final_cltv_expiry_delta(18)
        .expiry_time(Duration::from_secs(600))
        .amount_milli_satoshis(5000)
        .build_signed(|message| {
            SECP256K1.sign_ecdsa_recoverable(message, &SecretKey::from_slice(&[3; 32]).expect("ok"))
        })
        .expect("complete")
        .to_string()
}

fn gives(request_id: &str, invoice: &str) -> InvoiceResponse {
    let inner = InvoiceRequest {
        request_id: RequestId::new(request_id),
        amount: 1,
        currency: Currency::Millisats,
        current_exchange_rate: None,
        expires_at: at(0),
        description: None,
        refund_invoice: None,
    };
    InvoiceResponse {
        request: Echo { inner, main_key: public(1), recipient: public(1) },
        invoice: invoice.to_owned(),
        payment_hash: Some("what the wallet says here is not believed".to_owned()),
    }
}

fn bench() -> Bench {
    let mut bench = Bench::service();
    let question = Question::Invoice {
        request_id: RequestId::new("i"),
        amount: MSATS,
        network: Some("regtest".to_owned()),
    };
    bench.open(stream(1), ask(public(2), question));
    bench
}

#[test]
fn the_invoice_that_was_asked_for_ends_the_stream() {
    let mut bench = bench();
    let text = invoice(Some(5000), 600);
    let parsed = crate::wallet::bolt11::Bolt11::parse(&text).expect("an invoice");
    let seen = bench.message(&key(2), INVOICE_RESPONSE, &gives("i", &text), at(1)).event();
    let hash = Some(parsed.payment_hash.to_string());
    assert_eq!(seen, PortalEvent::InvoiceResponse { invoice: text, payment_hash: hash });
}

#[test]
fn an_invoice_that_is_not_what_was_asked_for_ends_the_stream_with_an_error() {
    let cases = [
        (invoice(Some(5001), 600), "another amount"),
        (invoice(None, 600), "no amount"),
        (invoice(Some(5000), 1), "expired"),
        (invoice(Some(5000), 130), "before it can be paid"),
        (mainnet(), "another network"),
        ("lnbc1".to_owned(), "not a BOLT11"),
        (String::new(), "not a BOLT11"),
    ];
    for (text, why) in cases {
        let mut bench = bench();
        match bench.message(&key(2), INVOICE_RESPONSE, &gives("i", &text), at(100)).event() {
            PortalEvent::Error { code: ErrorCode::InvalidInvoice, reason } => {
                assert!(reason.contains(why), "{reason}");
            }
            other => panic!("an error, not {other:?}"),
        }
        assert!(bench.engine.is_empty());
    }
}

#[test]
fn an_invoice_of_a_stranger_or_for_another_request_is_ignored() {
    let mut bench = bench();
    let text = invoice(Some(5000), 600);
    let stranger = bench.message(&key(3), INVOICE_RESPONSE, &gives("i", &text), at(1));
    assert_eq!(stranger.refused(), Refusal::WrongAuthor);
    let other = bench.message(&key(2), INVOICE_RESPONSE, &gives("j", &text), at(1));
    assert_eq!(other.refused(), Refusal::Unexpected);
    let late = bench.message(&key(2), INVOICE_RESPONSE, &gives("i", &text), at(300));
    assert_eq!(late.refused(), Refusal::Expired);
    assert_eq!(bench.engine.len(), 1);
}

fn ticket(status: CashuStatus) -> CashuResponse {
    let inner = CashuRequest {
        request_id: RequestId::new("i"),
        mint_url: "https://mint.example".to_owned(),
        unit: "ticket".to_owned(),
        amount: 1,
        expires_at: at(0),
    };
    CashuResponse { request: Echo { inner, main_key: public(1), recipient: public(1) }, status }
}

#[test]
fn each_answer_to_a_ticket_request_ends_the_stream() {
    let answers = [
        CashuStatus::Success { token: "cashuB".to_owned() },
        CashuStatus::InsufficientFunds,
        CashuStatus::Rejected { reason: None },
    ];
    for status in answers {
        let mut bench = Bench::service();
        let question = Question::Cashu { request_id: RequestId::new("i") };
        bench.open(stream(1), ask(public(2), question));
        let stranger = bench.message(&key(3), CASHU_RESPONSE, &ticket(status.clone()), at(1));
        assert_eq!(stranger.refused(), Refusal::WrongAuthor);
        let seen = bench.message(&key(2), CASHU_RESPONSE, &ticket(status.clone()), at(1));
        assert_eq!(seen.event(), PortalEvent::CashuResponse { status });
        assert!(bench.engine.is_empty());
    }
}

/// Stands for what reads tokens: `"good"` is what was asked for.
fn only_good(asked: &CashuRequest, token: &str) -> Result<(), Mismatch> {
    assert_eq!((asked.unit.as_str(), asked.amount), ("vip", 2), "what we asked, not what they say");
    let reason = "the token is of another amount than was asked for";
    if token == "good" { Ok(()) } else { Err(Mismatch { code: ErrorCode::WrongTicket, reason }) }
}

#[test]
fn a_ticket_that_was_not_asked_for_ends_the_stream_with_an_error() {
    let asked = CashuRequest {
        unit: "vip".to_owned(),
        amount: 2,
        ..ticket(CashuStatus::InsufficientFunds).request.inner
    };
    let question = Question::Cashu { request_id: RequestId::new("i") };
    let message: Box<str> = serde_json::to_string(&asked).expect("plain data").into();
    let answer = |token: &str| {
        let mut bench = Bench::service();
        bench.engine.check_tokens(only_good);
        let Conversation::Ask(open) = ask(public(2), question.clone()) else { unreachable!() };
        let open = Ask { message: message.clone(), ..*open };
        bench.open(stream(1), Conversation::Ask(Box::new(open)));
        let status = CashuStatus::Success { token: token.to_owned() };
        let seen = bench.message(&key(2), CASHU_RESPONSE, &ticket(status), at(1));
        assert!(bench.engine.is_empty(), "nothing better will follow");
        seen.event()
    };
    assert!(matches!(answer("good"), PortalEvent::CashuResponse { .. }));
    let event = answer("another");
    assert!(
        matches!(&event, PortalEvent::Error { code: ErrorCode::WrongTicket, reason }
            if reason.contains("another amount")),
        "{event:?}"
    );
}

#[test]
fn an_answer_of_another_kind_finds_nobody_with_the_same_id() {
    let mut bench = bench();
    let seen =
        bench.message(&key(2), CASHU_RESPONSE, &ticket(CashuStatus::InsufficientFunds), at(1));
    assert_eq!(seen.refused(), Refusal::Unexpected, "kinds do not share ids");
}

#[test]
fn two_people_asked_with_one_request_id_each_answer_their_own() {
    let mut bench = Bench::service();
    let question = || Question::Cashu { request_id: RequestId::new("i") };
    bench.open(stream(1), ask(public(2), question()));
    bench.open(stream(2), ask(public(3), question()));
    let seen =
        bench.message(&key(3), CASHU_RESPONSE, &ticket(CashuStatus::InsufficientFunds), at(1));
    assert_eq!(seen.events[0].0, stream(2));
    let seen =
        bench.message(&key(2), CASHU_RESPONSE, &ticket(CashuStatus::InsufficientFunds), at(1));
    assert_eq!(seen.events[0].0, stream(1));
}
