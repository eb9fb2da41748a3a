//! Hearing from the mint that a ticket was used, without asking (NUT-17).

use std::time::Duration;

use cdk_common::{PublicKey, State};
use portal_core::cashu::{Expected, Lock, TicketEvent, TicketWallet};
use portal_testkit::mint::{Fault, StockMint, StockMintOptions};

use crate::harness::{Owner, address, given, holds, new_send, unit};

const SOCKET: &str = "/v1/ws";

async fn mint() -> StockMint {
    let options = StockMintOptions { sockets: true, ..StockMintOptions::default() };
    StockMint::start(options).await.expect("a mint")
}

/// What a wallet does while it listens, in bounded time.
async fn listening<T>(wallet: &TicketWallet, work: impl Future<Output = T>) -> T {
    let both = async {
        tokio::select! {
            ended = wallet.listen() => panic!("it listens no more: {ended:?}"),
            done = work => done,
        }
    };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("in time")
}

/// The next event behind a number: its number, the operation that gave away, and whether the
/// ticket was used.
async fn next(wallet: &TicketWallet, after: u64) -> (u64, String, bool) {
    let events = wallet.next_events(after, 1).await.expect("reads");
    match &events[0] {
        (number, _, TicketEvent::Spent { key, used, .. }) => (*number, key.clone(), *used),
        other => panic!("{other:?}"),
    }
}

/// Waits until the mint was asked for sockets so often.
async fn sockets(mint: &StockMint, count: usize) {
    while mint.faults().asked(SOCKET) < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn burn(door: &TicketWallet, mint: &StockMint, key: &str, token: &str) {
    let expected = Expected { mint: address(mint), unit: unit("vip"), amount: Some(1) };
    door.burn(key, token, &expected).await.expect("burns");
}

#[tokio::test]
async fn who_issued_a_ticket_hears_that_it_was_claimed_and_that_it_was_used() {
    let mint = mint().await;
    let shop = Owner::new(1, &[&mint]).open().await;
    let (phone, door) =
        (Owner::new(2, &[&mint]).open().await, Owner::new(3, &[&mint]).open().await);
    let gift = shop.mint("gift", given(&mint, "vip", 1, None)).await.expect("mints");
    shop.mint("kept", given(&mint, "vip", 1, None)).await.expect("mints");
    listening(&shop, async {
        sockets(&mint, 1).await;
        phone.receive("r", &gift.token.expect("a token")).await.expect("receives");
        let (number, key, used) = next(&shop, 0).await;
        assert_eq!((key.as_str(), used), ("gift", false), "claimed");

        // Given away while it listens.
        let lock = Some(Lock { to: door.key(), until: None });
        let ticket = shop.mint("ticket", given(&mint, "vip", 1, lock)).await.expect("mints");
        burn(&door, &mint, "b", &ticket.token.expect("a token")).await;
        let (_, key, used) = next(&shop, number).await;
        assert_eq!((key.as_str(), used), ("ticket", true), "used");
    })
    .await;
    assert_eq!(shop.watch().await.expect("asks"), 0, "nothing is left to ask about");
    assert_eq!(mint.faults().asked(SOCKET), 1, "all on one socket");
    assert_eq!(holds(&shop, "vip").await, (0, 0, 1));
}

#[tokio::test]
async fn what_was_used_before_anyone_listened_is_told_at_once() {
    let mint = mint().await;
    let (shop, door) = (Owner::new(1, &[&mint]).open().await, Owner::new(2, &[&mint]).open().await);
    let ticket = shop.mint("ticket", given(&mint, "vip", 1, None)).await.expect("mints");
    burn(&door, &mint, "b", &ticket.token.expect("a token")).await;
    let (_, key, _) = listening(&shop, next(&shop, 0)).await;
    assert_eq!(key, "ticket");
}

#[tokio::test]
async fn a_socket_that_is_lost_is_opened_again() {
    let mint = mint().await;
    mint.faults().once(SOCKET, Fault::LoseRequest);
    mint.faults().once(SOCKET, Fault::Answer(503, String::new()));
    let (shop, door) = (Owner::new(1, &[&mint]).open().await, Owner::new(2, &[&mint]).open().await);
    let ticket = shop.mint("ticket", given(&mint, "vip", 1, None)).await.expect("mints");
    listening(&shop, async {
        sockets(&mint, 3).await;
        burn(&door, &mint, "b", &ticket.token.expect("a token")).await;
        assert_eq!(next(&shop, 0).await.1, "ticket");
    })
    .await;
}

/// Some say it before it is so, or do not answer at first.
#[tokio::test]
async fn a_mint_is_asked_again_about_what_it_said() {
    let mint = mint().await;
    let (shop, door) = (Owner::new(1, &[&mint]).open().await, Owner::new(2, &[&mint]).open().await);
    let ticket = shop.mint("ticket", given(&mint, "vip", 1, None)).await.expect("mints");
    burn(&door, &mint, "b", &ticket.token.expect("a token")).await;
    mint.faults().once("/v1/checkstate", Fault::Answer(503, String::new()));
    let asked = mint.faults().asked("/v1/checkstate");
    let (_, key, _) = listening(&shop, next(&shop, 0)).await;
    assert_eq!(key, "ticket");
    assert_eq!(mint.faults().asked("/v1/checkstate"), asked + 2);
}

/// A mint may say on its socket what it likes: a ticket is used when it answers so.
#[tokio::test]
async fn a_word_on_a_socket_alone_uses_no_ticket() {
    let mint = mint().await;
    let (shop, door) = (Owner::new(1, &[&mint]).open().await, Owner::new(2, &[&mint]).open().await);
    shop.mint("m", crate::harness::new_mint(&mint, "vip", 2)).await.expect("mints");
    let kept = shop.send("kept", new_send(&mint, "vip", 1)).await.expect("sends");
    let used = shop.send("used", new_send(&mint, "vip", 1)).await.expect("sends");
    let name = name_of(&kept.token);
    listening(&shop, async {
        sockets(&mint, 1).await;
        let asked = mint.faults().asked("/v1/checkstate");
        // Nobody is sure to listen yet: said until the wallet asks.
        while mint.faults().asked("/v1/checkstate") == asked {
            mint.mint().pubsub_manager().proof_state((name, State::Spent));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        burn(&door, &mint, "b", &used.token).await;
        assert_eq!(next(&shop, 0).await.1, "used");
    })
    .await;
    assert_eq!(holds(&shop, "vip").await, (0, 0, 1), "it is still given, and good");
    assert_eq!(shop.events(0, 10).await.expect("reads").len(), 1);
    door.receive("late", &kept.token).await.expect("good");
}

#[tokio::test]
async fn a_mint_that_offers_no_socket_is_asked_for_none() {
    let mint = crate::harness::mint().await;
    let (shop, door) = (Owner::new(1, &[&mint]).open().await, Owner::new(2, &[&mint]).open().await);
    let ticket = shop.mint("ticket", given(&mint, "vip", 1, None)).await.expect("mints");
    burn(&door, &mint, "b", &ticket.token.expect("a token")).await;
    let found = listening(&shop, shop.watch()).await;
    assert_eq!(found.expect("asks"), 1, "asking finds it");
    assert_eq!(mint.faults().asked(SOCKET), 0);
}

fn name_of(token: &str) -> PublicKey {
    let token: cdk_common::Token = token.parse().expect("a token");
    let cdk_common::Token::TokenV4(token) = token else { panic!("an older token") };
    let secret = token.token[0].proofs[0].secret.clone();
    cdk_common::dhke::hash_to_curve(secret.as_bytes()).expect("a point")
}
