//! A sat that is paid over Lightning, with the simulated wallet at both ends.

use std::sync::Arc;
use std::time::Duration;

use cdk::nuts::Proofs;
use portal_core::env::{Env, mock};
use portal_core::primitives::Millisats;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{Call, Fault, SimulatedNetwork, SimulatedWallet, Trouble};
use portal_core::wallet::{LightningWallet as _, NewInvoice, PayInvoice, PayOutcome};
use serde_json::{Value, json};

use crate::world::{TOKEN, World, books, usual, within};

struct Sats {
    world: World,
    network: SimulatedNetwork,
    mints: Arc<SimulatedWallet>,
    person: Arc<SimulatedWallet>,
}

impl Sats {
    async fn new(test: &str) -> Self {
        Self::on(test, Env::system()).await
    }

    async fn on(test: &str, env: Env) -> Self {
        let network = SimulatedNetwork::new(env.clone());
        let mints = network.wallet("mint", Millisats::new(0)).expect("a wallet");
        let person = network.wallet("person", Millisats::new(10_000_000)).expect("a wallet");
        let config =
            usual().replace("drinks = 32", "sat = 32") + "\n[lightning]\nunits = [\"sat\"]\n";
        let books = books(test).remove(0);
        let world = World::with(books, config, Some(mints.clone()), env).await;
        Self { world, network, mints, person }
    }

    async fn pay(&self, invoice: &str) {
        let read = Bolt11::parse(invoice).expect("an invoice");
        let request = PayInvoice {
            bolt11: read.text,
            payment_hash: read.payment_hash,
            amount: None,
            max_fee: None,
            timeout: Duration::from_secs(5),
        };
        let paid = self.person.pay(request).await.expect("an outcome");
        assert!(matches!(paid, PayOutcome::Settled { .. }));
    }

    /// Buys sats as anybody would, without a token.
    async fn buy(&self, sat: u64) -> Proofs {
        let asked = json!({ "unit": "sat", "amount": sat });
        let (status, quote) = self.world.post("/v1/mint/quote/bolt11", None, asked).await;
        assert_eq!((status, quote["state"].as_str()), (200, Some("UNPAID")), "{quote}");
        self.pay(quote["request"].as_str().expect("an invoice")).await;
        let path = format!("/v1/mint/quote/bolt11/{}", quote["quote"].as_str().expect("an id"));
        while self.world.get(&path, None).await.1["state"] != "PAID" {
            tokio::task::yield_now().await;
        }
        let outputs = self.world.outputs("sat", sat).await;
        let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
        let (status, answer) = self.world.post("/v1/mint/bolt11", None, asked).await;
        assert_eq!(status, 200, "{answer}");
        outputs.proofs(&answer)
    }

    async fn invoice(&self, sat: u64) -> String {
        let amount = Millisats::from_sats(sat).expect("fits");
        let expiry = Duration::from_secs(600);
        let request = NewInvoice { amount, description: None, expiry };
        self.person.make_invoice(request).await.expect("made").bolt11
    }

    async fn melt_quote(&self, invoice: &str) -> Value {
        let asked = json!({ "unit": "sat", "request": invoice });
        let (status, quote) = self.world.post("/v1/melt/quote/bolt11", None, asked).await;
        assert_eq!(status, 200, "{quote}");
        quote
    }

