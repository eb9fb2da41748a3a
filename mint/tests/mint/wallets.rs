//! The sat of a mint that opens its wallet by its configuration: linked over Nostr, and built in.

use std::sync::Arc;
use std::time::Duration;

use cdk::nuts::Proofs;
use portal_core::driver::websocket;
use portal_core::env::Env;
use portal_core::primitives::{Millisats, Secret};
use portal_core::relay::{RelayAddress, RelayPool, RelaySink};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::nwc::{Cipher, NwcConnection, NwcService, NwcServiceOptions, Permission};
use portal_core::wallet::simulated::SimulatedNetwork;
use portal_core::wallet::{LightningWallet, NewInvoice, PayInvoice, PayOutcome};
use portal_mint::config::{self, Environment};
use portal_mint::{WalletOpenError, open_wallet};
use portal_testkit::EphemeralRelay;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::world::{World, books, usual, within};

fn sats(lightning: &str) -> String {
    let units = usual().replace("drinks = 32", "sat = 32");
    format!("{units}\n[lightning]\nunits = [\"sat\"]\n{lightning}")
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The wallet of a configuration, opened as the program does.
async fn opened(
    text: &str,
    variables: &[(&str, &str)],
    folder: &std::path::Path,
) -> Result<Arc<dyn LightningWallet>, WalletOpenError> {
    let loaded = config::load(Some(text), &environment(variables)).expect("complete");
    open_wallet(&loaded.config.lightning, folder, Env::system()).await
}

/// Asks for a quote and says what has to be paid for it.
async fn quote(world: &World, sat: u64) -> (Value, String) {
    let asked = json!({ "unit": "sat", "amount": sat });
    let (status, quote) = world.post("/v1/mint/quote/bolt11", None, asked).await;
    assert_eq!((status, quote["state"].as_str()), (200, Some("UNPAID")), "{quote}");
    let invoice = quote["request"].as_str().expect("an invoice").to_owned();
    (quote, invoice)
}

/// Waits until the mint has heard of the payment, and mints.
async fn minted(world: &World, quote: &Value, sat: u64) -> Proofs {
    let path = format!("/v1/mint/quote/bolt11/{}", quote["quote"].as_str().expect("an id"));
    while world.get(&path, None).await.1["state"] != "PAID" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let outputs = world.outputs("sat", sat).await;
    let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
    let (status, answer) = world.post("/v1/mint/bolt11", None, asked).await;
    assert_eq!(status, 200, "{answer}");
    outputs.proofs(&answer)
}

async fn melted(world: &World, invoice: &str, proofs: &Proofs) -> Value {
    let asked = json!({ "unit": "sat", "request": invoice });
    let (status, quote) = world.post("/v1/melt/quote/bolt11", None, asked).await;
    assert_eq!(status, 200, "{quote}");
    let asked = json!({ "quote": quote["quote"], "inputs": proofs });
    let (status, answer) = world.post("/v1/melt/bolt11", None, asked).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn sats_are_bought_and_paid_out_through_a_linked_wallet() {
    within(async {
        let env = Env::system();
        let network = SimulatedNetwork::new(env.clone());
        let mints = network.wallet("mint", Millisats::new(0)).expect("a wallet");
        let person = network.wallet("person", Millisats::new(10_000_000)).expect("a wallet");
        let relay = EphemeralRelay::start().await.expect("a relay");
        let address = RelayAddress::parse(&relay.url()).expect("its own address");
        let connection = NwcConnection::generate(&env, Permission::Spend { budget: None });
        let options = NwcServiceOptions {
            key: Secret::new(env.bytes()),
            relays: vec![address.clone()],
            ciphers: vec![Cipher::Nip44],
        };
        let pool_env = env.clone();
        let connect = move |sink: Arc<dyn RelaySink>| -> Arc<dyn RelayPool> {
            let pool = websocket(Handle::current(), pool_env, true)(sink);
            pool.add(address);
            pool
        };
        let connections = std::slice::from_ref(&connection);
        let service = NwcService::start(
            mints,
            connections,
            options,
            connect,
            env.clone(),
            &Handle::current(),
        )
        .expect("a key");
        let link = service.uri_for(&connection).to_text();

        // The link in the file that the configuration names, with a line end.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("nwc");
        std::fs::write(&file, format!("{}\n", link.expose())).expect("written");
        let text = sats(&format!("nwc_url_file = {file:?}"));
        let wallet = opened(&text, &[], folder.path()).await.expect("opens");
        let books = books("linked").remove(0);
        let mut world = World::with(books, text, Some(wallet.clone()), env).await;

        let (asked, invoice) = quote(&world, 64).await;
        let read = Bolt11::parse(&invoice).expect("an invoice");
        let request = PayInvoice {
            bolt11: read.text,
            payment_hash: read.payment_hash,
            amount: None,
            max_fee: None,
            timeout: Duration::from_secs(5),
        };
        let paid = person.pay(request).await.expect("an outcome");
        assert!(matches!(paid, PayOutcome::Settled { .. }));
        let proofs = minted(&world, &asked, 64).await;
        assert_eq!(network.balance("mint"), Some(Millisats::new(64_000)));

        let amount = Millisats::from_sats(50).expect("fits");
        let expiry = Duration::from_secs(600);
        let new = NewInvoice { amount, description: None, expiry };
        let invoice = person.make_invoice(new).await.expect("made").bolt11;
        let answer = melted(&world, &invoice, &proofs).await;
        assert_eq!(answer["state"], "PAID", "{answer}");
        assert_eq!(network.balance("mint"), Some(Millisats::new(14_000)));
        world.stop().await;
        wallet.shutdown().await;
        service.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn without_a_link_the_mint_says_what_to_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = opened(&sats(""), &[], folder.path()).await.err().expect("no link");
    assert!(missing.to_string().contains("PORTAL_MINT_NWC_URL"), "{missing}");
    let link = [("PORTAL_MINT_NWC_URL", "nostr+walletconnect://nonsense?secret=abc")];
    let wrong = opened(&sats(""), &link, folder.path()).await.err().expect("no link");
    assert!(matches!(wrong, WalletOpenError::Link(_)), "{wrong}");
    let gone = sats("nwc_url_file = \"/nowhere/at/all\"");
    let gone = opened(&gone, &[], folder.path()).await.err().expect("no file");
    assert!(matches!(gone, WalletOpenError::File { .. }), "{gone}");
    let loaded = config::load(Some(&sats("")), &Environment::new()).expect("complete");
    let checked = portal_mint::check_wallet(&loaded.config.lightning);
    assert!(matches!(checked, Err(WalletOpenError::Missing { .. })), "said before it starts");
    let other = config::load(Some(&sats("wallet = \"other\"")), &Environment::new());
    assert!(other.is_err(), "no such wallet");
}

/// With the library of Breez, before the servers of Spark from the testkit.
#[cfg(feature = "breez")]
mod built_in {
    use std::io::Write as _;

    use portal_testkit::FakeSpark;

    use super::*;

    const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon about";

    #[tokio::test]
    async fn without_words_or_library_the_built_in_wallet_does_not_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = sats("wallet = \"breez\"\n[lightning.breez]\nlibrary = \"/nowhere/breez.so\"");
        let missing = opened(&text, &[], folder.path()).await.err().expect("no words");
        assert!(missing.to_string().contains("PORTAL_MINT_BREEZ_MNEMONIC"), "{missing}");
        let words = [("PORTAL_MINT_BREEZ_MNEMONIC", WORDS)];
        let missing = opened(&text, &words, folder.path()).await.err().expect("no library");
        assert!(matches!(missing, WalletOpenError::Library(_)), "{missing}");
        assert!(!missing.to_string().contains("abandon"), "{missing}");
    }

    /// Where the library is; `None`, loudly, when nobody says.
    fn library() -> Option<String> {
        let path = std::env::var("PORTAL_BREEZ_LIB").ok().filter(|path| !path.is_empty());
        if path.is_none() {
            let required = std::env::var_os("PORTAL_BREEZ_REQUIRED").is_some();
            assert!(!required, "PORTAL_BREEZ_LIB does not name the Breez library");
            writeln!(
                std::io::stderr(),
                "SKIPPED the mint with its built-in wallet: PORTAL_BREEZ_LIB does not name the Breez \
                 library (cargo xtask test fetches it)"
            )
            .expect("standard error is open");
        }
        path
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sats_are_bought_and_paid_out_through_the_built_in_wallet() {
        let Some(library) = library() else { return };
        within(async {
            let spark = FakeSpark::start().await.expect("a free port");
            spark.fund(WORDS, 1_000).expect("words");
            let access = spark.access();
            let operators: Vec<Value> = access
                .operators
                .iter()
                .map(|(address, key)| json!({"address": address, "public_key": key}))
                .collect();
            let servers = json!({
                "operators": operators,
                "threshold": access.threshold,
                "ssp_url": access.ssp_url,
                "ssp_public_key": access.ssp_public_key,
            });
            let folder = tempfile::tempdir().expect("a folder");
            let words = folder.path().join("words");
            std::fs::write(&words, WORDS).expect("written");
            let text = sats(&format!(
                "wallet = \"breez\"\nfee_reserve_min = 20\n[lightning.breez]\nnetwork = \"regtest\"\nlibrary = {library:?}\n\
                 mnemonic_file = {words:?}\nspark = {:?}",
                servers.to_string()
            ));
            let wallet = opened(&text, &[], folder.path()).await.expect("opens");
            assert!(folder.path().join("breez").is_dir(), "its books lie in the data folder");
            let books = books("built_in").remove(0);
            let mut world = World::with(books, text, Some(wallet.clone()), Env::system()).await;

            let (asked, invoice) = quote(&world, 128).await;
            spark.pay(&invoice).expect("paid");
            let proofs = minted(&world, &asked, 128).await;
            let invoice = spark.outside_invoice(Some(100_000), Duration::from_secs(600));
            let hash = Bolt11::parse(&invoice).expect("an invoice").payment_hash.0;
            let answer = melted(&world, &invoice, &proofs).await;
            assert_eq!(answer["state"], "PAID", "{answer}");
            assert_eq!(spark.paid(hash), 1);
            world.stop().await;
            wallet.shutdown().await;
        })
        .await;
    }
}
