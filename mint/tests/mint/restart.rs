//! What holds over a restart: tickets, promises, the configuration's word, and the seed.

use portal_mint::StartError;
use serde_json::json;

use crate::world::{Books, TOKEN, World, books, usual, vip, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_wins_over_what_the_database_remembers() {
    for books in books("wins") {
        within(async {
            let mut world = World::new(books).await;
            let before = world.get("/v1/info", None).await.1;
            let proofs = world.issue("vip", 1).await;
            let quote = world.quote("bolt11", "vip", 1).await;
            world.stop().await;
            world.config =
                format!("[ln]\nmint_max = 7\n{}", usual().replace("Test mint", "Renamed"));
            world.start().await;
            let after = world.get("/v1/info", None).await.1;
            assert_eq!(after["name"], "Renamed");
            assert_eq!(after["pubkey"], before["pubkey"], "it is the same mint");
            let asked = json!({ "unit": "vip", "amount": 8 });
            assert_eq!(world.post("/v1/mint/quote/portal", Some(TOKEN), asked).await.0, 400);
            assert_eq!(world.swap("vip", &proofs).await.0, 200, "tickets are good");
            let outputs = world.outputs("vip", 1).await;
            let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
            let (status, answer) = world.post("/v1/mint/bolt11", Some(TOKEN), asked).await;
            assert_eq!(status, 200, "quotes too: {answer}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_are_kept_over_a_restart() {
    within(async {
        let mut world = World::vip(Books::Sqlite, "max_supply = 3").await;
        drop(world.issue("vip", 1).await);
        let quote = world.quote("portal", "vip", 2).await;
        world.stop().await;
        world.start().await;
        let asked = json!({ "unit": "vip", "amount": 1 });
        assert_eq!(world.post("/v1/mint/quote/portal", Some(TOKEN), asked).await.0, 400);
        let outputs = world.outputs("vip", 2).await;
        let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
        assert_eq!(world.post("/v1/mint/portal", Some(TOKEN), asked).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_amounts_make_a_new_keyset_and_old_proofs_stay_good() {
    within(async {
        let mut world = World::new(Books::Sqlite).await;
        let proofs = world.issue("vip", 2).await;
        let (old, _) = world.keys("vip").await;
        world.stop().await;
        world.config = vip("amounts = [1, 5, 10]");
        world.start().await;
        let (new, _) = world.keys("vip").await;
        assert_ne!(old, new);
        assert_eq!(world.swap("vip", &proofs).await.0, 200);
        let many = world.issue("vip", 17).await;
        let mut amounts: Vec<u64> = many.iter().map(|proof| proof.amount.into()).collect();
        amounts.sort_unstable();
        assert_eq!(amounts, [1, 1, 5, 10]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_set_later_makes_a_new_keyset() {
    for books in books("end") {
        within(async {
            let mut world = World::new(books).await;
            let proofs = world.issue("vip", 1).await;
            let (old, _) = world.keys("vip").await;
            world.stop().await;
            let end = world.env.now().as_secs() + 86_400;
            world.config = vip(&format!("expires_at = {end}"));
            world.start().await;
            assert_ne!(world.keys("vip").await.0, old);
            let sets = world.mint().keysets().await.expect("keysets");
            let active = sets.iter().find(|set| set.active && set.unit == "vip");
            assert_eq!(active.and_then(|set| set.expires_at), Some(end));
            assert_eq!(world.swap("vip", &proofs).await.0, 200, "old tickets stay good");
            let made = sets.len();
            world.stop().await;
            world.start().await;
            assert_eq!(world.mint().keysets().await.expect("keysets").len(), made, "only once");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_taken_into_use_and_known_tickets_stay_good() {
    for books in books("rotate") {
        within(async {
            let mut world = World::new(books).await;
            let proofs = world.issue("vip", 1).await;
            let (old, _) = world.keys("vip").await;
            let made = world.mint().rotate("vip").await.expect("rotated");
            assert!(world.mint().rotate("nothing").await.is_err());
            loop {
                let (now, _) = world.keys("vip").await;
                if now != old {
                    assert_eq!(now.to_string(), made);
                    break;
                }
                tokio::task::yield_now().await;
            }
            assert_eq!(world.swap("vip", &proofs).await.0, 200);
            world.stop().await;
            world.start().await;
            assert_eq!(world.keys("vip").await.0.to_string(), made, "also after a restart");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mnemonic_is_refused_before_anything_is_signed_with_it() {
    within(async {
        let mut world = World::new(Books::Sqlite).await;
        drop(world.issue("vip", 1).await);
        world.stop().await;
        let words = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong";
        std::fs::write(world.folder.path().join("mnemonic.txt"), words).expect("written");
        assert!(matches!(world.try_start().await, Err(StartError::OtherSeed)));
        std::fs::remove_file(world.folder.path().join("mnemonic.txt")).expect("removed");
        assert!(matches!(world.try_start().await, Err(StartError::Seed(_))));
    })
    .await;
}