    async fn melt(&self, quote: &Value, proofs: &Proofs) -> (u16, Value) {
        let asked = json!({ "quote": quote["quote"], "inputs": proofs });
        self.world.post("/v1/melt/bolt11", None, asked).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sats_are_bought_and_paid_out_over_lightning() {
    within(async {
        let sats = Sats::new("sats").await;
        let proofs = sats.buy(100).await;
        assert_eq!(sats.network.balance("mint"), Some(Millisats::new(100_000)));
        let quote = sats.melt_quote(&sats.invoice(90).await).await;
        assert_eq!(quote["amount"], 90);
        let (status, answer) = sats.melt(&quote, &proofs).await;
        assert_eq!((status, answer["state"].as_str()), (200, Some("PAID")), "{answer}");
        assert!(answer["payment_preimage"].as_str().is_some_and(|it| it.len() == 64), "{answer}");
        assert_eq!(sats.network.balance("mint"), Some(Millisats::new(10_000)));
        let (sold, used, _) = sats.world.account("sat").await;
        assert_eq!((sold, used), (100, 90));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_nobody_paid_issues_nothing_and_tickets_still_need_the_token() {
    within(async {
        let sats = Sats::new("unpaid").await;
        let asked = json!({ "unit": "sat", "amount": 5 });
        let quote = sats.world.post("/v1/mint/quote/bolt11", None, asked).await.1;
        let outputs = sats.world.outputs("sat", 5).await;
        let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
        for token in [None, Some(TOKEN)] {
            let (status, answer) = sats.world.post("/v1/mint/bolt11", token, asked.clone()).await;
            assert_eq!((status, answer["code"].as_u64()), (400, Some(20_001)), "{answer}");
        }
        let vip = json!({ "unit": "vip", "amount": 1 });
        let (status, _) = sats.world.post("/v1/mint/quote/bolt11", None, vip).await;
        assert_eq!(status, 401, "tickets are not bought");
        let quote = sats.world.quote("bolt11", "vip", 1).await;
        let outputs = sats.world.outputs("vip", 1).await;
        let asked = json!({ "quote": quote["quote"], "outputs": outputs.json() });
        assert_eq!(sats.world.post("/v1/mint/bolt11", None, asked).await.0, 401);
        let asked = json!({ "unit": "sat", "amount": 5 });
        let (status, _) = sats.world.post("/v1/mint/quote/portal", Some(TOKEN), asked).await;
        assert_eq!(status, 400, "sats are not given away");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_answer_was_lost_is_made_once_and_ends_well() {
    within(async {
        let sats = Sats::new("lost").await;
        let proofs = sats.buy(64).await;
        let quote = sats.melt_quote(&sats.invoice(50).await).await;
        sats.mints.order(Fault::OnCall(Some(Call::Pay), Trouble::LostAnswer));
        let (status, answer) = sats.melt(&quote, &proofs).await;
        assert_eq!(status, 200, "{answer}");
        let path = format!("/v1/melt/quote/bolt11/{}", quote["quote"].as_str().expect("an id"));
        while sats.world.get(&path, None).await.1["state"] != "PAID" {
            tokio::task::yield_now().await;
        }
        assert_eq!(sats.network.balance("mint"), Some(Millisats::new(14_000)), "paid once");
        let (status, answer) = sats.melt(&quote, &proofs).await;
        assert_eq!((status, answer["state"].as_str()), (200, Some("PAID")), "the same answer");
        assert_eq!(sats.network.balance("mint"), Some(Millisats::new(14_000)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_failed_gives_the_proofs_back() {
    within(async {
        let sats = Sats::new("failed").await;
        let proofs = sats.buy(64).await;
        let quote = sats.melt_quote(&sats.invoice(50).await).await;
        let empty =
            Trouble::Refuse { code: "INSUFFICIENT_BALANCE".into(), message: "empty".into() };
        sats.mints.order(Fault::OnCall(Some(Call::Pay), empty));
        let (status, answer) = sats.melt(&quote, &proofs).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(20_004)), "{answer}");
        assert_eq!(sats.network.balance("mint"), Some(Millisats::new(64_000)));
        assert_eq!(sats.world.swap("sat", &proofs).await.0, 200, "they are the person's again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_nobody_knows_gives_nothing_back_until_the_payment_cannot_leave() {
    within(async {
        let (env, clock) = mock::env(Env::system().now(), 20);
        let mut sats = Sats::on("unknown", env).await;
        let proofs = sats.buy(64).await;
        let quote = sats.melt_quote(&sats.invoice(50).await).await;
        let odd = Trouble::Refuse { code: "INTERNAL".into(), message: "boom".into() };
        sats.mints.order(Fault::OnCall(Some(Call::Pay), odd));
        let (_, answer) = sats.melt(&quote, &proofs).await;
        assert_ne!(answer["state"], "PAID", "{answer}");
        let path = format!("/v1/melt/quote/bolt11/{}", quote["quote"].as_str().expect("an id"));
        assert_eq!(sats.world.get(&path, None).await.1["state"], "PENDING");
        assert_ne!(sats.world.swap("sat", &proofs).await.0, 200, "it may be on its way");
        sats.world.stop().await;
        sats.world.start().await;
        clock.advance(Duration::from_secs(600 + 3600));
        assert_eq!(sats.world.get(&path, None).await.1["state"], "PENDING");
        clock.advance(Duration::from_secs(2));
        assert_eq!(sats.world.get(&path, None).await.1["state"], "UNPAID");
        assert_eq!(sats.network.balance("mint"), Some(Millisats::new(64_000)), "nothing was sent");
        assert_eq!(sats.world.swap("sat", &proofs).await.0, 200, "they are the person's again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_of_the_mint_itself_is_settled_in_its_books() {
    within(async {
        let sats = Sats::new("inside").await;
        let proofs = sats.buy(64).await;
        let asked = json!({ "unit": "sat", "amount": 40 });
        let other = sats.world.post("/v1/mint/quote/bolt11", None, asked).await.1;
        let quote = sats.melt_quote(other["request"].as_str().expect("an invoice")).await;
        let (status, answer) = sats.melt(&quote, &proofs).await;
        assert_eq!((status, answer["state"].as_str()), (200, Some("PAID")), "{answer}");
        assert_eq!(sats.network.balance("mint"), Some(Millisats::new(64_000)), "nothing was sent");
        let outputs = sats.world.outputs("sat", 40).await;
        let asked = json!({ "quote": other["quote"], "outputs": outputs.json() });
        assert_eq!(sats.world.post("/v1/mint/bolt11", None, asked).await.0, 200);
    })
    .await;
}
