//! The gate: every verdict, with and without a network.

use std::time::Duration;

use portal_core::cashu::{
    Event, GateReport, Give, Lock, NewSend, OfflineRule, Patience, Purpose, Refusal, TicketEvent,
    TicketWallet, Verdict,
};
use portal_testkit::mint::{Fault, StockMint};

use crate::harness::{Owner, address, given, mint, new_mint, new_send, unit};

fn event(mint: &StockMint, offline: OfflineRule) -> Event {
    Event { mint: address(mint), unit: unit("vip"), amount: Some(1), offline }
}

const VALID: Verdict = Verdict::Valid { amount: 1, offline: false };
const VALID_OFFLINE: Verdict = Verdict::Valid { amount: 1, offline: true };

/// A ticket as a phone shows it; locked to the gate when there is one.
async fn show(
    phone: &TicketWallet,
    mint: &StockMint,
    key: &str,
    to: Option<&TicketWallet>,
) -> String {
    let lock = to.map(|gate| Lock { to: gate.key(), until: None });
    let new = NewSend {
        give: Give { lock, memo: None },
        purpose: Purpose::Present,
        ..new_send(mint, "vip", 1)
    };
    phone.send(key, new).await.expect("shown").token
}

struct Scene {
    mint: StockMint,
    _owners: [Owner; 2],
    shop: TicketWallet,
    phone: TicketWallet,
}

async fn scene() -> Scene {
    let mint = mint().await;
    let mut owners = [Owner::new(1, &[&mint]), Owner::new(2, &[&mint])];
    for owner in &mut owners {
        owner.patience =
            Patience { connect: Duration::from_secs(2), answer: Duration::from_millis(600) };
    }
    let shop = owners[0].open().await;
    let phone = owners[1].open().await;
    phone.mint("m", new_mint(&mint, "vip", 10)).await.expect("mints");
    Scene { mint, _owners: owners, shop, phone }
}

#[tokio::test]
async fn with_the_mint() {
    let Scene { mint, shop, phone, .. } = scene().await;
    let gate = shop.gate(event(&mint, OfflineRule::Nothing));
    shop.prepare_gate(&event(&mint, OfflineRule::Nothing)).await.expect("prepared");
    let ticket = show(&phone, &mint, "a", None).await;
    assert_eq!(gate.check(&ticket).await.expect("looks"), VALID);
    assert_eq!(gate.check(&ticket).await.expect("looks"), Verdict::Used);
    let elsewhere = Owner::new(3, &[&mint]).open().await;
    let other_gate = elsewhere.gate(event(&mint, OfflineRule::Nothing));
    assert_eq!(other_gate.check(&ticket).await.expect("looks"), Verdict::Used, "at another gate");
    assert_eq!(mint.outstanding("vip").await.expect("says"), 9, "it is burned");

    let money = phone.mint("sat", given(&mint, "sat", 1, None)).await.expect("mints");
    let verdict = gate.check(&money.token.expect("a token")).await.expect("looks");
    assert_eq!(verdict, Verdict::WrongEvent);
    let two = phone.send("two", new_send(&mint, "vip", 2)).await.expect("sends").token;
    let verdict = gate.check(&two).await.expect("looks");
    assert_eq!(verdict, Verdict::Refused(Refusal::WrongAmount));
    for nonsense in ["", "cashuB", "hello", &ticket[..ticket.len() / 2]] {
        let verdict = gate.check(nonsense).await.expect("looks");
        assert_eq!(verdict, Verdict::Refused(Refusal::Unreadable), "{nonsense}");
    }
}

#[tokio::test]
async fn a_mint_that_is_busy_makes_it_pending_and_not_bad() {
    let Scene { mint, shop, phone, .. } = scene().await;
    let gate = shop.gate(event(&mint, OfflineRule::Nothing));
    let ticket = show(&phone, &mint, "a", None).await;
    let busy = r#"{"code":11002,"detail":"Token is pending"}"#.to_owned();
    mint.faults().once("/v1/melt/portal", Fault::Answer(400, busy));
    assert_eq!(gate.check(&ticket).await.expect("looks"), Verdict::Pending);
    assert_eq!(gate.check(&ticket).await.expect("looks again"), VALID);
}

