//! The life of a ticket: minted by the backend, sent, kept and shown by the person, asked back at
//! the door, and burned.
//!
//! ```text
//!  backend   MintCashu ─▶ SendCashuDirect                 RequestCashu ─▶ BurnCashu
//!                              │                               │ ▲
//!  person                      └─▶ takes, keeps, shows         └─▶ shows it at the door
//! ```

use std::time::{Duration, Instant};

use portal_core::cashu::{MintAddress, TicketWallet, Unit};
use portal_core::client::{Answered, IncomingRequest, RequestBody};
use portal_core::env::Env;
use portal_core::identity::Mnemonic;
use portal_core::primitives::Secret;
use serde_json::{Value, json};

use super::DemoError;
use super::stage::{Actor, Stage};
use crate::error::CliError;
use crate::person::Person;
use crate::socket::{DaemonSocket, text};
use crate::tickets;
use crate::tickets::holdings::card;
use crate::tickets::refused;

/// What the ticket is called at the mint.
const UNIT: &str = "vip";

/// Where the tickets come from.
pub struct Event {
    /// The mint.
    pub mint: MintAddress,
    /// What mints and burns there.
    pub token: Secret<String>,
}

impl Event {
    /// A command about one ticket.
    fn command(&self, more: &[(&str, &str)]) -> Value {
        let mut params = json!({"mint_url": self.mint.as_str(), "unit": UNIT, "amount": 1});
        for (name, value) in more {
            params[*name] = Value::from(*value);
        }
        params
    }
}

/// Plays it from the minting to the door. How long that took.
///
/// # Errors
/// When a step fails.
pub async fn play(
    backend: &mut DaemonSocket,
    person: &Person,
    event: &Event,
    stage: &Stage,
) -> Result<Duration, DemoError> {
    let folder = tempfile::tempdir().map_err(DemoError::NoFolder)?;
    // The mint is on this machine.
    let seed = Mnemonic::generate(&Env::system()).seed();
    let wallet = tickets::open(&folder.path().join("tickets.db"), seed, Vec::new(), true).await?;
    let played = admit(backend, person, &wallet, event, stage).await;
    wallet.close().await;
    if let Err(error) = folder.close() {
        tracing::warn!(%error, "the tickets of the demo stay behind");
    }
    played
}

async fn admit(
    backend: &mut DaemonSocket,
    person: &Person,
    wallet: &TicketWallet,
    event: &Event,
    stage: &Stage,
) -> Result<Duration, DemoError> {
    let begun = Instant::now();
    let main_key = person.client.main_key().to_hex();
    let token = event.token.expose();
    let minted = backend.call("MintCashu", event.command(&[("static_auth_token", token)])).await?;
    stage.step(Actor::Backend, "mints a VIP ticket at its mint")?;
    let gift = json!({"main_key": main_key, "subkeys": [], "token": text(&minted, "token")});
    backend.call("SendCashuDirect", gift).await?;
    stage.step(Actor::Backend, "sends it to the person")?;
    keep(person, wallet, event, stage).await?;

    let mut wanted = event.command(&[("recipient_key", &main_key)]);
    wanted["subkeys"] = json!([]);
    stage.step(Actor::Backend, "asks for the ticket at the door")?;
    let asking = async { Ok(backend.call("RequestCashu", wanted).await?) };
    let (answer, ()) = tokio::try_join!(asking, show(person, wallet, stage))?;
    let status = &answer["status"];
    let shown = text(status, "token");
    if shown.is_empty() {
        let reason = text(status, "status");
        return Err(DemoError::NoTicket { reason });
    }
    stage.step(Actor::Backend, "holds the ticket in its hand")?;
    let burn = event.command(&[("static_auth_token", token), ("token", &shown)]);
    let burned = backend.call("BurnCashu", burn).await?;
    if burned["amount"] != 1 {
        return Err(DemoError::Unexpected { expected: "one burned ticket" });
    }
    stage.step(Actor::Backend, "burns it: let in, and good for nobody else")?;
    Ok(begun.elapsed())
}

/// The person takes the gift and looks at it.
async fn keep(
    person: &Person,
    wallet: &TicketWallet,
    event: &Event,
    stage: &Stage,
) -> Result<(), DemoError> {
    let gift = next(person).await?;
    if !matches!(gift.body, RequestBody::TicketGift(_)) {
        return Err(DemoError::Unexpected { expected: "a ticket" });
    }
    let taken = person.client.tickets(wallet).take(&gift).await.map_err(CliError::from)?;
    if taken.is_none_or(|taken| taken.amount != 1) {
        return Err(DemoError::Unexpected { expected: "one ticket in the person's wallet" });
    }
    stage.step(Actor::Person, "has it: swapped at the mint, kept in their wallet")?;
    let unit: Unit = UNIT.parse().map_err(refused)?;
    let balances = wallet.balances().await.map_err(refused)?;
    let held = balances.iter().find(|held| held.mint == event.mint && held.unit == unit);
    let info = wallet.unit_info(&event.mint, &unit).await.map_err(refused)?;
    let (Some(held), Some(info)) = (held, info) else {
        return Err(DemoError::Unexpected { expected: "a ticket with a card" });
    };
    Ok(stage
        .step(Actor::Wallet, &format!("shows {} × {}", held.available, card(UNIT, Some(&info))))?)
}

/// The person answers the question at the door with the ticket.
async fn show(person: &Person, wallet: &TicketWallet, stage: &Stage) -> Result<(), DemoError> {
    let asked = next(person).await?;
    if !matches!(asked.body, RequestBody::Ticket(_)) {
        return Err(DemoError::Unexpected { expected: "a question for a ticket" });
    }
    let answered = person.client.tickets(wallet).answer(&asked, false).await;
    let reason = match answered.map_err(CliError::from)? {
        Answered::Given => return Ok(stage.step(Actor::Person, "agrees and shows it")?),
        Answered::InsufficientFunds => "it holds too few",
        Answered::Refused => "the question was refused",
        Answered::AskThePerson => "it waits for the person",
    };
    Err(DemoError::NoTicket { reason: reason.to_owned() })
}

async fn next(person: &Person) -> Result<IncomingRequest, DemoError> {
    let next = person.client.requests().next().await;
    next.ok_or(DemoError::Unexpected { expected: "a request" })
}
