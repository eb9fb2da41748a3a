//! `charges`: a service that charges subscriptions, and the wallet app that pays them without
//! asking, are killed together (SIGKILL) at random points, again and again. In the end the ledger,
//! both databases and the calendar must tell the same story.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use portal_core::client::{Allowance, Client};
use portal_core::conversation::Limits;
use portal_core::env::Env;
use portal_core::event::{PortalEvent, SubscriptionUpdate};
use portal_core::identity::LocalKey;
use portal_core::primitives::{Millisats, Timestamp};
use portal_core::protocol::Currency;
use portal_core::protocol::subscription::Recurrence;
use portal_core::relay::RelayAddress;
use portal_core::service::{
    Call, ChargeOptions, NewRecurringPayment, Recipient, SchedulePlan, Service,
};
use portal_core::storage::schedule::{AuthorizationStore as _, ScheduleFilter, ScheduleStore as _};
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};
use portal_core::storage::{EventLog as _, OutgoingRecord, OutgoingStatus};
use portal_core::subscriptions::authorized::Authorization;
use portal_core::subscriptions::{CatchUp, Policy, Subscription};
use portal_core::wallet::simulated::SimulatedNetwork;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::runtime::Handle;

use crate::arguments::Arguments;
use crate::child::Child;
use crate::relay_process::RelayChild;
use crate::report::{Report, Row};
use crate::world;

/// So many subscriptions, each charged every two seconds.
const SUBSCRIPTIONS: usize = 20;
const CALENDAR: &str = "*-*-* *:*:00..59/2";
const AMOUNT: u64 = 1_000;
/// The longest life of the two, from when they are ready.
const LONGEST_LIFE: Duration = Duration::from_millis(2500);
/// How long everything that is open may take once nobody is killed any more.
const PATIENCE: Duration = Duration::from_secs(60);

const SERVICE: &str = "service.db";
const CLIENT: &str = "client.db";
const LEDGER: &str = "ledger";

/// Kills and compares.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let kills: u64 = arguments.size(120, 6);
    world::runtime(1)?.block_on(async {
        let folder = tempfile::tempdir()?;
        let relay = RelayChild::start().await?;
        let keys = [world::new_key(), world::new_key()];
        let [service, client] = keys.map(|key| key.secret_key().to_secret_hex());
        let path = folder.path().display().to_string();
        let arguments = ["charges-worker".to_owned(), path, service, client, relay.url.clone()];
        for _ in 0..kills {
            let mut child = Child::own(&arguments)?;
            expect(&mut child, "ready").await?;
            tokio::time::sleep(Env::system().jitter(LONGEST_LIFE)).await;
            child.kill().await?;
        }
        let mut child = Child::own(&arguments)?;
        expect(&mut child, "ready").await?;
        child.say("drain").await?;
        let drained = tokio::time::timeout(PATIENCE, child.next_line()).await;
        child.kill().await?;
        let mut faults = match drained {
            Ok(Ok(Some(line))) if line == "drained" => Vec::new(),
            _ => vec!["what was open did not end".to_owned()],
        };
        let story = compare(folder.path(), &mut faults).await?;
        let first = faults.first().map(|fault| {
            // What is left is the only witness.
            format!("; first: {fault}; kept: {}", folder.keep().display())
        });
        let first = first.unwrap_or_default();
        let note = format!("{kills} kills, {SUBSCRIPTIONS} subscriptions, {story}{first}");
        report.add(Row::faults("charges", faults.len() as u64, note));
        Ok(())
    })
}

async fn expect(child: &mut Child, word: &str) -> Result<()> {
    let line = child.line().await?;
    if line != word {
        bail!("a worker says: {line}");
    }
    Ok(())
}

