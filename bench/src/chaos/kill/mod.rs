//! `kill`: a service under load is killed (SIGKILL) at random points, again and again; the
//! supervisor, its people and the relay live on and remember everything they were told.

mod oracle;
pub mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portal_core::env::Env;
use portal_core::identity::LocalKey;
use portal_core::service::CLOSES;
use portal_core::wallet::simulated::SimulatedNetwork;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::oracle::{Kind, Oracle};
use crate::arguments::Arguments;
use crate::child::Child;
use crate::people::{Asked, Manners, People};
use crate::relay_process::RelayChild;
use crate::report::{Report, Row, count};
use crate::world;

/// Requests that are open at once.
const LOAD: usize = 48;
/// So many people are asked, in turn.
const PEOPLE: u64 = 40;
/// The longest life of a worker, from its start.
const LONGEST_LIFE: Duration = Duration::from_millis(700);
/// How long everything that is open may take once nobody is killed any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills and counts.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let kills: u64 = arguments.size(300, 10);
    world::runtime(1)?.block_on(async {
        let folder = tempfile::tempdir()?;
        let relay = RelayChild::start().await?;
        let key = world::new_key();
        let (asked, asks) = mpsc::unbounded_channel();
        let manners = Manners { claim: true, ..Manners::default() };
        let urls = vec![relay.url.clone()];
        let people = People::connect(&urls, key.public_key(), world::SEED, manners, Some(asked));
        people.ready(Duration::from_secs(10)).await?;
        let mut supervisor = Supervisor {
            folder: folder.path(),
            key,
            relay: relay.url.clone(),
            people: (0..PEOPLE).map(|number| people.invite(number).to_hex()).collect(),
            asks,
            oracle: Oracle::default(),
            invoices: BTreeMap::new(),
            ready: 0,
        };
        for life in 0..kills {
            let length = Env::system().jitter(LONGEST_LIFE);
            supervisor.life(Some(Instant::now() + length)).await?;
            if life % 10 == 9 {
                supervisor.check_integrity()?;
            }
        }
        supervisor.life(None).await?;
        supervisor.judge()?;
        let Supervisor { oracle, ready, .. } = supervisor;
        let of = |kind| oracle.requests().filter(|(_, request)| request.kind == kind).count();
        let mut note = format!(
            "{kills} kills ({ready} after it was ready), {} logins, {} payments",
            of(Kind::Login),
            of(Kind::Payment)
        );
        if let Some(first) = oracle.complaints.first() {
            note.push_str("; first: ");
            note.push_str(first);
        }
        report.add(Row::faults("kill", count_of(&oracle.complaints), note));
        report
            .add(Row::new("kill: requests open at the end", count(oracle.open()), "").at_most(0.0));
        Ok(())
    })
}

fn count_of(complaints: &[String]) -> u64 {
    complaints.len() as u64
}

struct Supervisor<'a> {
    folder: &'a Path,
    key: LocalKey,
    relay: String,
    people: Vec<String>,
    asks: mpsc::UnboundedReceiver<Asked>,
    oracle: Oracle,
    /// Invoices that people were asked to pay, and whether the ledger said it has the money.
    invoices: BTreeMap<String, bool>,
    /// Lives that got as far as serving.
    ready: u64,
}

