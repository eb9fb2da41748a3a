//! Issuing, passing on, burning; and all that must not work.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::world::{Purse, TOKEN, World, books, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_issued_passed_on_and_burned_once() {
    for books in books("ticket") {
        within(async {
            let world = World::new(books).await;
            let token = world.ticket("vip", 3).await;
            let one = world.purse("vip").await;
            assert_eq!(one.receive(&token).await.expect("received"), 3);
            let passed = one.send(1).await;
            assert_eq!(one.balance().await, 2, "a ticket is a proof: no change to wait for");
            let two = world.purse("vip").await;
            assert_eq!(two.receive(&passed).await.expect("received"), 1);
            assert!(two.receive(&passed).await.is_err(), "spent");

            let proofs = world.issue("vip", 2).await;
            let (status, answer) = world.burn("vip", 2, &proofs).await;
            assert_eq!((status, answer["state"].as_str()), (200, Some("PAID")), "{answer}");
            let (status, answer) = world.burn("vip", 2, &proofs).await;
            assert_eq!((status, answer["code"].as_u64()), (400, Some(11_001)), "{answer}");
            assert_eq!(world.account("vip").await, (5, 2, 3));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_of_both_methods_are_paid_at_once() {
    within(async {
        let world = World::new(books("quotes").remove(0)).await;
        let quote = world.quote("bolt11", "vip", 3).await;
        assert_eq!(quote["state"], "PAID", "{quote}");
        assert!(quote["request"].as_str().expect("text").starts_with("lnbcrt1"));
        let quote = world.quote("portal", "vip", 3).await;
        assert_eq!(quote["amount_paid"], 3, "{quote}");
        let (status, quote) = world
            .post(
                "/v1/mint/quote/bolt11",
                Some(TOKEN),
                json!({ "unit": "vip", "amount": 1, "description": "row 7" }),
            )
            .await;
        assert_eq!(status, 200, "{quote}");
        let path = format!("/v1/mint/quote/bolt11/{}", quote["quote"].as_str().expect("an id"));
        assert_eq!(world.get(&path, Some(TOKEN)).await.1["state"], "PAID");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_issued_once_and_never_for_more() {
    within(async {
        let world = World::new(books("once").remove(0)).await;
        let quote = world.quote("bolt11", "vip", 2).await;
        let more = world.outputs("vip", 3).await;
        let asked = json!({ "quote": quote["quote"], "outputs": more.json() });
        let (status, answer) = world.post("/v1/mint/bolt11", Some(TOKEN), asked).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(11_005)), "{answer}");
        for (attempt, expected) in [(1, 200), (2, 400)] {
            let outputs = world.outputs("vip", 2).await;
            let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
            let (status, answer) = world.post("/v1/mint/bolt11", Some(TOKEN), asked).await;
            assert_eq!(status, expected, "attempt {attempt}: {answer}");
        }
        assert_eq!(world.account("vip").await.0, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_given_again_to_whoever_asks_with_the_same_outputs() {
    within(async {
        let world = World::new(books("again").remove(0)).await;
        let quote = world.quote("portal", "vip", 1).await;
        let outputs = world.outputs("vip", 1).await;
        let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
        let first = world.post("/v1/mint/portal", Some(TOKEN), asked.clone()).await;
        let again = world.post("/v1/mint/portal", Some(TOKEN), asked.clone()).await;
        assert_eq!(first, again);
        assert_eq!(world.post("/v1/mint/portal", None, asked).await.0, 401, "also from the cache");
        let restored =
            world.post("/v1/restore", None, json!({ "outputs": outputs.json() })).await.1;
        assert_eq!(restored["signatures"].as_array().expect("a list").len(), 1, "{restored}");
    })
    .await;
}

/// One token, forty wallets at once: one has it, the others learn why not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_token_received_forty_times_at_once_is_received_once() {
    for books in books("race") {
        within(async {
            let world = Arc::new(World::new(books).await);
            let proofs = world.issue("vip", 1).await;
            let mut tries = tokio::task::JoinSet::new();
            for _ in 0..40 {
                let (world, proofs) = (Arc::clone(&world), proofs.clone());
                tries.spawn(async move {
                    let (status, answer, _) = world.swap("vip", &proofs).await;
                    (status, answer["code"].as_u64())
                });
            }
            let answers = tries.join_all().await;
            let won = answers.iter().filter(|(status, _)| *status == 200).count();
            assert_eq!(won, 1, "{answers:?}");
            for (status, code) in answers.iter().filter(|(status, _)| *status != 200) {
                // Spent, or in the hands of another at this moment: never an error without a name.
                assert_eq!(*status, 400);
                assert!(matches!(code, Some(11_001 | 11_002)), "{code:?}");
            }
            let (_, answer, _) = world.swap("vip", &proofs).await;
            assert_eq!(answer["code"].as_u64(), Some(11_001), "afterwards: spent, not pending");
            assert_eq!(world.account("vip").await, (1, 0, 1));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    within(async {
        let world = World::new(books("sense").remove(0)).await;
        for (asked, status, code) in [
            (json!({ "unit": "vip", "amount": 0 }), 400, 11_006),
            (json!({ "unit": "vip", "amount": 1001 }), 400, 11_006),
            (json!({ "unit": "eur", "amount": 1 }), 400, 11_013),
            (json!({ "unit": "vip", "amount": "1" }), 400, 50_000),
            (json!({ "unit": "vip", "amount": -1 }), 400, 50_000),
            (json!({ "unit": "vip", "amount": 1.5 }), 400, 50_000),
            (json!({ "unit": "vip" }), 400, 50_000),
            (json!({ "amount": 1 }), 400, 50_000),
            (json!([]), 400, 50_000),
        ] {
            for method in ["bolt11", "portal"] {
                let path = format!("/v1/mint/quote/{method}");
                let (got, answer) = world.post(&path, Some(TOKEN), asked.clone()).await;
                assert_eq!(
                    (got, answer["code"].as_u64()),
                    (status, Some(code)),
                    "{method} {asked}"
                );
            }
        }
        let huge = json!({ "unit": "vip", "amount": 1, "description": "x".repeat(100_000) });
        assert_eq!(world.post("/v1/mint/quote/portal", Some(TOKEN), huge).await.0, 413);
        for request in ["burn:0", "burn:-1", "burn:", "pay:1", ""] {
            let asked = json!({ "unit": "vip", "method": "portal", "request": request });
            let (status, answer) = world.post("/v1/melt/quote/portal", Some(TOKEN), asked).await;
            assert_eq!(status, 400, "{request:?}: {answer}");
        }
        // Tickets of one unit are worth nothing in another.
        let proofs = world.issue("vip", 1).await;
        let outputs = world.outputs("drinks", 1).await;
        let asked = json!({ "inputs": proofs, "outputs": outputs.json() });
        let (status, answer) = world.post("/v1/swap", None, asked).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(11_010)), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_sold_up_to_its_cap_and_not_beyond() {
    for books in books("cap") {
        within(async {
            let world = World::vip(books, "max_supply = 5").await;
            drop(world.issue("vip", 3).await);
            let held = world.quote("portal", "vip", 1).await;
            let asked = json!({ "unit": "vip", "amount": 2 });
            let (status, answer) =
                world.post("/v1/mint/quote/portal", Some(TOKEN), asked.clone()).await;
            assert_eq!((status, answer["code"].as_u64()), (400, Some(11_006)), "{answer}");
            assert!(answer["detail"].as_str().expect("text").contains("only 1"), "{answer}");
            let outputs = world.outputs("vip", 1).await;
            let issue = json!({ "quote": held["quote"], "outputs": outputs.json() });
            assert_eq!(world.post("/v1/mint/portal", Some(TOKEN), issue).await.0, 200);
            drop(world.issue("vip", 1).await);
            let one = json!({ "unit": "vip", "amount": 1 });
            assert_eq!(world.post("/v1/mint/quote/bolt11", Some(TOKEN), one).await.0, 400);
            // Other units are not concerned.
            drop(world.issue("drinks", 100).await);
            assert_eq!(world.account("vip").await.0, 5);
        })
        .await;
    }
}

/// However many ask at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cap_holds_when_many_ask_at_once() {
    within(async {
        let world = Arc::new(World::vip(books("rush").remove(0), "max_supply = 7").await);
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let world = Arc::clone(&world);
            tries.spawn(async move {
                let asked = json!({ "unit": "vip", "amount": 1 });
                world.post("/v1/mint/quote/portal", Some(TOKEN), asked).await.0
            });
        }
        let answers = tries.join_all().await;
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 7, "{answers:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_has_ended_is_neither_issued_nor_passed_on() {
    within(async {
        let books = books("ended").pop().expect("a database");
        let end = portal_core::env::Env::system().now().as_secs() + 15;
        let world = World::vip(books, &format!("expires_at = {end}")).await;
        let proofs = world.issue("vip", 1).await;
        let (status, answer, outputs) = world.swap("vip", &proofs).await;
        assert_eq!(status, 200, "good until then: {answer}");
        let ending = outputs.proofs(&answer);
        while world.env.now().as_secs() <= end {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (status, answer, _) = world.swap("vip", &ending).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(12_003)), "{answer}");
        let asked = json!({ "unit": "vip", "amount": 1 });
        let (status, answer) = world.post("/v1/mint/quote/portal", Some(TOKEN), asked).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(12_003)), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_wallets_find_the_ids_of_their_time() {
    within(async {
        let config = format!("[info]\nkeyset_version = 1\n{}", crate::world::usual());
        let books = books("v1").remove(0);
        let world = World::with(books, config, None, portal_core::env::Env::system()).await;
        let (id, _) = world.keys("vip").await;
        assert!(id.to_string().starts_with("00") && id.to_string().len() == 16, "{id}");
        let token = world.ticket("vip", 1).await;
        let purse = Purse::new(&world.url(), "vip").await;
        assert_eq!(purse.receive(&token).await.expect("received"), 1);
    })
    .await;
}
