//! Giving money back.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::bench::{Bench, MSATS, START, Seen, at, key, public, stream};
use crate::conversation::ask::{Ask, Question};
use crate::conversation::refund::{PaidOut, Refund, RefundState};
use crate::conversation::{Conversation, Effect, Peer};
use crate::env::mock;
use crate::event::PortalEvent;
use crate::primitives::{ErrorCode, Millisats, RequestId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::envelope::Refusal;
use crate::protocol::invoice::{Echo, InvoiceRequest, InvoiceResponse};
use crate::protocol::kinds::INVOICE_RESPONSE;
use crate::wallet::simulated::SimulatedNetwork;
use crate::wallet::{LightningWallet, NewInvoice};

fn invoice(msat: u64) -> String {
    let network = SimulatedNetwork::new(mock::env(Timestamp::from_secs(START), 1).0);
    let wallet = network.wallet("person", Millisats::new(0)).expect("new");
    let expiry = Duration::from_secs(600);
    let order = NewInvoice { amount: Millisats::new(msat), description: None, expiry };
    wallet.make_invoice(order).now_or_never().expect("at once").expect("made").bolt11
}

fn bench() -> Bench {
    let mut bench = Bench::service();
    let network = Some("regtest".to_owned());
    let question = Question::Invoice { request_id: RequestId::new("r"), amount: MSATS, network };
    let message = "{\"give\":1}".to_owned();

    let ask =
        Ask { peer: Peer::new(public(2)), question, message: message.into(), expires_at: at(300) };
    let refund = Refund { ask, payment: stream(9), amount: MSATS, invoice: None };
    let seen = bench.open(stream(1), Conversation::Refund(Box::new(refund)));
    assert_eq!(seen.published.len(), 1, "the person is asked");
    assert_eq!(seen.refunds, [RefundState::Open], "it counts from now on");
    bench
}

fn gives(bench: &mut Bench, author: u8, invoice: &str, second: u64) -> Seen {
    let inner = InvoiceRequest {
        request_id: RequestId::new("r"),
        amount: 1,
        currency: Currency::Millisats,
        current_exchange_rate: None,
        expires_at: at(0),
        description: None,
        refund_invoice: None,
    };
    let message = InvoiceResponse {
        request: Echo { inner, main_key: public(1), recipient: public(1) },
        invoice: invoice.to_owned(),
        payment_hash: None,
    };
    bench.message(&key(author), INVOICE_RESPONSE, &message, at(second))
}

fn paid() -> PaidOut {
    PaidOut::Settled { preimage: "ab".repeat(32), fee: Millisats::new(7) }
}

fn pays(seen: &Seen, text: &str) -> bool {
    seen.effects.iter().any(|effect| {
        matches!(effect, Effect::PayOut { stream: of, invoice, .. } if *of == stream(1) && invoice == text)
    })
}

#[test]
fn the_invoice_that_was_asked_for_is_paid_and_then_told() {
    let mut bench = bench();
    let text = invoice(5000);
    let seen = gives(&mut bench, 2, &text, 1);
    assert!(pays(&seen, &text) && seen.events.is_empty());
    // Not even the deadline of the request ends what is being paid.
    assert!(bench.tick(at(10_000)).is_nothing());
    let step = bench.engine.paid_out(stream(1), paid());
    let seen = bench.apply(step);
    assert_eq!(seen.refunds, [RefundState::Paid]);
    let event = seen.event();
    let PortalEvent::Refunded { payment, amount_msat, fees_paid_msat, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!((payment, amount_msat, fees_paid_msat), (stream(9), MSATS, Millisats::new(7)));
    assert!(bench.engine.is_empty());
    let step = bench.engine.paid_out(stream(1), paid());
    assert!(bench.apply(step).is_nothing(), "once");
}

#[test]
fn what_was_being_paid_goes_on_after_a_restart() {
    let mut bench = bench();
    let text = invoice(5000);
    gives(&mut bench, 2, &text, 1);
    let seen = bench.restart();
    assert!(pays(&seen, &text));
    assert!(gives(&mut bench, 2, &invoice(5000), 2).refused() == Refusal::Unexpected, "it has one");
}

#[test]
fn a_wrong_invoice_or_none_ends_it_unpaid() {
    for (text, second) in [(invoice(4999), 1), (invoice(5001), 1), ("lnbc1".to_owned(), 1)] {
        let mut bench = bench();
        let seen = gives(&mut bench, 2, &text, second);
        assert!(!pays(&seen, &text));
        assert_eq!(seen.refunds, [RefundState::Void], "there may be another");
        assert!(matches!(seen.event(), PortalEvent::Error { code: ErrorCode::InvalidInvoice, .. }));
        assert!(bench.engine.is_empty());
    }
    let mut bench = bench();
    assert_eq!(gives(&mut bench, 3, &invoice(5000), 1).refused(), Refusal::WrongAuthor);
    let seen = bench.tick(at(300));
    assert_eq!(seen.refunds, [RefundState::Void]);
    let event = seen.event();
    assert!(matches!(event, PortalEvent::Error { code: ErrorCode::Timeout, .. }));
    assert!(bench.engine.is_empty());
}

#[test]
fn what_could_not_be_paid_is_told_with_its_code() {
    let mut bench = bench();
    gives(&mut bench, 2, &invoice(5000), 1);
    let no = PaidOut::NotPaid { code: ErrorCode::InsufficientFunds, reason: "empty".to_owned() };
    let step = bench.engine.paid_out(stream(1), no);
    let seen = bench.apply(step);
    assert_eq!(seen.refunds, [RefundState::Void]);
    let event = seen.event();
    assert!(matches!(event, PortalEvent::Error { code: ErrorCode::InsufficientFunds, .. }));
    assert!(bench.engine.is_empty());
}
