//! What the socket tells (NUT-17): what is so now, then what happens.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::world::{TOKEN, World, books, within};

/// A wallet's socket.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(world: &World) -> Self {
        let url = format!("{}/v1/ws", world.url().replacen("http", "ws", 1));
        Self(connect_async(url).await.expect("connects").0)
    }

    async fn say(&mut self, method: &str, params: Value) {
        let said = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.0.send(Message::text(said.to_string())).await.expect("sent");
    }

    /// Subscribes; the answer says that it is done.
    async fn subscribe(&mut self, id: &str, kind: &str, filters: &[&str]) {
        self.say("subscribe", json!({ "kind": kind, "subId": id, "filters": filters })).await;
        let answer = self.hear().await;
        assert_eq!(answer["result"]["status"], "OK", "first the answer: {answer}");
        assert_eq!(answer["result"]["subId"], id);
    }

    async fn hear(&mut self) -> Value {
        loop {
            let message = self.0.next().await.expect("it stays open").expect("a message");
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).expect("json");
            }
        }
    }

    /// What the next notification of a subscription is about.
    async fn told(&mut self, id: &str) -> Value {
        let mut said = self.hear().await;
        assert_eq!((&said["method"], &said["params"]["subId"]), (&json!("subscribe"), &json!(id)));
        said["params"]["payload"].take()
    }

    /// Waits until a proof is said to be in a state; it may pass through others.
    async fn until(&mut self, id: &str, state: &str) {
        while self.told(id).await["state"] != state {}
    }
}

/// The names that a mint knows proofs by.
fn names(proofs: &[cdk::nuts::Proof]) -> Vec<String> {
    proofs.iter().map(|proof| proof.y().expect("a point").to_hex()).collect()
}

/// Whoever subscribes to a quote that is paid already waits for nothing else: it must not be lost
/// between the two, however many ask at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_subscribes_to_a_quote_that_is_paid_is_told_so() {
    for books in books("paid_already") {
        within(async {
            let world = World::new(books).await;
            let wallets = (0..24).map(|number| {
                let world = &world;
                async move {
                    let quote = world.quote("bolt11", "drinks", 3).await;
                    assert_eq!(quote["state"], "PAID");
                    let (id, quote) = (format!("wallet-{number}"), quote["quote"].clone());
                    let mut socket = Socket::open(world).await;
                    let filter = quote.as_str().expect("an id");
                    socket.subscribe(&id, "bolt11_mint_quote", &[filter]).await;
                    let told = socket.told(&id).await;
                    assert_eq!((&told["quote"], &told["state"]), (&quote, &json!("PAID")));
                }
            });
            futures_util::future::join_all(wallets).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_hears_that_a_quote_was_issued() {
    within(async {
        let world = World::new(books("issued").remove(0)).await;
        let quote = world.quote("bolt11", "vip", 1).await;
        let id = quote["quote"].as_str().expect("an id");
        let mut socket = Socket::open(&world).await;
        socket.subscribe("s", "bolt11_mint_quote", &[id]).await;
        assert_eq!(socket.told("s").await["state"], "PAID");
        let outputs = world.outputs("vip", 1).await;
        let asked = json!({ "quote": id, "outputs": outputs.json() });
        assert_eq!(world.post("/v1/mint/bolt11", Some(TOKEN), asked).await.0, 200);
        assert_eq!(socket.told("s").await["state"], "ISSUED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_issued_a_ticket_hears_that_it_was_used_also_when_it_asks_afterwards() {
    for books in books("used_ticket") {
        within(async {
            let world = World::new(books).await;
            let proofs = world.issue("vip", 2).await;
            let names = names(&proofs);
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut early = Socket::open(&world).await;
            early.subscribe("early", "proof_state", &all).await;
            let (status, answer) = world.burn("vip", 1, &proofs[..1].to_vec()).await;
            assert_eq!(status, 200, "{answer}");
            early.until("early", "SPENT").await;
            let mut late = Socket::open(&world).await;
            late.subscribe("late", "proof_state", &all).await;
            let told = late.told("late").await;
            assert_eq!((&told["Y"], &told["state"]), (&json!(names[0]), &json!("SPENT")));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_and_the_socket_goes_on() {
    within(async {
        let world = World::new(books("unread").remove(0)).await;
        let mut socket = Socket::open(&world).await;
        let wrong =
            json!({ "kind": "bolt11_mint_quote", "subId": "x".repeat(1000), "filters": [] });
        socket.say("subscribe", wrong).await;
        assert!(socket.hear().await["error"]["code"].is_i64());
        socket.0.send(Message::text("{")).await.expect("sent");
        let quote = world.quote("bolt11", "vip", 1).await;
        socket.subscribe("s", "bolt11_mint_quote", &[quote["quote"].as_str().expect("it")]).await;
        assert_eq!(socket.told("s").await["state"], "PAID");
    })
    .await;
}
