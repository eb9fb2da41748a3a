//! Servers that are not there, and the ends of a wallet.

use futures_util::StreamExt as _;
use portal_breez::{BreezConfig, BreezNetwork, BreezWallet, OpenError};
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::wallet::{LightningWallet as _, WalletError, WalletEvent, WalletState};

use crate::world::{
    OTHER_WORDS, WORDS, World, balance, invoice, order, payment, settled, soon, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_itself_and_its_folder_its_own() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    let expected = "02698b27ac308b275671b3ca25436346469d04a5bba578ae39feba1d65897a6abc";
    assert_eq!(wallet.identity(), expected);
    let info = soon("information", wallet.info()).await.expect("reachable");
    assert_eq!((info.kind.as_str(), info.network.as_deref()), ("breez", Some("regtest")));
    assert!(info.notifies && info.caps_fees);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = std::fs::metadata(world.storage("wallet")).expect("made");
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }
    let second = BreezWallet::open(&world.library, world.config(WORDS, "wallet"), Env::system());
    assert!(matches!(second.await, Err(OpenError::InUse { .. })));
    // Nothing is shared between wallets: another one lives beside it.
    let other = world.open(world.config(OTHER_WORDS, "other")).await;
    assert_ne!(other.identity(), wallet.identity());
    other.shutdown().await;
    assert!(wallet.info().await.is_ok());
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_words_and_a_missing_key_are_said_before_anything_is_opened() {
    let Some(world) = World::new().await else { return };
    for words in
        ["", "foo bar", &WORDS.replace("about", "abandon"), &WORDS.replace("about", "zzzzz")]
    {
        let config = world.config(words, "wrong");
        let opened = BreezWallet::open(&world.library, config, Env::system()).await;
        assert!(matches!(opened, Err(OpenError::Mnemonic(_))), "{words}");
    }
    let words = Secret::new(WORDS.to_owned());
    let config = BreezConfig::new(words, world.storage("wrong"), BreezNetwork::Mainnet);
    let opened = BreezWallet::open(&world.library, config.clone(), Env::system()).await;
    assert!(matches!(opened, Err(OpenError::ApiKeyMissing)));
    assert!(!world.storage("wrong").exists());
    let config = BreezConfig { api_key: Some(Secret::new("no key".to_owned())), ..config };
    let opened = soon("an answer", BreezWallet::open(&world.library, config, Env::system())).await;
    let error = opened.err().expect("no key of Breez");
    assert!(matches!(error, OpenError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("no key"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_gone_are_an_answer_and_their_return_is_told() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(500).await;
    let known = wallet.balance().await.expect("reachable");
    let made = invoice(&wallet, 5).await;
    let mut events = wallet.events();
    world.spark.stop().await;
    assert!(matches!(soon("an answer", wallet.info()).await, Err(WalletError::Unreachable)));
    let now = soon("an answer", wallet.balance()).await;
    assert!(matches!(now, Err(WalletError::Unreachable)), "{now:?}");
    let old = soon("an answer", wallet.known_balance()).await.expect("remembered");
    assert_eq!((old.balance, old.stale), (known, true), "with the age that it has");
    assert_eq!(wallet.state(), WalletState::Unreachable);
    assert!(soon("an answer", wallet.make_invoice(order(5_000))).await.is_err());
    let strange = payment(&world.spark.outside_invoice(Some(5_000), order(1).expiry));
    let lookup = soon("an answer", wallet.lookup(strange.payment_hash)).await;
    assert!(matches!(lookup, Err(WalletError::Unreachable)), "old books prove nothing: {lookup:?}");
    let error = soon("an answer", wallet.pay(strange)).await.expect_err("nobody is there");
    assert!(!error.outcome_unknown(), "nothing was sent: {error}");
    let gone = soon("an event", events.next()).await.expect("it goes on");
    assert_eq!(gone, WalletEvent::Disconnected);

    world.spark.restart().await.expect("the port is free");
    let back = soon("an event", events.next()).await.expect("it goes on");
    assert_eq!(back, WalletEvent::Reconnected);
    world.spark.pay(&made.bolt11).expect("paid");
    assert_eq!(settled(&mut events).await.payment_hash, made.payment_hash);
    assert_eq!(balance(&wallet).await, 505);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_opens_without_servers_and_knows_nothing_until_they_come() {
    let Some(world) = World::new().await else { return };
    world.spark.fund(WORDS, 500).expect("words");
    world.spark.stop().await;
    let wallet = world.open(world.config(WORDS, "wallet")).await;
    let nothing = soon("an answer", wallet.balance()).await;
    assert!(matches!(nothing, Err(WalletError::Unreachable)), "not zero: {nothing:?}");
    assert!(wallet.known_balance().await.is_err());
    world.spark.restart().await.expect("the port is free");
    until("the money is seen", async || {
        wallet.balance().await.is_ok_and(|balance| balance.amount.as_u64() == 500_000)
    })
    .await;
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_shut_down_says_so_and_can_be_opened_again() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(500).await;
    let mut events = wallet.events();
    wallet.shutdown().await;
    wallet.shutdown().await;
    while soon("the end", events.next()).await.is_some() {}
    assert!(matches!(wallet.info().await, Err(WalletError::ShutDown)));
    assert!(matches!(wallet.balance().await, Err(WalletError::ShutDown)));
    let request = payment(&world.spark.outside_invoice(Some(5_000), order(1).expiry));
    assert!(matches!(wallet.pay(request).await, Err(WalletError::ShutDown)));
    drop(wallet);
    let wallet = world.open(world.config(WORDS, "wallet")).await;
    assert_eq!(balance(&wallet).await, 500);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_only_dropped_frees_its_folder() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(500).await;
    let mut events = wallet.events();
    drop(wallet);
    while soon("the end", events.next()).await.is_some() {}
    until("the folder is free", async || {
        let config = world.config(WORDS, "wallet");
        match BreezWallet::open(&world.library, config, Env::system()).await {
            Ok(wallet) => {
                wallet.shutdown().await;
                true
            }
            Err(OpenError::InUse { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}
