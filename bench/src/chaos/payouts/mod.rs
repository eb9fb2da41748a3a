//! `payouts`: outgoing payments whose wallet fails in every way, in a process that is killed
//! (SIGKILL) at random points, whose calls are dropped at random points. At the end every payment
//! is paid or not paid, once, and the journal says which.

pub mod worker;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use portal_core::env::Env;
use portal_core::wallet::simulated::SimulatedNetwork;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::arguments::Arguments;
use crate::child::Child;
use crate::report::{Report, Row};
use crate::world;

/// Payments that are under way at once.
const LOAD: usize = 64;
/// The longest life of a worker: mostly from when it was ready, so that a busy machine does not
/// turn all of it into start; one life in four from its start.
const LONGEST_LIFE: Duration = Duration::from_millis(900);
/// So many more lives until all payments were begun.
const MOST_LIVES: u32 = 500;
/// How long everything that is open may take once nobody is killed any more.
const PATIENCE: Duration = Duration::from_secs(600);

/// Kills and counts.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let payments: usize = arguments.size(10_000, 200);
    let kills: u64 = arguments.size(300, 8);
    world::runtime(1)?.block_on(async {
        let folder = tempfile::tempdir()?;
        let mut supervisor = Supervisor {
            folder: folder.path(),
            wanted: payments,
            payments: Vec::new(),
            complaints: Vec::new(),
            ready: 0,
        };
        for number in 0..kills {
            let length = Env::system().jitter(LONGEST_LIFE);
            supervisor.life(Some(length), number % 4 == 0, Duration::ZERO).await?;
        }
        // Whatever was not reached between the kills, then what nobody can say before its invoice
        // is long over.
        let mut more = 0;
        while !supervisor.all_made() && more < MOST_LIVES {
            supervisor.life(Some(3 * LONGEST_LIFE), false, Duration::ZERO).await?;
            more += 1;
        }
        supervisor.life(None, true, worker::LATER).await?;
        let sum = supervisor.judge()?;
        let mut note = format!(
            "{} payments, {kills} kills ({} after it was ready): {} paid, {} not paid, {} handed over \
             more than once for a reason; {} paid twice, {} unaccounted",
            supervisor.payments.len(),
            supervisor.ready,
            sum.paid,
            sum.not_paid,
            sum.again,
            sum.twice,
            sum.unaccounted
        );
        if let Some(first) = supervisor.complaints.first() {
            note.push_str("; first: ");
            note.push_str(first);
        }
        let complaints = u64::try_from(supervisor.complaints.len())?;
        report.add(Row::faults("payouts", complaints, note));
        Ok(())
    })
}

struct Supervisor<'a> {
    folder: &'a Path,
    /// So many payments are made altogether.
    wanted: usize,
    payments: Vec<Payment>,
    complaints: Vec<String>,
    /// Lives that got as far as paying.
    ready: u64,
}

#[derive(Default)]
struct Payment {
    /// Once the worker has made it.
    invoice: Option<String>,
    /// What the worker said last that is certain.
    paid: bool,
    failed: bool,
    /// Asked for in this life.
    asked: bool,
}

#[derive(Default)]
struct Sum {
    paid: usize,
    not_paid: usize,
    again: usize,
    twice: usize,
    unaccounted: usize,
}

