//! Who does what: the backend over the daemon's socket, the person with a wallet of their own, at
//! the same time.

use std::sync::Arc;
use std::time::Instant;

use nostr::PublicKey;
use portal_core::client::RequestBody;
use portal_core::env::Env;
use portal_core::identity::LocalKey;
use portal_core::storage::memory::MemoryStore;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::DemoError;
use super::program::Ready;
use super::stage::{Actor, Stage};
use super::tickets::{self, Event};
use crate::person::{Outcome, Parts, Person, link};
use crate::socket::{DaemonSocket, SocketError, text};
use crate::terminal::{sats, short_npub};

/// The price, in millisatoshi.
const PRICE: u64 = 2_100_000;
/// What is sold.
const GOODS: &str = "Coffee and cake";

/// Plays it from the first step to the last.
///
/// # Errors
/// When a step fails.
pub async fn perform(ready: Ready, stage: &Stage) -> Result<(), DemoError> {
    let Ready { socket, token, relays, person: link_of_person, mint, mint_token } = ready;
    stage.step(Actor::Daemon, &format!("serves {socket}"))?;
    let mut backend = DaemonSocket::connect(&socket, &token).await?;
    stage.step(Actor::Backend, "connects and shows its token")?;
    let parts = Parts {
        key: LocalKey::generate(&Env::system()),
        relays,
        store: Arc::new(MemoryStore::new()),
        wallet: Some(link(&link_of_person)?),
        rates: None,
        allow_private: true,
    };
    let person = Person::start(parts).await?;
    settle(&person).await;
    let who = short_npub(&person.client.main_key());
    stage.step(Actor::Person, &format!("is {who}, with a wallet of {}", balance(&person).await))?;

    let (show, seen) = oneshot::channel();
    let played =
        tokio::try_join!(business(&mut backend, show, stage), customer(&person, seen, stage));
    let ((end, paid), begun) = played?;
    stage.step(Actor::Backend, &paid)?;
    let event = Event { mint, token: mint_token };
    let admitted = tickets::play(&mut backend, &person, &event, stage).await?;
    stage.result(end - begun, admitted)?;
    backend.close().await;
    person.stop().await;
    Ok(())
}

/// The backend: a URL, a login, a payment. Ends when it is paid: when that was, and what to say.
async fn business(
    socket: &mut DaemonSocket,
    show: oneshot::Sender<String>,
    stage: &Stage,
) -> Result<(Instant, String), DemoError> {
    let made = socket.call("NewKeyHandshakeUrl", json!({})).await?;
    let (url, stream) = (text(&made, "url"), text(&made, "stream_id"));
    stage.step(Actor::Backend, "asks for a login URL and shows it")?;
    stage.login_url(&url)?;
    // The person may have gone; then the other half says why.
    drop(show.send(url));

    let opened = socket.notification(&stream).await?;
    let person = PublicKey::parse(&text(&opened, "main_key"))
        .map_err(|_| DemoError::Unexpected { expected: "the key of the person" })?;
    stage.step(Actor::Backend, &format!("sees {}, asks for proof", short_npub(&person)))?;
    let key = person.to_hex();
    let answer = socket.call("AuthenticateKey", json!({"main_key": key, "subkeys": []})).await?;
    let status = &answer["event"]["status"];
    if status["status"] != "approved" || answer["event"]["user_key"] != key {
        return Err(DemoError::Unexpected { expected: "an approved login" });
    }
    stage.step(Actor::Backend, "has the proof: logged in")?;
    let token = text(status, "session_token");
    socket.call("VerifyJwt", json!({"pubkey": key, "token": token})).await?;
    stage.step(Actor::Backend, "checks the session token: good for 24 h")?;

    let wanted = json!({
        "main_key": key, "subkeys": [],
        "payment_request": {"amount": PRICE, "currency": "Millisats", "description": GOODS},
    });
    let asked = socket.call("RequestSinglePayment", wanted).await?;
    let stream = text(&asked, "stream_id");
    stage.step(Actor::Backend, &format!("asks for {}: {GOODS}", sats(PRICE)))?;
    loop {
        let update = socket.notification(&stream).await?;
        if let Some(end) = payment_step(&update, stage)? {
            return Ok((Instant::now(), end));
        }
    }
}

/// Shows where the payment stands; the last line once it is paid.
fn payment_step(update: &Value, stage: &Stage) -> Result<Option<String>, DemoError> {
    let status = &update["status"];
    let not_paid = |what: &str| {
        let reason = text(status, "reason");
        let reason = if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") };
        Err(DemoError::NotPaid { reason })
    };
    match status["status"].as_str() {
        Some("user_approved") => stage.step(Actor::Backend, "hears that the person agreed")?,
        Some("user_success") => {
            stage.step(Actor::Backend, "hears that they paid, asks its own wallet")?;
        }
        Some("paid") => return Ok(Some("sees the money in its own wallet: paid".to_owned())),
        Some("user_failed") => return not_paid("the person's wallet could not pay"),
        Some("user_rejected") => return not_paid("the person refused"),
        Some("timeout") => return not_paid("nobody paid in time"),
        _ => return not_paid("the daemon reports an error"),
    }
    Ok(None)
}

/// The person: opens the URL, approves the login, approves and pays. Ends when the wallet has
/// paid: when the URL was opened.
async fn customer(
    person: &Person,
    seen: oneshot::Receiver<String>,
    stage: &Stage,
) -> Result<Instant, DemoError> {
    let url = seen.await.map_err(|_| SocketError::Closed)?;
    let begun = Instant::now();
    stage.step(Actor::Person, "scans it with their wallet")?;
    person.open(&url).await?;
    loop {
        let asked = person.client.requests().next().await;
        let asked = asked.ok_or(DemoError::Unexpected { expected: "a request" })?;
        match &asked.body {
            RequestBody::Login(_) => {
                stage.step(Actor::Person, "approves the login")?;
                person.approve_login(&asked).await?;
            }
            RequestBody::Payment(payment) => {
                let invoice = person.examine(payment).await?;
                stage.step(Actor::Person, &format!("approves {}", sats(payment.amount)))?;
                return match person.pay(&asked, &invoice).await {
                    Outcome::Paid(_) => {
                        stage.step(Actor::Wallet, "has paid the invoice, and has the receipt")?;
                        Ok(begun)
                    }
                    Outcome::Failed(reason) => Err(DemoError::NotPaid { reason }),
                    Outcome::Unknown | Outcome::Broken(_) => {
                        Err(DemoError::Unexpected { expected: "the wallet's word" })
                    }
                };
            }
            _ => return Err(DemoError::Unexpected { expected: "a login or a payment" }),
        }
    }
}

/// Connections are part of getting ready, not of what is measured.
async fn settle(person: &Person) {
    while !person.client.relays().status().iter().any(|relay| relay.is_connected()) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn balance(person: &Person) -> String {
    let Some(wallet) = person.wallet() else { return sats(0) };
    match wallet.balance().await {
        Ok(balance) => sats(balance.amount.as_u64()),
        Err(_) => "unknown".to_owned(),
    }
}
