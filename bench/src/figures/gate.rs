//! `gate`: the verdict on a ticket at the door: without its mint, and with it.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use portal_core::cashu::{
    Event, Give, Lock, MintAddress, NewMint, NewSend, OfflineRule, Purpose, TicketWallet,
    TicketWalletOptions, Unit, Verdict,
};
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::storage::sqlite::SqliteOptions;
use portal_core::storage::sqlite::tickets::TicketStore;
use portal_testkit::mint::{StockMint, StockMintOptions};

use crate::arguments::Arguments;
use crate::gauge::Samples;
use crate::report::{Report, Row};
use crate::world;

/// The slowest verdicts with and without a mint, in milliseconds.
const OFFLINE: f64 = 50.0;
const ONLINE: f64 = 300.0;

/// Shows tickets one after another.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let tickets: u64 = arguments.size(500, 100);
    world::runtime(2)?.block_on(async {
        let folder = tempfile::tempdir()?;
        let options = StockMintOptions {
            path: Some(folder.path().join("mint.db")),
            ..StockMintOptions::default()
        };
        let mint = StockMint::start(options).await?;
        let address: MintAddress = mint.url().parse()?;
        let wallet = async |name: &str, seed: u8| -> Result<TicketWallet> {
            let store = TicketStore::open(&folder.path().join(name), SqliteOptions::default())?;
            let mut options =
                TicketWalletOptions::new(Env::system(), Secret::new([seed; 64]), store);
            options.trusted = vec![address.clone()];
            Ok(TicketWallet::open(options).await?)
        };
        let (door, phone) = (wallet("door.db", 1).await?, wallet("phone.db", 2).await?);
        let unit: Unit = "vip".parse()?;
        let lock = Lock { to: phone.key(), until: None };
        for (name, offline) in [("offline", true), ("online", false)] {
            let new = NewMint {
                mint: address.clone(),
                unit: unit.clone(),
                amount: tickets,
                description: None,
                give: Some(Give { lock: Some(lock), memo: None }),
            };
            let minted = door.mint(name, new).await?;
            let token = minted.token.context("the mint gave no ticket")?;
            phone.receive(name, &token).await?;
            let event = Event {
                mint: address.clone(),
                unit: unit.clone(),
                amount: Some(1),
                offline: OfflineRule::Signed,
            };
            door.prepare_gate(&event).await?;
            let gate = door.gate(event);
            let mut samples = Samples::default();
            for number in 0..tickets {
                let new = NewSend {
                    mint: address.clone(),
                    unit: unit.clone(),
                    amount: 1,
                    give: Give::default(),
                    purpose: Purpose::Present,
                };
                let shown = phone.send(&format!("{name}-{number}"), new).await?;
                let began = Instant::now();
                let verdict = if offline {
                    gate.check_offline(&shown.token).await?
                } else {
                    gate.check(&shown.token).await?
                };
                samples.add(began.elapsed());
                ensure!(verdict == Verdict::Valid { amount: 1, offline }, "{verdict:?}");
            }
            let most = if offline { OFFLINE } else { ONLINE };
            let note = format!("{tickets} tickets, each locked to its holder, one after another");
            let row = Row::new(format!("gate: {name}, p99"), samples.quantile(0.99), "ms");
            report.add(row.at_most(most).note(note));
            report.add(Row::new(format!("gate: {name}, p50"), samples.quantile(0.5), "ms"));
        }
        Ok(())
    })
}