impl Supervisor<'_> {
    /// One life of the worker: so long, from its start or from when it was ready, or until nothing
    /// is left to be asked for.
    async fn life(
        &mut self,
        death: Option<Duration>,
        from_start: bool,
        later: Duration,
    ) -> Result<()> {
        let arguments =
            ["payer".to_owned(), self.folder.display().to_string(), later.as_secs().to_string()];
        let mut child = Child::own(&arguments)?;
        let say = child.feed()?;
        let mut end = Instant::now() + death.filter(|_| from_start).unwrap_or(PATIENCE);
        let last = !later.is_zero();
        let mut ready = false;
        self.payments.iter_mut().for_each(|payment| payment.asked = false);
        loop {
            if ready && self.load(&say, last)? && death.is_none() {
                break;
            }
            tokio::select! {
                line = child.next_line() => match line? {
                    Some(line) if line.strip_suffix(worker::END) == Some("ready") => {
                        ready = true;
                        if let Some(length) = death.filter(|_| !from_start) {
                            end = Instant::now() + length;
                        }
                        self.ready += u64::from(death.is_some());
                    }
                    Some(line) => self.hear(&line)?,
                    None => {
                        self.complaints.push("the worker ended by itself".to_owned());
                        break;
                    }
                },
                () = sleep_until(end) => {
                    if death.is_none() {
                        self.complaints.push("it did not finish".to_owned());
                    }
                    break;
                }
            }
        }
        child.kill().await?;
        // What it said before it died was said.
        while let Some(line) = child.next_line().await? {
            self.hear(&line)?;
        }
        Ok(())
    }

    /// Asks for more until enough is under way. True when nothing is left.
    fn load(&mut self, say: &mpsc::UnboundedSender<String>, last: bool) -> Result<bool> {
        let mut busy = self.payments.iter().filter(|it| it.asked && !it.is_over()).count();
        let mut left = false;
        for (number, payment) in self.payments.iter_mut().enumerate() {
            if payment.is_over() {
                continue;
            }
            left = true;
            if payment.asked || busy >= LOAD {
                continue;
            }
            payment.asked = true;
            busy += 1;
            match &payment.invoice {
                Some(invoice) => say.send(format!("pay {number} {invoice}"))?,
                None => say.send(format!("make {number}"))?,
            }
        }
        while !last && busy < LOAD && self.payments.len() < self.wanted {
            say.send(format!("make {}", self.payments.len()))?;
            self.payments.push(Payment { asked: true, ..Payment::default() });
            (busy, left) = (busy + 1, true);
        }
        Ok(!left)
    }

    fn all_made(&self) -> bool {
        self.payments.len() == self.wanted && self.payments.iter().all(|it| it.invoice.is_some())
    }

    fn hear(&mut self, line: &str) -> Result<()> {
        let Some(line) = line.strip_suffix(worker::END) else { return Ok(()) };
        let mut words = line.splitn(3, ' ');
        let word = words.next().context("a word")?;
        let number: Option<usize> = words.next().and_then(|number| number.parse().ok());
        let payment = number.and_then(|number| self.payments.get_mut(number));
        match (word, payment) {
            ("made", Some(payment)) => {
                payment.invoice = words.next().map(str::to_owned);
                // Now it can be paid.
                payment.asked = false;
            }
            ("paid", Some(payment)) if payment.failed => {
                self.complaints.push(format!("paid after it had failed: {line}"));
            }
            ("paid", Some(payment)) => payment.paid = true,
            ("failed", Some(payment)) if payment.paid => {
                self.complaints.push(format!("failed after it was paid: {line}"));
            }
            ("failed", Some(payment)) => payment.failed = true,
            // Cut off, pending or refused for now: asked for again.
            ("open", Some(payment)) => payment.asked = false,
            ("ready", _) => {}
            _ => self.complaints.push(line.to_owned()),
        }
        Ok(())
    }

    /// The journal, the ledger and what was handed to the wallet, against each other.
    fn judge(&mut self) -> Result<Sum> {
        let path = self.folder.join(worker::DATABASE);
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut rows: BTreeMap<[u8; 32], (String, u64)> = BTreeMap::new();
        {
            let mut read = database.prepare(
                "SELECT payment_hash, json_extract(status, '$.status'), attempt FROM outgoing",
            )?;
            let mut found = read.query([])?;
            while let Some(row) = found.next()? {
                rows.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
            }
        }
        let network = SimulatedNetwork::open(&self.folder.join(worker::LEDGER), Env::system())?;
        let mut settled: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for settlement in network.settled() {
            *settled.entry(settlement.payment_hash.0).or_default() += 1;
        }
        let handed = worker::handed(self.folder)?;
        let mut sum = Sum::default();
        for (hash, (status, attempts)) in &rows {
            let (sends, refusals) = handed.get(hash).copied().unwrap_or_default();
            // Each time but the first there had been a certain no before, and the row knows.
            if sends > refusals + 1 || u64::try_from(sends)? > *attempts {
                sum.twice += 1;
                let what = format!("handed over {sends} times, refused {refusals} times");
                self.complaints.push(what);
            }
            sum.again += usize::from(sends > 1);
            let moved = settled.get(hash).copied().unwrap_or(0);
            if moved > 1 {
                sum.twice += 1;
                self.complaints.push("the ledger has it twice".to_owned());
            }
            match (status.as_str(), moved) {
                ("settled", 1) => sum.paid += 1,
                ("failed" | "refused", 0) => sum.not_paid += 1,
                (status, moved) => {
                    sum.unaccounted += 1;
                    let what =
                        format!("the journal says {status}, the ledger moved it {moved} times");
                    self.complaints.push(what);
                }
            }
        }
        for hash in settled.keys().chain(handed.keys()) {
            if !rows.contains_key(hash) {
                sum.unaccounted += 1;
                self.complaints.push("handed over without a row".to_owned());
            }
        }
        for payment in self.payments.iter().filter(|payment| !payment.is_over()) {
            sum.unaccounted += 1;
            let known = payment.invoice.is_some();
            self.complaints.push(format!("never ended (invoice made: {known})"));
        }
        Ok(sum)
    }
}

impl Payment {
    const fn is_over(&self) -> bool {
        self.paid || self.failed
    }
}
