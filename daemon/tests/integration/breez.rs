//! The daemon with its built-in wallet: the official library, before the servers of Spark from the
//! testkit. Without the library these tests say that they were skipped.

use std::io::Write as _;
use std::time::Duration;

use portal_core::client::RequestBody;
use portal_core::wallet::bolt11::Bolt11;
use portal_daemon::config::{Flags, load};
use portal_daemon::start::{Daemon, StartError};
use portal_testkit::FakeSpark;
use serde_json::{Value, json};

use crate::harness::{TOKEN, World, asked};
use crate::wallet::Started;

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";

/// Where the library is; `None`, loudly, when nobody says.
fn library() -> Option<String> {
    let path = std::env::var("PORTAL_BREEZ_LIB").ok().filter(|path| !path.is_empty());
    if path.is_none() {
        let required = std::env::var_os("PORTAL_BREEZ_REQUIRED").is_some();
        assert!(!required, "PORTAL_BREEZ_LIB does not name the Breez library");
        // Not through the macros, whose output the test runner hides.
        writeln!(
            std::io::stderr(),
            "SKIPPED the daemon with its built-in wallet: PORTAL_BREEZ_LIB does not name the \
             Breez library (cargo xtask test fetches it)"
        )
        .expect("standard error is open");
    }
    path
}

fn servers(spark: &FakeSpark) -> String {
    let access = spark.access();
    let operators: Vec<Value> = access
        .operators
        .iter()
        .map(|(address, key)| json!({"address": address, "public_key": key}))
        .collect();
    json!({
        "operators": operators,
        "threshold": access.threshold,
        "ssp_url": access.ssp_url,
        "ssp_public_key": access.ssp_public_key,
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_both_ways_through_the_built_in_wallet_and_never_twice_over_a_restart() {
    let Some(library) = library() else { return };
    let (world, spark) = (World::new().await, FakeSpark::start().await.expect("a free port"));
    spark.fund(WORDS, 1_000).expect("words");
    let folder = tempfile::tempdir().expect("a folder");
    let servers = servers(&spark);
    let wallet = [
        ("PORTAL__WALLET__LN_BACKEND", "breez"),
        ("PORTAL__WALLET__BREEZ__MNEMONIC", WORDS),
        ("PORTAL__WALLET__BREEZ__NETWORK", "regtest"),
        ("PORTAL__WALLET__BREEZ__LIBRARY", &library),
        ("PORTAL__WALLET__BREEZ__SPARK", &servers),
    ];
    let daemon = Started::configured(&world, folder.path(), &wallet).await;
    let app = world.app().await;
    let mut socket = daemon.socket().await;
    let before = socket.data("GetWalletInfo", Value::Null).await;
    assert_eq!(
        (&before["wallet_type"], &before["balance_msat"]),
        (&json!("breez"), &json!(1_000_000))
    );

    let opened = socket
        .data(
            "RequestSinglePayment",
            json!({"main_key": world.person_key(), "subkeys": [],
            "payment_request": {"description": "x", "amount": 3000, "currency": "Millisats"}}),
        )
        .await;
    let stream = opened["stream_id"].as_str().expect("a stream").to_owned();
    let request = asked(&app).await;
    let RequestBody::Payment(wanted) = &request.body else { panic!("{request:?}") };
    spark.pay(&wanted.invoice).expect("paid");
    let paid = socket.notification(&stream).await;
    assert_eq!(paid["data"]["status"]["status"], "paid", "{paid}");

    let invoice = spark.outside_invoice(Some(100_000), Duration::from_secs(600));
    let hash = Bolt11::parse(&invoice).expect("an invoice").payment_hash.0;
    let params = json!({"invoice": invoice});
    let first = socket.data("PayInvoice", params.clone()).await;
    assert!(first["preimage"].is_string(), "{first}");
    assert_eq!(socket.data("PayInvoice", params.clone()).await["preimage"], first["preimage"]);
    drop(socket);
    daemon.stop().await;

    assert!(folder.path().join("breez").is_dir(), "its books lie in the data directory");
    let daemon = Started::configured(&world, folder.path(), &wallet).await;
    let mut socket = daemon.socket().await;
    assert_eq!(socket.data("PayInvoice", params).await["preimage"], first["preimage"]);
    assert_eq!(spark.paid(hash), 1);
    let after = socket.data("GetWalletInfo", Value::Null).await;
    assert_eq!(after["balance_msat"], 900_000, "{after}");
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_library_the_daemon_does_not_start_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("none.so");
    let environment = [
        ("NOSTR_KEY", "0000000000000000000000000000000000000000000000000000000000000001"),
        ("AUTH_TOKEN", TOKEN),
        ("BREEZ_MNEMONIC", WORDS),
        ("BREEZ_API_KEY", "key-of-ours"),
        ("PORTAL__WALLET__BREEZ__LIBRARY", missing.to_str().expect("text")),
        ("PORTAL__INFO__LISTEN_PORT", "0"),
        ("PORTAL_DATA_DIR", folder.path().to_str().expect("text")),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = load(None, &environment.into(), None, &Flags::default()).expect("complete");
    let error = Daemon::start(loaded.config, false).await.err().expect("no library");
    assert!(matches!(error, StartError::BreezLibrary(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("pip download breez-sdk-spark==0.27.2"), "{text}");
    assert!(!text.contains("key-of-ours") && !text.contains("abandon"), "{text}");
}
