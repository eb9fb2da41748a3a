//! Tickets as people know them: for one holder, with an end, one proof each, and noticed when used.

use std::time::Duration;

use nostr::PublicKey;
use portal_core::cashu::{
    CashuError, Expected, Give, Lock, NewSend, NewTicketRequest, Purpose, QrFrames, QrReader,
    TicketEvent, TicketRequest,
};
use portal_core::env::Env;
use portal_core::identity::LocalKey;
use portal_core::primitives::Timestamp;
use portal_testkit::mint::{Fault, StockMint, StockMintOptions, StockUnit};

use crate::harness::{Owner, address, given, holds, mint, new_mint, new_send, unit};

/// A person with a Nostr key, who is known by it.
fn person(number: u8, mints: &[&StockMint]) -> (Owner, PublicKey) {
    let mut owner = Owner::new(number, mints);
    let secret = [number.wrapping_add(100); 32];
    owner.keys.push(secret);
    (owner, LocalKey::from_secret_bytes(&secret).expect("a key").public_key())
}

#[tokio::test]
async fn a_ticket_locked_to_a_nostr_key_is_that_persons_alone() {
    let mint = mint().await;
    let shop = Owner::new(1, &[&mint]).open().await;
    let (owner, key) = person(2, &[&mint]);
    let phone = owner.open().await;
    let lock = Lock { to: key, until: None };
    let minted = shop.mint("m", given(&mint, "vip", 2, Some(lock))).await.expect("mints");
    let token = minted.token.expect("a token");
    let stranger = Owner::new(3, &[&mint]).open().await;
    let stolen = stranger.receive("s", &token).await;
    assert!(matches!(stolen, Err(CashuError::Locked)), "{stolen:?}");
    let early = shop.take_back("m").await;
    assert!(matches!(early, Err(CashuError::Locked)), "{early:?}");

    let swaps = mint.faults().asked("/v1/swap");
    assert_eq!(phone.receive("r", &token).await.expect("receives").amount, 2);
    assert_eq!(mint.faults().asked("/v1/swap"), swaps, "kept as it is, without a swap");
    let again = phone.receive("again", &token).await;
    assert!(matches!(again, Err(CashuError::AlreadyHeld)), "{again:?}");
    assert_eq!(shop.watch().await.expect("asks"), 0, "claimed is not used");

    let mut show = new_send(&mint, "vip", 1);
    show.purpose = Purpose::Present;
    let shown = phone.send("door", show).await.expect("signed");
    let expected = Expected { mint: address(&mint), unit: unit("vip"), amount: Some(1) };
    shop.burn("b", &shown.token, &expected).await.expect("burns");
    let events = shop.events(0, 10).await.expect("reads");
    let (number, _, event) = &events[0];
    let TicketEvent::Spent { key, amount, used, .. } = event else { panic!("{event:?}") };
    assert_eq!((*number, key.as_str(), *amount, *used), (1, "m", 1, true));
    assert_eq!(shop.watch().await.expect("asks"), 0, "told once");
}

#[tokio::test]
async fn a_gift_without_a_lock_is_claimed_and_that_is_told() {
    let mint = mint().await;
    let shop = Owner::new(1, &[&mint]).open().await;
    let phone = Owner::new(2, &[&mint]).open().await;
    let minted = shop.mint("m", given(&mint, "vip", 3, None)).await.expect("mints");
    phone.receive("r", &minted.token.expect("a token")).await.expect("receives");
    mint.faults().once("/v1/checkstate", Fault::LoseAnswer);
    assert_eq!(shop.watch().await.expect("passed over"), 0);
    assert_eq!(shop.watch().await.expect("asks"), 3);
    let events = shop.events(0, 10).await.expect("reads");
    assert_eq!(events.len(), 3);
    for (_, _, event) in &events {
        assert!(matches!(event, TicketEvent::Spent { used: false, amount: 1, .. }), "{event:?}");
    }
    let after = shop.events(2, 10).await.expect("reads");
    assert_eq!(after.len(), 1, "a cursor goes on where it was");
    assert!(shop.unclaimed().await.expect("reads").is_empty());
}