#[tokio::test]
async fn a_ticket_that_is_being_burned_is_pending_and_not_unreachable() {
    let Scene { mint, shop, phone, .. } = scene().await;
    shop.prepare_gate(&event(&mint, OfflineRule::Nothing)).await.expect("prepared");
    let gate = shop.gate(event(&mint, OfflineRule::Nothing));
    // The mint burns it, and its answer is lost, late, or not an answer.
    let nonsense = Fault::AnswerFor(502, "<html>".into());
    for (number, fault) in [Fault::LoseAnswer, Fault::Hang, nonsense].into_iter().enumerate() {
        let ticket = show(&phone, &mint, &format!("t{number}"), None).await;
        mint.faults().once("/v1/melt/portal", fault.clone());
        assert_eq!(gate.check(&ticket).await.expect("looks"), Verdict::Pending, "{fault:?}");
        if number == 0 {
            shop.recover().await.expect("goes on");
        }
        assert_eq!(gate.check(&ticket).await.expect("looks"), VALID, "{fault:?}");
        assert_eq!(gate.check(&ticket).await.expect("looks"), Verdict::Used, "{fault:?}");
    }
    let ticket = show(&phone, &mint, "never", None).await;
    mint.faults().once("/v1/melt/quote", Fault::Hang);
    let verdict = gate.check(&ticket).await.expect("looks");
    assert_eq!(verdict, Verdict::Unreachable, "the mint has not seen it");
}

#[tokio::test]
async fn without_the_mint_the_rule_decides() {
    let Scene { mint, shop, phone, .. } = scene().await;
    shop.prepare_gate(&event(&mint, OfflineRule::Nothing)).await.expect("prepared");
    let open = show(&phone, &mint, "open", None).await;
    let locked = show(&phone, &mint, "locked", Some(&shop)).await;
    for path in ["/v1/melt", "/v1/swap", "/v1/info"] {
        mint.faults().always(path, Fault::Hang);
    }
    let check = async |rule, ticket: &str| {
        shop.gate(event(&mint, rule)).check(ticket).await.expect("looks")
    };
    assert_eq!(check(OfflineRule::Nothing, &locked).await, Verdict::Unreachable);
    assert_eq!(check(OfflineRule::Signed, &open).await, Verdict::Unreachable);
    assert_eq!(check(OfflineRule::LockedToUs, &locked).await, VALID_OFFLINE);
    assert_eq!(
        check(OfflineRule::LockedToUs, &locked).await,
        Verdict::Used,
        "this gate has seen it"
    );
    assert_eq!(check(OfflineRule::Anything, &open).await, VALID_OFFLINE);

    let gate = shop.gate(event(&mint, OfflineRule::Anything));
    assert_eq!(gate.settle().await.expect("asks").waiting, 2);
    mint.faults().clear();
    let report = gate.settle().await.expect("asks");
    assert_eq!(report, GateReport { burned: 2, refused: 0, waiting: 0 });
    assert_eq!(mint.outstanding("vip").await.expect("says"), 8);
    assert_eq!(gate.settle().await.expect("asks"), GateReport::default());
}

#[tokio::test]
async fn what_was_let_in_and_is_worth_nothing_becomes_an_event() {
    let Scene { mint, shop, phone, .. } = scene().await;
    shop.prepare_gate(&event(&mint, OfflineRule::Nothing)).await.expect("prepared");
    let ticket = show(&phone, &mint, "a", None).await;
    let elsewhere = Owner::new(3, &[&mint]).open().await;
    let first = elsewhere.gate(event(&mint, OfflineRule::Nothing));
    assert_eq!(first.check(&ticket).await.expect("looks"), VALID);
    let gate = shop.gate(event(&mint, OfflineRule::Anything));
    assert_eq!(gate.check_offline(&ticket).await.expect("looks"), VALID_OFFLINE);
    assert_eq!(gate.settle().await.expect("asks").refused, 1);
    let events = shop.events(0, 10).await.expect("reads");
    assert!(matches!(events[0].2, TicketEvent::Refused { .. }), "{events:?}");
}