/// `charges-worker <folder> <service key> <client key> <relay>`: says `ready`; told `drain` it
/// pauses everything, waits for what is open, and says `drained`.
pub fn work(arguments: &[String]) -> Result<bool> {
    let [folder, service, client, relay] = arguments else {
        bail!("charges-worker <folder> <service key> <client key> <relay>")
    };
    world::runtime(2)?.block_on(async {
        let folder = Path::new(folder);
        let (service, client) = start(folder, service, client, relay).await?;
        let filter = ScheduleFilter { open: true, ..ScheduleFilter::default() };
        let all = service.subscriptions().list(filter, None, SUBSCRIPTIONS).await?;
        for _ in all.len()..SUBSCRIPTIONS {
            agree(&service, &client).await?;
        }
        println!("ready");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            if line == "drain" {
                drain(&service, &client).await?;
                println!("drained");
            }
        }
        Ok(true)
    })
}

async fn start(
    folder: &Path,
    service_key: &str,
    client_key: &str,
    relay: &str,
) -> Result<(Service, Client)> {
    let network = SimulatedNetwork::open(&folder.join(LEDGER), Env::system())?;
    let merchant = network.wallet("merchant", Millisats::new(0))?;
    let person = network.wallet("person", Millisats::new(1 << 50))?;
    let relays = vec![RelayAddress::parse(relay)?];
    let open = |name| SqliteStore::open(&folder.join(name), SqliteOptions::default());
    // What falls into the time that the two are dead is left out: an app keeps few periods.
    let policy = Policy { catch_up: CatchUp::Latest, ..Policy::default() };
    let client = Client::builder(LocalKey::parse(client_key)?)
        .relays(relays.clone())
        .store(Arc::new(open(CLIENT)?))
        .allow_private_relays(true)
        .pay_subscriptions(person)
        // A request is remembered for five minutes; hardly anybody is charged every two seconds.
        .limits(Limits { inbound: 1 << 20, inbound_per_author: 1 << 20, ..Limits::default() })
        .start(Handle::current())
        .await?;
    // What a service says to an app that does not listen yet is lost until it is said again.
    let connected = async {
        while !client.relays().status().iter().any(|relay| relay.is_connected()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.context("no relay")?;
    let service = Service::builder(LocalKey::parse(service_key)?)
        .relays(relays)
        .store(Arc::new(open(SERVICE)?))
        .wallet(merchant)
        .allow_private_relays(true)
        .charge_subscriptions(ChargeOptions { policy, ..ChargeOptions::default() })
        .start(Handle::current())
        .await?;
    Ok((service, client))
}

/// One more subscription, which the person agrees to.
async fn agree(service: &Service, client: &Client) -> Result<()> {
    let now = service.now().as_secs();
    let plan = NewRecurringPayment {
        amount: AMOUNT,
        currency: Currency::Millisats,
        recurrence: Recurrence {
            until: None,
            calendar: CALENDAR.parse()?,
            max_payments: None,
            first_payment_due: Timestamp::from_secs(now),
        },
        expires_at: Timestamp::from_secs(now + 120),
        description: None,
        auth_token: None,
        request_id: None,
    };
    let person = Recipient::new(client.main_key());
    let (opened, _) = service
        .subscriptions()
        .request_scheduled(person, plan, SchedulePlan::default(), Call::default())
        .await?;
    let request = client.requests().next().await.context("the client stopped")?;
    client.subscriptions().confirm(&request, Allowance::default()).await?;
    client.requests().handled(request.id).await?;
    service.streams().wait(opened.stream).await?;
    Ok(())
}

/// Nothing new is charged; ends when nothing is open on either side but what died between the
/// journal and the wallet: that is not sent again, and fails when it can no longer be on its way.
async fn drain(service: &Service, client: &Client) -> Result<()> {
    let all = ScheduleFilter::default();
    for subscription in service.subscriptions().list(all, None, usize::MAX).await? {
        service.subscriptions().pause(subscription.stream_id).await?;
    }
    loop {
        let waiting = service.node().store().waiting_schedules(None, usize::MAX).await?;
        let mut unknown = 0;
        let mut done = true;
        for known in client.subscriptions().list().await? {
            for reserved in &known.reserved {
                let payment = client.node().store().outgoing(reserved.payment_hash).await?;
                let pending = |payment: &OutgoingRecord| payment.status == OutgoingStatus::Pending;
                done &= payment.as_ref().is_some_and(pending);
                unknown += 1;
            }
        }
        if done && waiting.len() == unknown {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The ledger, both databases and the calendar.
async fn compare(folder: &Path, faults: &mut Vec<String>) -> Result<String> {
    let service = SqliteStore::open(&folder.join(SERVICE), SqliteOptions::default())?;
    let client = SqliteStore::open(&folder.join(CLIENT), SqliteOptions::default())?;
    let network = SimulatedNetwork::open(&folder.join(LEDGER), Env::system())?;
    let mut taken = BTreeMap::new();
    for record in client.authorizations().await? {
        let known = Authorization::read(&record)?;
        let unknown = u32::try_from(known.reserved.len())?;
        taken.insert(known.subscription_id.clone(), (known.taken - unknown, unknown));
    }
    let (mut paid_in_all, mut asked_in_all, mut unknown_in_all) = (0_u64, 0_u64, 0_u64);
    for record in service.schedules(ScheduleFilter::default(), None, usize::MAX).await? {
        let subscription = Subscription::read(&record)?;
        let name = &subscription.terms.subscription_id;
        let mut complain = |what: String| faults.push(format!("{name}: {what}"));
        let charges = service.charges(record.stream, None, usize::MAX).await?;
        let log = service.events(record.stream, None, usize::MAX).await?;
        let (mut paid, mut last_due, mut next_period) = (0_u32, None, 0_u32);
        for (place, event) in log.iter().enumerate() {
            if event.index != place as u64 {
                complain(format!("event {place} has index {}", event.index));
            }
            let PortalEvent::SubscriptionUpdate { status } = &event.body else { continue };
            match status {
                SubscriptionUpdate::ChargeCreated { period, attempt, due, .. } => {
                    asked_in_all += 1;
                    if (*period, *attempt) != (next_period, 0) {
                        complain(format!("period {period}, attempt {attempt}, not {next_period}"));
                    }
                    if last_due.is_some_and(|last| *due <= last) {
                        complain(format!("period {period} was due before the one before"));
                    }
                    if *period > 0 && subscription.terms.calendar.next_from(*due) != Some(*due) {
                        complain(format!("nothing was due at {due}"));
                    }
                    last_due = Some(*due);
                }
                SubscriptionUpdate::ChargePaid { period, .. } => {
                    if *period != next_period {
                        complain(format!("period {period} was paid, not {next_period}"));
                    }
                    next_period += 1;
                    paid += 1;
                }
                _ => {}
            }
        }
        let unknown = u32::from(subscription.charge.is_some());
        let paid_charges = charges.iter().filter(|charge| charge.paid).count();
        if charges.len() != (paid + unknown) as usize || paid_charges != paid as usize {
            complain(format!("{} charges, {paid} paid", charges.len()));
        }
        if subscription.paid != paid || taken.get(name) != Some(&(paid, unknown)) {
            complain(format!("{paid} paid, by the person's books {:?}", taken.get(name)));
        }
        unknown_in_all += u64::from(unknown);
        paid_in_all += u64::from(paid);
    }
    let settled = network.settled().len() as u64;
    if settled != paid_in_all {
        faults.push(format!("the ledger has {settled} payments, {paid_in_all} are paid"));
    }
    if paid_in_all < SUBSCRIPTIONS as u64 {
        faults.push("too little was charged to say anything".to_owned());
    }
    Ok(format!(
        "{asked_in_all} requests, {paid_in_all} paid, {unknown_in_all} died on the way to the wallet"
    ))
}