#[tokio::test]
async fn what_a_lock_has_let_go_can_be_taken_back() {
    let mint = mint().await;
    let shop = Owner::new(1, &[&mint]).open().await;
    let (_, key) = person(2, &[&mint]);
    let over = Timestamp::from_secs(Env::system().now().as_secs() - 10);
    let lock = Lock { to: key, until: Some(over) };
    shop.mint("m", given(&mint, "vip", 2, Some(lock))).await.expect("mints");
    assert_eq!(shop.take_back("m").await.expect("its time is over"), 2);
    assert_eq!(holds(&shop, "vip").await, (2, 0, 0));
}

#[tokio::test]
async fn a_ticket_ends_with_its_event() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let soon = Env::system().now().as_secs() + 3600;
    mint.rotate("vip", vec![1], Some(soon)).await.expect("rotates");
    let wallet = owner.open().await;
    let minted = wallet.mint("m", given(&mint, "vip", 1, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    wallet.close().await;
    let later = {
        let (env, clock) = portal_core::env::mock::env(Env::system().now(), 1);
        clock.advance(Duration::from_secs(3601));
        Owner::new(2, &[&mint]).open_with(env).await
    };
    let late = later.receive("r", &token).await;
    assert!(matches!(late, Err(CashuError::Expired)), "{late:?}");
}

#[tokio::test]
async fn a_ticket_passed_on_is_locked_to_its_next_holder() {
    let mint = mint().await;
    let shop = Owner::new(1, &[&mint]).open().await;
    let (first, first_key) = person(2, &[&mint]);
    let (second, second_key) = person(3, &[&mint]);
    let (a, b) = (first.open().await, second.open().await);
    let lock = Lock { to: first_key, until: None };
    let minted = shop.mint("m", given(&mint, "vip", 1, Some(lock))).await.expect("mints");
    a.receive("r", &minted.token.expect("a token")).await.expect("receives");
    let new = NewSend {
        give: Give { lock: Some(Lock { to: second_key, until: None }), memo: Some("enjoy".into()) },
        ..new_send(&mint, "vip", 1)
    };
    let sent = a.send("gift", new).await.expect("swapped");
    let read = portal_core::cashu::TicketToken::parse(&sent.token).expect("reads");
    assert_eq!(read.memo(), Some("enjoy"));
    assert!(matches!(a.receive("back", &sent.token).await, Err(CashuError::Locked)));
    assert_eq!(b.receive("r", &sent.token).await.expect("theirs").amount, 1);
}

#[tokio::test]
async fn a_box_office_asks_by_a_text_and_any_wallet_answers() {
    let mint = mint().await;
    let shop = Owner::new(1, &[&mint]).open().await;
    let phone = Owner::new(2, &[&mint]).open().await;
    phone.mint("m", new_mint(&mint, "vip", 3)).await.expect("mints");
    let request = NewTicketRequest {
        id: "door".into(),
        mint: address(&mint),
        unit: unit("vip"),
        amount: 2,
        description: None,
        lock_to: Some(shop.key()),
    };
    let read = TicketRequest::parse(&request.to_text().expect("a text")).expect("reads");
    let (at, vip) = (address(&mint), unit("vip"));
    let wrong = phone.pay_request("p", &read, &at, &vip, 1).await;
    assert!(matches!(wrong, Err(CashuError::WrongAmount { expected: 2, found: 1 })), "{wrong:?}");
    let payload = phone.pay_request("p", &read, &at, &vip, 2).await.expect("pays");
    let token = shop.token_of_payload(&payload).expect("a token");
    assert!(matches!(phone.receive("back", &token).await, Err(CashuError::Locked)));
    let expected = Expected { mint: at, unit: vip, amount: Some(2) };
    assert_eq!(shop.burn("b", &token, &expected).await.expect("burns").amount, 2);
}

#[tokio::test]
async fn a_ticket_that_stays_with_its_holder_is_not_passed_on_before_anybody_looked_at_it() {
    let info =
        serde_json::json!({"title": "Season", "show_individually": true, "transferable": false});
    let units = vec![StockUnit::tickets("season").with_info(info)];
    let mint = StockMint::start(StockMintOptions { units, ..StockMintOptions::default() })
        .await
        .expect("a mint");
    let shop = Owner::new(1, &[&mint]).open().await;
    for lost in [false, true] {
        let (owner, key) = person(2, &[&mint]);
        let phone = owner.open().await;
        let lock = Lock { to: key, until: None };
        let order = format!("order-{lost}");
        let minted = shop.mint(&order, given(&mint, "season", 1, Some(lock))).await;
        if lost {
            mint.faults().once("/v1/unit/season", Fault::LoseAnswer);
        }
        let token = minted.expect("mints").token.expect("a token");
        phone.receive("r", &token).await.expect("kept as it is");
        let passed = phone.send("p", new_send(&mint, "season", 1)).await;
        assert!(matches!(passed, Err(CashuError::NotTransferable)), "{passed:?}");
        // Anybody can write a request.
        let request = NewTicketRequest {
            id: "door".into(),
            mint: address(&mint),
            unit: unit("season"),
            amount: 1,
            description: None,
            lock_to: None,
        };
        let read = TicketRequest::parse(&request.to_text().expect("a text")).expect("reads");
        let answered = phone.pay_request("q", &read, &address(&mint), &unit("season"), 1).await;
        assert!(matches!(answered, Err(CashuError::NotTransferable)), "{answered:?}");
        let shown = NewSend { purpose: Purpose::Present, ..new_send(&mint, "season", 1) };
        phone.send("d", shown).await.expect("to the door it goes");
    }
}

#[tokio::test]
async fn what_is_not_known_to_be_transferable_waits_for_its_mint() {
    let mint = mint().await;
    let (owner, key) = person(2, &[&mint]);
    let phone = owner.open().await;
    let shop = Owner::new(1, &[&mint]).open().await;
    let lock = Lock { to: key, until: None };
    let minted = shop.mint("m", given(&mint, "vip", 1, Some(lock))).await.expect("mints");
    mint.faults().always("/v1/unit/", Fault::LoseAnswer);
    phone.receive("r", &minted.token.expect("a token")).await.expect("kept as it is");
    let unknown = phone.send("p", new_send(&mint, "vip", 1)).await;
    assert!(matches!(unknown, Err(CashuError::Unreachable)), "{unknown:?}");
    mint.faults().clear();
    // A mint that says nothing of its units forbids nothing.
    mint.faults().always("/v1/unit/", Fault::Answer(404, String::new()));
    phone.send("p", new_send(&mint, "vip", 1)).await.expect("passed on");
    let asked = mint.faults().asked("/v1/unit/");
    assert!(phone.unit_info(&address(&mint), &unit("vip")).await.expect("reads").is_none());
    assert_eq!(mint.faults().asked("/v1/unit/"), asked, "it was asked a moment ago");
}

#[tokio::test]
async fn a_token_is_read_from_an_animated_code_with_gaps() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    let minted = wallet.mint("m", given(&mint, "vip", 10, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    let mut frames = QrFrames::new(&token).expect("frames");
    assert!(frames.count() > 5);
    let mut reader = QrReader::default();
    let mut read = None;
    for number in 0..frames.count() * 10 {
        let frame = frames.next_frame().expect("a frame");
        assert!(frame.starts_with("UR:BYTES/") && frame.len() < 500, "{}", frame.len());
        // A camera misses every third.
        if number % 3 != 0 {
            read = reader.take(&frame).expect("reads");
        }
        if read.is_some() {
            break;
        }
    }
    assert_eq!(read.as_deref(), Some(token.as_str()));
    assert!(QrReader::default().take("ur:bytes/nonsense").is_err());
    assert!(QrReader::default().take(&"x".repeat(5000)).is_err());
    assert!(QrFrames::new("cashuBnonsense").is_err());
}

#[tokio::test]
async fn a_service_takes_what_the_person_allowed_and_no_more() {
    let mint = mint().await;
    let phone = Owner::new(2, &[&mint]).open().await;
    phone.mint("m", new_mint(&mint, "vip", 5)).await.expect("mints");
    let (_, service) = person(9, &[]);
    let allowance = portal_core::cashu::Allowance {
        service,
        mint: address(&mint),
        unit: unit("vip"),
        most: 2,
        left: 3,
        until: None,
    };
    let ask = async |key: &str, amount| {
        phone
            .send_allowed(key, &service, address(&mint), unit("vip"), amount, Give::default())
            .await
    };
    assert!(matches!(ask("a", 1).await, Err(CashuError::NotAllowed)));
    phone.allow(&allowance).await.expect("kept");
    let first = ask("a", 2).await.expect("allowed");
    assert_eq!(ask("a", 2).await.expect("the same"), first, "charged once");
    assert!(matches!(ask("b", 2).await, Err(CashuError::NotAllowed)), "only one is left");
    ask("b", 1).await.expect("allowed");
    assert_eq!(holds(&phone, "vip").await, (2, 0, 3));
    phone
        .allow(&portal_core::cashu::Allowance { most: 10, left: 10, ..allowance.clone() })
        .await
        .expect("kept");
    let poor = ask("c", 9).await;
    assert!(matches!(poor, Err(CashuError::InsufficientFunds { available: 2 })), "{poor:?}");
    assert_eq!(phone.allowances().await.expect("reads")[0].left, 10, "what failed costs nothing");
    // The person tries by hand, and it fails; then the service asks again.
    let by_hand = portal_core::cashu::NewSend {
        purpose: portal_core::cashu::Purpose::Present,
        ..new_send(&mint, "vip", 9)
    };
    assert!(phone.send("by-hand", by_hand).await.is_err());
    let poor = ask("by-hand", 9).await;
    assert!(matches!(poor, Err(CashuError::InsufficientFunds { available: 2 })), "{poor:?}");
    let left = phone.allowances().await.expect("reads")[0].left;
    assert_eq!(left, 10, "what was not taken is not given back");
    phone.disallow(&service, &address(&mint), &unit("vip")).await.expect("gone");
    assert!(matches!(ask("d", 1).await, Err(CashuError::NotAllowed)));
}

#[tokio::test]
async fn a_rotated_keyset_is_noticed_and_old_tickets_stay_good() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    wallet.mint("m", new_mint(&mint, "vip", 2)).await.expect("mints");
    mint.rotate("vip", vec![1], None).await.expect("rotates");
    let minted = wallet.mint("n", given(&mint, "vip", 1, None)).await.expect("with new keys");
    let sent = wallet.send("s", new_send(&mint, "vip", 2)).await.expect("the old ones");
    let other = Owner::new(2, &[&mint]).open().await;
    other.receive("a", &sent.token).await.expect("still good");
    other.receive("b", &minted.token.expect("a token")).await.expect("good");
    assert_eq!(mint.outstanding("vip").await.expect("says"), 3);
}

#[tokio::test]
async fn powers_of_two_are_given_singly_where_tickets_are_shown_singly() {
    let info = serde_json::json!({"show_individually": true});
    let units = vec![StockUnit::fungible("general").with_info(info)];
    let mint = StockMint::start(StockMintOptions { units, ..StockMintOptions::default() })
        .await
        .expect("a mint");
    let wallet = Owner::new(1, &[&mint]).open().await;
    wallet.mint("m", new_mint(&mint, "general", 7)).await.expect("mints");
    assert_eq!(wallet.balances().await.expect("reads")[0].proofs, 7);
}