#[tokio::test]
async fn what_the_mint_never_signed_does_not_pass_also_offline() {
    let Scene { mint, shop, phone, .. } = scene().await;
    shop.prepare_gate(&event(&mint, OfflineRule::Anything)).await.expect("prepared");
    let other = StockMint::start(portal_testkit::mint::StockMintOptions {
        seed: [66; 32],
        ..Default::default()
    })
    .await
    .expect("a mint");
    let forger = Owner::new(5, &[&other]).open().await;
    let fake = forger.mint("m", given(&other, "vip", 1, None)).await.expect("mints");
    let fake = crate::hostile::renamed(&fake.token.expect("a token"), &mint.url());
    let gate = shop.gate(event(&mint, OfflineRule::Anything));
    assert_ne!(gate.check_offline(&fake).await.expect("looks"), VALID_OFFLINE);
    let fake_keyset =
        crate::hostile::with_keyset_of(&fake, &show(&phone, &mint, "real", None).await);
    let verdict = gate.check_offline(&fake_keyset).await.expect("looks");
    assert_eq!(verdict, Verdict::Refused(Refusal::Forged));
    let verdict = gate.check(&fake_keyset).await.expect("looks");
    assert_eq!(verdict, Verdict::Refused(Refusal::Forged));

    let bare = crate::hostile::without_proofs_of_signature(&show(&phone, &mint, "b", None).await);
    let verdict = gate.check_offline(&bare).await.expect("looks");
    assert_eq!(verdict, Verdict::Unreachable, "only the mint can tell");
    assert_eq!(gate.check(&bare).await.expect("looks"), VALID);
}

#[tokio::test]
async fn a_ticket_of_another_holder_is_not_a_ticket_until_they_sign() {
    let Scene { mint, shop, .. } = scene().await;
    let holder = Owner::new(7, &[&mint]).open().await;
    let lock = Lock { to: holder.key(), until: None };
    let minted = shop.mint("m", given(&mint, "vip", 1, Some(lock))).await.expect("mints");
    let token = minted.token.expect("a token");
    let gate = shop.gate(event(&mint, OfflineRule::Signed));
    let verdict = gate.check_offline(&token).await.expect("looks");
    assert_eq!(verdict, Verdict::Refused(Refusal::Unsigned));
    holder.receive("r", &token).await.expect("theirs");
    let shown = show(&holder, &mint, "d", None).await;
    assert_eq!(gate.check_offline(&shown).await.expect("looks"), VALID_OFFLINE);
    assert_eq!(gate.check(&shown).await.expect("looks"), Verdict::Used);
    assert_eq!(gate.settle().await.expect("asks").burned, 1);
}

#[tokio::test]
async fn a_gate_remembers_over_a_restart() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let shop = owner.open().await;
    let phone = Owner::new(2, &[&mint]).open().await;
    phone.mint("m", new_mint(&mint, "vip", 1)).await.expect("mints");
    shop.prepare_gate(&event(&mint, OfflineRule::Anything)).await.expect("prepared");
    let ticket = show(&phone, &mint, "a", None).await;
    let gate = shop.gate(event(&mint, OfflineRule::Anything));
    assert_eq!(gate.check_offline(&ticket).await.expect("looks"), VALID_OFFLINE);
    shop.close().await;
    let shop = owner.open().await;
    let gate = shop.gate(event(&mint, OfflineRule::Anything));
    assert_eq!(gate.check_offline(&ticket).await.expect("looks"), Verdict::Used);
    assert_eq!(gate.settle().await.expect("asks").burned, 1);
}

#[tokio::test]
async fn one_ticket_shown_forty_times_at_once_goes_in_once() {
    let Scene { mint, shop, phone, .. } = scene().await;
    let ticket = show(&phone, &mint, "a", None).await;
    let gate = shop.gate(event(&mint, OfflineRule::Anything));
    let gate = &gate;
    let ticket = &ticket;
    let looks = futures_util::future::join_all(
        (0..40).map(|_| async move { gate.check(ticket).await.expect("looks") }),
    )
    .await;
    let valid = looks.iter().filter(|verdict| matches!(verdict, Verdict::Valid { .. })).count();
    assert_eq!(valid, 1, "{looks:?}");
    let others = looks.iter().filter(|verdict| matches!(verdict, Verdict::Used)).count();
    assert_eq!(others, 39, "{looks:?}");
}