impl Supervisor<'_> {
    /// One life of the worker: until `death`, or until all is done.
    async fn life(&mut self, death: Option<Instant>) -> Result<()> {
        let arguments = [
            "worker".to_owned(),
            self.folder.display().to_string(),
            self.key.secret_key().to_secret_hex(),
            self.relay.clone(),
        ];
        let mut child = Child::own(&arguments)?;
        let say = child.feed()?;
        let end = death.unwrap_or_else(|| Instant::now() + PATIENCE);
        let mut ready = false;
        loop {
            if death.is_none() && ready && self.oracle.open() == 0 {
                break;
            }
            tokio::select! {
                line = child.next_line() => match line? {
                    Some(line) if line.strip_suffix(worker::END) == Some("ready") => {
                        ready = true;
                        self.ready += u64::from(death.is_some());
                        self.resume(&say)?;
                    }
                    Some(line) => self.hear(&line)?,
                    None => {
                        self.oracle.complain("the worker ended by itself".to_owned());
                        break;
                    }
                },
                Some(asked) = self.asks.recv() => {
                    if let std::collections::btree_map::Entry::Vacant(new) =
                        self.invoices.entry(asked.invoice)
                    {
                        if ready {
                            say.send(format!("settle {}", new.key()))?;
                        }
                        new.insert(false);
                    }
                }
                () = sleep_until(end) => break,
            }
            if ready && death.is_some() {
                self.load(&say)?;
            }
        }
        child.kill().await?;
        // What it said before it died was said.
        while let Some(line) = child.next_line().await? {
            self.hear(&line)?;
        }
        self.oracle.died();
        Ok(())
    }

    /// Asks for more until enough is open.
    fn load(&mut self, say: &mpsc::UnboundedSender<String>) -> Result<()> {
        for _ in self.oracle.open()..LOAD {
            let total = self.oracle.requests().count() as u64;
            let kind = if total.is_multiple_of(2) { Kind::Login } else { Kind::Payment };
            let person = self.people[usize::try_from(total / 2 % PEOPLE)?].clone();
            let number = self.oracle.ask(kind, person.clone());
            say.send(format!("{} {number} {person}", kind.word()))?;
        }
        Ok(())
    }

    /// After a start: everything that is open goes on, and some of what is done is asked again.
    fn resume(&mut self, say: &mpsc::UnboundedSender<String>) -> Result<()> {
        let checked: u64 = u64::from_le_bytes(Env::system().bytes()) % 7;
        for (number, request) in self.oracle.requests() {
            let (word, person) = (request.kind.word(), &request.person);
            match &request.stream {
                // Cut off before the answer came: the same key again.
                None => say.send(format!("{word} {number} {person}"))?,
                Some(stream) if !request.done => {
                    let after = request.events.len().checked_sub(1);
                    let after = after.map_or("-".to_owned(), |after| after.to_string());
                    say.send(format!("attach {stream} {after}"))?;
                    say.send(format!("{word} {number} {person} again"))?;
                }
                Some(_) if number % 50 == checked => {
                    say.send(format!("{word} {number} {person} again"))?;
                }
                Some(_) => {}
            }
        }
        for (invoice, _) in self.invoices.iter().filter(|(_, settled)| !**settled) {
            say.send(format!("settle {invoice}"))?;
        }
        Ok(())
    }

    fn hear(&mut self, line: &str) -> Result<()> {
        let Some(line) = line.strip_suffix(worker::END) else { return Ok(()) };
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().context("a word is missing");
        match word()? {
            kind @ ("opened" | "again") => {
                let (number, stream, repeated) = (word()?.parse()?, word()?, word()? == "true");
                self.oracle.acknowledged(number, stream, repeated, kind == "again");
            }
            "event" => {
                let (stream, index, event) = (word()?, word()?.parse()?, word()?);
                self.oracle.heard(stream, index, serde_json::from_str(event)?);
            }
            "settled" => {
                self.invoices.insert(word()?.to_owned(), true);
            }
            "ready" => {}
            _ => self.oracle.complain(line.to_owned()),
        }
        Ok(())
    }

    fn database(&self) -> Result<Connection> {
        let path = self.folder.join(worker::DATABASE);
        Ok(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
    }

    fn check_integrity(&mut self) -> Result<()> {
        let answer: String =
            self.database()?.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if answer != "ok" {
            self.oracle.complain(format!("integrity_check: {answer}"));
        }
        Ok(())
    }

    /// The database and the ledger against what was told.
    fn judge(&mut self) -> Result<()> {
        self.check_integrity()?;
        let mut logs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        {
            let database = self.database()?;
            let mut events = database
                .prepare("SELECT stream, place, body FROM events ORDER BY stream, place")?;
            let mut rows = events.query([])?;
            while let Some(row) = rows.next()? {
                let stream = uuid::Uuid::from_bytes(row.get::<_, [u8; 16]>(0)?).to_string();
                let log = logs.entry(stream).or_default();
                ensure!(row.get::<_, i64>(1)? == i64::try_from(log.len())?, "a log has a gap");
                log.push(serde_json::from_str(&row.get::<_, String>(2)?)?);
            }
        }
        for (stream, log) in &logs {
            if *stream != CLOSES.to_string() {
                self.oracle.logged(stream, log);
            }
        }
        let network = SimulatedNetwork::open(&self.folder.join(worker::LEDGER), Env::system())?;
        let mut charged = BTreeSet::new();
        for settlement in network.settled() {
            let number = settlement.amount.as_u64() - worker::SMALLEST;
            if !charged.insert(number) {
                self.oracle.complain(format!("request {number} was paid twice"));
            }
        }
        let paid: BTreeSet<u64> = self
            .oracle
            .requests()
            .filter(|(_, request)| request.kind == Kind::Payment && request.done)
            .map(|(number, _)| number)
            .collect();
        for number in charged.symmetric_difference(&paid) {
            self.oracle.complain(format!("request {number}: the ledger and `paid` differ"));
        }
        Ok(())
    }
}
