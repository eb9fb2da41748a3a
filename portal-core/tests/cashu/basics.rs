//! Each operation, as it goes when nothing goes wrong, and as it is refused.

use portal_core::cashu::{CashuError, Expected, NewMint, Purpose, fit_messages};
use portal_core::primitives::Secret;
use portal_testkit::mint::{StockMint, StockMintOptions, StockUnit};

use crate::harness::{Owner, address, given, holds, mint, new_mint, new_send, unit};

#[tokio::test]
async fn minted_sent_received_and_burned() {
    let mint = mint().await;
    let (merchant, person) = (Owner::new(1, &[&mint]), Owner::new(2, &[&mint]));
    let (shop, phone) = (merchant.open().await, person.open().await);
    let minted = shop.mint("order-1", given(&mint, "vip", 3, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    assert_eq!(holds(&shop, "vip").await, (0, 0, 3));
    assert_eq!(phone.receive("gift-1", &token).await.expect("receives").amount, 3);
    let balance = &phone.balances().await.expect("reads")[0];
    assert_eq!((balance.available, balance.proofs), (3, 3), "one proof for each ticket");

    let sent = phone.send("door-1", new_send(&mint, "vip", 1)).await.expect("sends");
    let expected = Expected { mint: address(&mint), unit: unit("vip"), amount: Some(1) };
    let burned = shop.burn("burn-1", &sent.token, &expected).await.expect("burns");
    assert_eq!((burned.amount, burned.kept), (1, 0), "a ticket is out of the world");
    assert_eq!(mint.outstanding("vip").await.expect("says"), 2);

    let again = shop.burn("burn-1", &sent.token, &expected).await.expect("the same burning");
    assert_eq!(again, burned);
    let second = shop.burn("burn-2", &sent.token, &expected).await;
    assert!(matches!(second, Err(CashuError::Spent)), "{second:?}");
    assert_eq!(phone.watch().await.expect("asks"), 1, "its own gift was spent");
    assert_eq!(holds(&phone, "vip").await, (2, 0, 0));
}

#[tokio::test]
async fn burned_money_stays_with_who_burns_it() {
    let mint = mint().await;
    let (merchant, person) = (Owner::new(1, &[&mint]), Owner::new(2, &[&mint]));
    let (shop, phone) = (merchant.open().await, person.open().await);
    phone.mint("m", new_mint(&mint, "sat", 100)).await.expect("mints");
    let sent = phone.send("s", new_send(&mint, "sat", 37)).await.expect("sends");
    let expected = Expected { mint: address(&mint), unit: unit("sat"), amount: None };
    let burned = shop.burn("b", &sent.token, &expected).await.expect("burns");
    assert_eq!((burned.amount, burned.kept), (37, 37));
    assert_eq!(holds(&shop, "sat").await, (37, 0, 0));
    assert_eq!(holds(&phone, "sat").await.0, 63);
    assert_eq!(mint.outstanding("sat").await.expect("says"), 100);
}

#[tokio::test]
async fn the_same_key_is_the_same_operation_and_another_order_is_refused() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    let first = wallet.mint("order", given(&mint, "vip", 2, None)).await.expect("mints");
    let again = wallet.mint("order", given(&mint, "vip", 2, None)).await.expect("the same");
    assert_eq!(first, again);
    let other = wallet.mint("order", given(&mint, "vip", 1, None)).await;
    assert!(matches!(other, Err(CashuError::Conflict)));
    wallet.close().await;
    let wallet = owner.open().await;
    let later = wallet.mint("order", given(&mint, "vip", 2, None)).await.expect("the same");
    assert_eq!(first, later, "also after a restart");
    assert_eq!(mint.outstanding("vip").await.expect("says"), 2);
    let both = tokio::join!(
        wallet.mint("twice", given(&mint, "vip", 1, None)),
        wallet.mint("twice", given(&mint, "vip", 1, None)),
    );
    assert_eq!(both.0.expect("mints"), both.1.expect("the same"), "also at the same time");
    assert_eq!(mint.outstanding("vip").await.expect("says"), 3);
}

#[tokio::test]
async fn an_unclaimed_gift_is_delivered_again_or_taken_back() {
    let mint = mint().await;
    let (merchant, person) = (Owner::new(1, &[&mint]), Owner::new(2, &[&mint]));
    let (shop, phone) = (merchant.open().await, person.open().await);
    let minted = shop.mint("order", given(&mint, "vip", 2, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    let unclaimed = shop.unclaimed().await.expect("reads");
    assert_eq!((unclaimed[0].key.as_str(), unclaimed[0].amount), ("order", 2));
    assert_eq!(unclaimed[0].token, token, "it can be delivered again");
    assert_eq!(shop.giver_of(&token).await.expect("reads").as_deref(), Some("order"));

    assert_eq!(shop.take_back("order").await.expect("takes back"), 2);
    assert_eq!(shop.take_back("order").await.expect("the same"), 2);
    assert_eq!(holds(&shop, "vip").await, (2, 0, 0));
    assert_eq!(
        shop.giver_of(&token).await.expect("reads").as_deref(),
        Some("order"),
        "whoever did not hear what came of it can ask again with the token"
    );
    let late = phone.receive("gift", &token).await;
    assert!(matches!(late, Err(CashuError::Spent)), "{late:?}");

    let sent = shop.send("again", new_send(&mint, "vip", 2)).await.expect("sends");
    phone.receive("gift-2", &sent.token).await.expect("receives");
    assert!(matches!(shop.take_back("again").await, Err(CashuError::Claimed)));
    assert_eq!(shop.giver_of(&sent.token).await.expect("reads").as_deref(), Some("again"));
    assert!(matches!(shop.take_back("nothing").await, Err(CashuError::NotFound)));
    assert!(shop.unclaimed().await.expect("reads").is_empty());
}

#[tokio::test]
async fn change_and_fees_add_up() {
    let units = vec![StockUnit::fungible("sat").with_fee(100)];
    let mint = StockMint::start(StockMintOptions { units, ..StockMintOptions::default() })
        .await
        .expect("a mint");
    let (one, two) = (Owner::new(1, &[&mint]), Owner::new(2, &[&mint]));
    let (a, b) = (one.open().await, two.open().await);
    a.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
    let sent = a.send("s", new_send(&mint, "sat", 10)).await.expect("sends");
    assert_eq!(holds(&a, "sat").await.0, 53, "54 less the fee of changing");
    let received = b.receive("r", &sent.token).await.expect("receives").amount;
    assert_eq!(received, 9, "10 less the fee of receiving");
    let outstanding = mint.outstanding("sat").await.expect("says");
    assert_eq!(outstanding, 53 + 9);
    let poor = b.send("p", new_send(&mint, "sat", 100)).await;
    assert!(matches!(poor, Err(CashuError::InsufficientFunds { available: 9 })), "{poor:?}");
    let exact = b.send("all", new_send(&mint, "sat", 9)).await.expect("sends without the mint");
    assert!(exact.token.starts_with("cashuB"));
}

#[tokio::test]
async fn an_unpaid_quote_waits_and_goes_on_when_it_is_paid() {
    let mint = mint().await;
    mint.pay(false);
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    let unpaid = wallet.mint("m", new_mint(&mint, "sat", 8)).await;
    let Err(CashuError::Unpaid { request }) = unpaid else { panic!("{unpaid:?}") };
    assert!(request.starts_with("pay "));
    let open = wallet.open_operations().await.expect("reads");
    assert_eq!((open[0].kind, open[0].amount), ("mint", 8));
    wallet.close().await;
    let wallet = owner.open().await;
    mint.pay(true);
    assert_eq!(mint.pay_open_quotes().await.expect("paid"), 1, "no second quote was made");
    let report = wallet.recover().await.expect("recovers");
    assert_eq!((report.done, report.waiting), (1, 0));
    assert_eq!(holds(&wallet, "sat").await, (8, 0, 0));
    assert_eq!(wallet.mint("m", new_mint(&mint, "sat", 8)).await.expect("done").kept, 8);
}

#[tokio::test]
async fn everything_comes_back_from_the_seed_but_what_was_given_away() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    wallet.mint("a", new_mint(&mint, "sat", 100)).await.expect("mints");
    wallet.mint("v", new_mint(&mint, "vip", 5)).await.expect("mints");
    let given = wallet.send("s", new_send(&mint, "sat", 30)).await.expect("sends");
    let restored = wallet.restore(&address(&mint), &unit("sat")).await.expect("restores");
    assert_eq!(restored.amount, 0, "nothing is missing, and a gift does not come back");
    assert_eq!(holds(&wallet, "sat").await.0, 70);

    let copy = Owner::new(1, &[&mint]);
    let fresh = copy.open().await;
    let sat = fresh.restore(&address(&mint), &unit("sat")).await.expect("restores");
    assert_eq!(
        sat.amount, 100,
        "without the journal the gift is still ours, as long as nobody claims it"
    );
    let vip = fresh.restore(&address(&mint), &unit("vip")).await.expect("restores");
    assert_eq!((vip.amount, vip.proofs), (5, 5));
    fresh.mint("more", new_mint(&mint, "sat", 1)).await.expect("no number is used twice");
    let other = Owner::new(2, &[&mint]).open().await;
    other.receive("r", &given.token).await.expect("whoever comes first has it");
}

#[tokio::test]
async fn a_store_that_is_older_than_its_seed_goes_on_with_later_numbers() {
    let mint = mint().await;
    let first = Owner::new(1, &[&mint]).open().await;
    first.mint("a", new_mint(&mint, "sat", 100)).await.expect("mints");
    let copy = Owner::new(1, &[&mint]).open().await;
    copy.mint("b", new_mint(&mint, "sat", 50)).await.expect("with other numbers");
    assert_eq!(holds(&copy, "sat").await, (50, 0, 0));
    assert_eq!(mint.outstanding("sat").await.expect("says"), 150);
}

#[tokio::test]
async fn the_tickets_of_an_older_app_are_moved() {
    let units = vec![StockUnit::tickets("vip")];
    let options = StockMintOptions { units, newer_keysets: false, ..StockMintOptions::default() };
    let mint = StockMint::start(options).await.expect("a mint");
    let old = portal_core::cashu::old_seed(&Secret::new([9; 32]));
    let token = crate::interop::older_wallet_mints(&mint, &old, 4).await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    let moved = wallet.move_old(&address(&mint), &unit("vip"), &old).await.expect("moves");
    assert_eq!((moved.amount, moved.proofs), (4, 4));
    assert_eq!(holds(&wallet, "vip").await.0, 4);
    let again = wallet.move_old(&address(&mint), &unit("vip"), &old).await.expect("nothing left");
    assert_eq!(again.amount, 0);
    let late = wallet.receive("old-token", &token).await;
    assert!(matches!(late, Err(CashuError::Spent)), "{late:?}");
}

#[tokio::test]
async fn a_thousand_tickets_are_one_operation_and_several_messages() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    let minted = wallet.mint("m", given(&mint, "vip", 1000, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    let parts = fit_messages(&token).expect("cut");
    assert!((7..=9).contains(&parts.len()), "{}", parts.len());
    let other = Owner::new(2, &[&mint]).open().await;
    let mut received = 0;
    for (number, part) in parts.iter().enumerate() {
        assert!(part.len() <= 40_000, "{}", part.len());
        let read = portal_core::cashu::TicketToken::parse(part).expect("a token");
        assert!(read.count() <= 150, "{}", read.count());
        received += other.receive(&format!("r{number}"), part).await.expect("receives").amount;
    }
    assert_eq!(received, 1000);
    let over = wallet.mint("too many", given(&mint, "vip", 1001, None)).await;
    assert!(matches!(over, Err(CashuError::TooLarge { found: 1001, most: 1000, .. })), "{over:?}");
}

#[tokio::test]
async fn a_unit_that_stays_with_its_holder_is_shown_and_not_passed_on() {
    let info =
        serde_json::json!({"title": "Season", "show_individually": true, "transferable": false});
    let units = vec![StockUnit::tickets("season").with_info(info)];
    let mint = StockMint::start(StockMintOptions { units, ..StockMintOptions::default() })
        .await
        .expect("a mint");
    let wallet = Owner::new(1, &[&mint]).open().await;
    wallet.mint("m", new_mint(&mint, "season", 1)).await.expect("mints");
    let info = wallet.unit_info(&address(&mint), &unit("season")).await.expect("reads");
    assert_eq!(info.and_then(|info| info.title).as_deref(), Some("Season"));
    let passed = wallet.send("p", new_send(&mint, "season", 1)).await;
    assert!(matches!(passed, Err(CashuError::NotTransferable)), "{passed:?}");
    let mut shown = new_send(&mint, "season", 1);
    shown.purpose = Purpose::Present;
    wallet.send("d", shown).await.expect("to the door it goes");
}

#[tokio::test]
async fn looks_are_shown_where_there_is_no_network() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    let (at, vip) = (address(&mint), unit("vip"));
    let online = wallet.unit_info(&at, &vip).await.expect("reads").expect("it says");
    wallet.close().await;
    drop(mint);
    let wallet = owner.open().await;
    let offline = wallet.unit_info(&at, &vip).await.expect("reads").expect("kept");
    assert_eq!(online, offline);
    assert_eq!(offline.title.as_deref(), Some("VIP"));
}

#[tokio::test]
async fn minting_shows_the_token_to_its_mint_and_needs_the_right_one() {
    let options = StockMintOptions { token: Some("let me in".into()), ..Default::default() };
    let mint = StockMint::start(options).await.expect("a mint");
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    let order = || -> NewMint { given(&mint, "vip", 1, None) };
    let refused = wallet.mint("m", order()).await;
    assert!(matches!(refused, Err(CashuError::Unauthorized)), "{refused:?}");
    let token = Secret::new("let me in".to_owned());
    wallet.set_mint_token(&address(&mint), &token).await.expect("kept");
    let minted = wallet.mint("m", order()).await.expect("the same order goes on");
    wallet.close().await;
    let wallet = owner.open().await;
    let more = wallet.mint("n", order()).await.expect("the token was kept");
    let person = Owner::new(2, &[&mint]).open().await;
    for (key, minted) in [("a", minted), ("b", more)] {
        let token = minted.token.expect("a token");
        person.receive(key, &token).await.expect("receiving needs none");
    }
}