#[tokio::test]
async fn another_spelling_of_a_ticket_is_the_same_ticket() {
    let Scene { mint, shop, phone, .. } = scene().await;
    shop.prepare_gate(&event(&mint, OfflineRule::Nothing)).await.expect("prepared");
    let ticket = show(&phone, &mint, "a", None).await;
    let strict = shop.gate(event(&mint, OfflineRule::Nothing));
    mint.faults().once("/v1/melt/portal", Fault::Hang);
    assert_eq!(strict.check(&ticket).await.expect("looks"), Verdict::Pending);
    let spelled = format!(" cashu:{ticket}\n");
    assert_eq!(shop.gate(strict_event(&mint)).check(&spelled).await.expect("looks"), VALID);

    // Let in offline as it was scanned, burned later as it is kept.
    let ticket = show(&phone, &mint, "b", None).await;
    mint.faults().always("/v1/melt/portal", Fault::Hang);
    let gate = shop.gate(event(&mint, OfflineRule::Anything));
    let verdict = gate.check(&format!("cashu:{ticket}")).await.expect("looks");
    assert_eq!(verdict, VALID_OFFLINE);
    mint.faults().clear();
    let report = shop.settle().await.expect("asks");
    assert_eq!(report, GateReport { burned: 1, refused: 0, waiting: 0 });
    assert_eq!(mint.outstanding("vip").await.expect("says"), 8);
}

fn strict_event(mint: &StockMint) -> Event {
    event(mint, OfflineRule::Nothing)
}

#[tokio::test]
async fn a_forged_ticket_is_refused_and_does_not_send_the_gate_offline() {
    let Scene { mint, shop, phone, .. } = scene().await;
    shop.prepare_gate(&event(&mint, OfflineRule::Anything)).await.expect("prepared");
    let elsewhere = Owner::new(3, &[&mint]).open().await;
    let used = show(&phone, &mint, "used", None).await;
    let other_gate = elsewhere.gate(event(&mint, OfflineRule::Nothing));
    assert_eq!(other_gate.check(&used).await.expect("looks"), VALID);

    let (one, two) = (show(&phone, &mint, "1", None).await, show(&phone, &mint, "2", None).await);
    let forged = crate::hostile::with_signature_of(&one, &two);
    let gate = shop.gate(event(&mint, OfflineRule::Anything));
    let verdict = gate.check(&forged).await.expect("looks");
    assert_eq!(verdict, Verdict::Refused(Refusal::Forged));
    assert_eq!(gate.check(&used).await.expect("looks"), Verdict::Used, "the mint is still asked");
    assert_eq!(gate.check(&one).await.expect("looks"), VALID, "the real one goes in");
}

#[tokio::test]
async fn a_gate_whose_token_is_refused_does_not_call_tickets_bad() {
    let Scene { mint, shop, phone, .. } = scene().await;
    shop.prepare_gate(&event(&mint, OfflineRule::Nothing)).await.expect("prepared");
    let ticket = show(&phone, &mint, "a", None).await;
    let gate = shop.gate(event(&mint, OfflineRule::Nothing));
    let no = r#"{"code":30002,"detail":"the token is not valid"}"#.to_owned();
    mint.faults().once("/v1/melt/quote/portal", Fault::Answer(401, no));
    assert_eq!(gate.check(&ticket).await.expect("looks"), Verdict::Unreachable);
    assert_eq!(gate.check(&ticket).await.expect("looks"), VALID);
}

#[tokio::test]
async fn a_ticket_with_another_way_out_is_not_good_offline() {
    let Scene { mint, shop, phone, .. } = scene().await;
    shop.prepare_gate(&event(&mint, OfflineRule::Nothing)).await.expect("prepared");
    let either = crate::interop::locked_to_either(&mint, &[shop.key(), phone.key()]).await;
    for rule in [OfflineRule::LockedToUs, OfflineRule::Signed] {
        let verdict = shop.gate(event(&mint, rule)).check_offline(&either).await.expect("looks");
        assert_eq!(verdict, Verdict::Unreachable, "{rule:?}");
    }
    // Nor is it kept as it is: the other one could take it back.
    phone.receive("either", &either).await.expect("receives");
    assert!(mint.faults().asked("/v1/swap") > 0, "it was swapped");
    let late = shop.receive("late", &either).await;
    assert!(matches!(late, Err(portal_core::cashu::CashuError::Spent)), "{late:?}");
}
