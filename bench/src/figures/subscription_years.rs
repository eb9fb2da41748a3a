//! `subscription-years`: subscriptions in five time zones over ten virtual years, with restarts
//! and a clock that jumps, against an oracle that knows nothing of the scheduler.
//!
//! The scheduler, its machine, its store (a SQLite file) and its guard of the clock are the real
//! ones; the till is a ledger, and people pay, refuse, stay silent and pay late. The oracle walks
//! through the days of each zone and lists what was due. Compared are: each period once and in
//! order, the due moment and the amount of each, nothing early, nothing missing, and the attempts
//! of those who do not pay.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use chrono::{DateTime, Datelike, Days, MappedLocalTime, NaiveDate, TimeZone, Weekday};
use chrono_tz::Tz;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use nostr::PublicKey;
use portal_core::env::{Clock, Env, Rng};
use portal_core::event::PaymentUpdate;
use portal_core::primitives::{StreamId, Timestamp};
use portal_core::protocol::Currency;
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore, Synchronous};
use portal_core::storage::{Store, Write, commit};
use portal_core::subscriptions::{
    ChargeOrder, ClockGuard, Goodbye, News, Policy, Scheduler, Subscription, Terms, Till, TillError,
};

use crate::arguments::Arguments;
use crate::gauge;
use crate::report::{Report, Row};
use crate::world;

/// 2023-12-20 12:00:00 UTC: leap years, a winter and a summer on both sides of the equator follow.
const START: u64 = 1_703_073_600;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// Some summer times begin at midnight, some in steps of half an hour, some have none.
const ZONES: [Tz; 5] = [
    Tz::Europe__Rome,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::America__Santiago,
    Tz::Asia__Kathmandu,
];
/// Of every thousand payments.
const SILENT: u64 = 25;
const REFUSED: u64 = 15;
const LATE: u64 = 15;
/// When a payment's stream ends that nobody paid: five minutes and an hour.
const OVER_AFTER: u64 = 5 * MINUTE + HOUR + 1;
/// How long a jump must last before the guard believes it, and by how much it may be off.
const SETTLE: Duration = Duration::from_secs(600);
const BELIEVED_JUMP: u64 = HOUR;

/// What a subscription is, in the oracle's own words.
#[derive(Clone, Debug)]
struct Plan {
    zone: Tz,
    rule: Rule,
    first: u64,
    until: Option<u64>,
    most: Option<usize>,
    /// From this moment on the person never pays.
    defaults_at: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Daily { hour: u32, minute: u32 },
    Weekly { weekday: Weekday, hour: u32, minute: u32 },
    Monthly { day: u32, hour: u32, minute: u32 },
}

const AMOUNT: u64 = 5_000_000;
/// Subscriptions that are attended to at once.
const AT_ONCE: usize = 512;

/// A linear congruential generator: the same run every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let place = usize::try_from(self.next(of.len() as u64)).unwrap_or(0);
        of[place]
    }
}

/// What was asked for, as the till saw it.
#[derive(Clone, Debug)]
struct Asked {
    subscription: usize,
    payment: StreamId,
    request_id: String,
    amount: u64,
    /// By the scheduler's clock and by the true one.
    wall: u64,
    truth: u64,
    period: u32,
    attempt: u32,
    due: u64,
    paid: u32,
}

#[derive(Default)]
struct Ledger {
    asked: Vec<Asked>,
    by_payment: BTreeMap<StreamId, usize>,
    goodbyes: u64,
}

/// Saves, and writes down whom it would have asked.
struct SimTill {
    store: Arc<dyn Store>,
    ledger: Arc<Mutex<Ledger>>,
    numbers: Arc<BTreeMap<StreamId, usize>>,
    clock: Arc<VirtualClock>,
}

#[async_trait]
impl Till for SimTill {
    async fn charge(&self, order: ChargeOrder, writes: Vec<Write>) -> Result<(), TillError> {
        let charge = writes.iter().find_map(|write| match write {
            Write::PutCharge(charge) => Some(charge.clone()),
            _ => None,
        });
        commit(&*self.store, writes).await?;
        let Some(charge) = charge else { return Ok(()) };
        let (wall, truth) = self.clock.both();
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let place = ledger.asked.len();
        ledger.by_payment.insert(order.payment, place);
        ledger.asked.push(Asked {
            subscription: self.numbers[&order.schedule],
            payment: order.payment,
            request_id: order.request_id.to_string(),
            amount: order.amount,
            wall,
            truth,
            period: charge.period,
            attempt: charge.attempt,
            due: charge.due.as_secs(),
            paid: 0,
        });
        Ok(())
    }

    async fn goodbye(&self, to: Goodbye, writes: Vec<Write>) -> Result<StreamId, TillError> {
        drop(to);
        commit(&*self.store, writes).await?;
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).goodbyes += 1;
        Ok(StreamId::from_uuid(uuid::Uuid::nil()))
    }

    async fn save(&self, writes: Vec<Write>) -> Result<(), TillError> {
        Ok(commit(&*self.store, writes).await?)
    }
}

/// True time, and how far the wall clock is from it.
#[derive(Default)]
struct VirtualClock(Mutex<(u64, i64)>);

impl VirtualClock {
    fn set(&self, truth: u64, skew: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (truth, skew);
    }

    /// Wall, then true.
    fn both(&self) -> (u64, u64) {
        let (truth, skew) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (truth.saturating_add_signed(skew), truth)
    }
}

impl Clock for VirtualClock {
    fn now_millis(&self) -> u64 {
        self.both().0 * 1000
    }
}

/// Bytes for ids; they only have to differ.
struct Counter(Mutex<u128>);

impl Rng for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let mut number = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(16) {
            *number = number.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// What happens in the world by itself, by true time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Payment(StreamId, Outcome),
    Restart,
    Jump,
    JumpEnds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Paid,
    PaidLate,
    Timeout,
    Refused,
    Over,
}

/// Runs the years and compares.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let (years, each_zone): (u64, usize) = arguments.size((10, 200), (1, 40));
    let cpu = gauge::process_cpu();
    let folder = tempfile::tempdir()?;
    let simulation = world::runtime(1)?.block_on(simulate(
        &folder.path().join("portal.db"),
        years,
        each_zone,
    ))?;
    let spent = gauge::process_cpu().saturating_sub(cpu).as_secs_f64();
    let faults = simulation.compare();
    let asked = simulation.ledger.asked.len();
    let of = format!(
        "{} subscriptions, {years} years, {asked} requests, {} restarts, {} jumps of the clock{}",
        simulation.plans.len(),
        simulation.restarts,
        simulation.jumps,
        faults.first().map(|fault| format!("; first: {fault}")).unwrap_or_default(),
    );
    report.add(Row::faults("subscription-years: wrong charges", faults.len() as u64, of));
    let budget = if arguments.short { 6.0 } else { 60.0 };
    report.add(Row::new("subscription-years: CPU", spent, "s").at_most(budget));
    Ok(())
}

struct Simulation {
    plans: Vec<Plan>,
    ledger: Ledger,
    end: u64,
    /// When the wall clock was ahead for longer than the guard doubts it.
    ahead: Vec<(u64, u64)>,
    /// When the wall clock was behind, or doubted.
    behind: Vec<(u64, u64)>,
    restarts: u64,
    jumps: u64,
}

fn plans(each_zone: usize, dice: &mut Dice) -> Vec<Plan> {
    let mut plans = Vec::new();
    for zone in ZONES {
        for number in 0..each_zone {
            // Where clocks change, and everywhere else.
            let (hour, minute) =
                dice.pick(&[(0, 0), (1, 30), (2, 0), (2, 30), (3, 15), (12, 0), (23, 59)]);
            let rule = match number % 10 {
                0 => Rule::Daily { hour, minute },
                1..=5 => Rule::Monthly { day: dice.pick(&[1, 15, 28, 29, 30, 31]), hour, minute },
                _ => {
                    let weekday = dice.pick(&[Weekday::Mon, Weekday::Wed, Weekday::Sun]);
                    Rule::Weekly { weekday, hour, minute }
                }
            };
            plans.push(Plan {
                zone,
                rule,
                first: START + 1 + dice.next(20 * DAY),
                until: (number % 17 == 3).then(|| START + 200 * DAY + dice.next(900 * DAY)),
                most: (number % 19 == 5).then_some(24),
                defaults_at: (number % 23 == 7).then(|| START + 100 * DAY + dice.next(200 * DAY)),
            });
        }
    }
    plans
}

impl Rule {
    fn calendar(self, zone: Tz) -> String {
        match self {
            Self::Daily { hour, minute } => format!("*-*-* {hour:02}:{minute:02}:00 {zone}"),
            Self::Weekly { weekday, hour, minute } => {
                format!("{weekday} *-*-* {hour:02}:{minute:02}:00 {zone}")
            }
            Self::Monthly { day, hour, minute } => {
                format!("*-*-{day:02} {hour:02}:{minute:02}:00 {zone}")
            }
        }
    }
}

impl Plan {
    /// What the oracle says is due, walking through every day.
    fn dues(&self, end: u64) -> Vec<u64> {
        let mut dues = vec![self.first];
        let seconds = i64::try_from(START).unwrap_or(0);
        let mut date: NaiveDate = DateTime::from_timestamp(seconds, 0)
            .map_or(NaiveDate::MIN, |it| it.date_naive())
            - Days::new(2);
        let (hour, minute) = match self.rule {
            Rule::Daily { hour, minute }
            | Rule::Weekly { hour, minute, .. }
            | Rule::Monthly { hour, minute, .. } => (hour, minute),
        };
        loop {
            let fits = match self.rule {
                Rule::Daily { .. } => true,
                Rule::Weekly { weekday, .. } => date.weekday() == weekday,
                Rule::Monthly { day, .. } => date.day() == day,
            };
            let local = date.and_hms_opt(hour, minute, 0).filter(|_| fits);
            let moment = local.and_then(|local| match self.zone.from_local_datetime(&local) {
                MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => {
                    u64::try_from(moment.timestamp()).ok()
                }
                MappedLocalTime::None => None,
            });
            dues.extend(moment.filter(|moment| *moment > self.first));
            date = date + Days::new(1);
            let midnight =
                date.and_hms_opt(0, 0, 0).map_or(i64::MAX, |it| it.and_utc().timestamp());
            if u64::try_from(midnight).unwrap_or(0) > end + 2 * DAY {
                break;
            }
        }
        dues.retain(|due| *due <= end && self.until.is_none_or(|until| *due <= until));
        dues.truncate(self.most.unwrap_or(usize::MAX));
        dues
    }

    fn terms(&self, owner: PublicKey, number: usize) -> Result<Terms> {
        Ok(Terms {
            owner,
            subkeys: Vec::new(),
            subscription_id: format!("sub-{number}"),
            currency: Currency::Millisats,
            calendar: self.rule.calendar(self.zone).parse()?,
            first_due: Timestamp::from_secs(self.first),
            until: self.until.map(Timestamp::from_secs),
            max_payments: self.most.map(u32::try_from).transpose()?,
            description: None,
            auth_token: None,
        })
    }
}

struct World {
    plans: Vec<Plan>,
    env: Env,
    clock: Arc<VirtualClock>,
    ledger: Arc<Mutex<Ledger>>,
    numbers: Arc<BTreeMap<StreamId, usize>>,
    streams: Vec<StreamId>,
    scheduler: Scheduler<SimTill>,
    guard: ClockGuard,
    /// What the guard has saved for the process after this one.
    clock_seen: Option<Timestamp>,
    /// When the process began, by true time.
    begun: u64,
    truth: u64,
    skew: i64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    counter: u64,
    seen: usize,
    dice: Dice,
}

async fn simulate(path: &Path, years: u64, each_zone: usize) -> Result<Simulation> {
    let end = START + years * 365 * DAY + years / 4 * DAY;
    let mut dice = Dice(7);
    let plans = plans(each_zone, &mut dice);
    let clock = Arc::new(VirtualClock::default());
    clock.set(START, 0);
    let env = Env::new(clock.clone(), Arc::new(Counter(Mutex::default())));
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let streams: Vec<StreamId> = plans.iter().map(|_| env.stream_id()).collect();
    let numbers: BTreeMap<_, _> = streams.iter().enumerate().map(|(n, id)| (*id, n)).collect();
    let numbers = Arc::new(numbers);
    let scheduler = open(path, &env, &ledger, &numbers, &clock)?;
    let owner = PublicKey::from_byte_array([1; 32]);
    for (number, plan) in plans.iter().enumerate() {
        let (new, change) = Subscription::agreed(
            streams[number],
            plan.terms(owner, number)?,
            AMOUNT,
            Policy::default(),
            Timestamp::from_secs(START),
        );
        scheduler.begin(new, change).await?;
    }
    let mut world = World {
        plans,
        env,
        clock,
        ledger,
        numbers,
        streams,
        scheduler,
        guard: ClockGuard::new(SETTLE, None),
        clock_seen: None,
        begun: START,
        truth: START,
        skew: 0,
        events: BinaryHeap::new(),
        counter: 0,
        seen: 0,
        dice,
    };
    world.after(9 * DAY, Event::Restart);
    world.after(13 * DAY, Event::Jump);
    world.live(path, end).await
}

fn open(
    path: &Path,
    env: &Env,
    ledger: &Arc<Mutex<Ledger>>,
    numbers: &Arc<BTreeMap<StreamId, usize>>,
    clock: &Arc<VirtualClock>,
) -> Result<Scheduler<SimTill>> {
    // What is acknowledged survives the process; the disk itself is not what is measured.
    let options = SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::default() };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path, options)?);
    let till = SimTill {
        store: store.clone(),
        ledger: ledger.clone(),
        numbers: numbers.clone(),
        clock: clock.clone(),
    };
    Ok(Scheduler::new(env.clone(), store, till))
}

impl World {
    fn after(&mut self, seconds: u64, event: Event) {
        self.counter += 1;
        self.events.push(Reverse((self.truth + seconds, self.counter, event)));
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_secs(self.truth.saturating_add_signed(self.skew))
    }

    fn believes(&mut self) -> bool {
        self.clock.set(self.truth, self.skew);
        let steady = Duration::from_secs(self.truth.saturating_sub(self.begun));
        let wall = self.wall();
        let believed = self.guard.believes(wall, steady);
        self.clock_seen = self.guard.to_save(wall).or(self.clock_seen);
        believed
    }

    async fn live(mut self, path: &Path, end: u64) -> Result<Simulation> {
        let (mut ahead, mut behind) = (Vec::new(), Vec::new());
        let (mut restarts, mut jumps) = (0, 0);
        let mut jump_began = START;
        let mut next = self.scheduler.store().next_due().await?;
        while self.truth < end {
            // As the service's own task: it looks when something is due.
            if self.believes() && next.is_some_and(|next| next <= self.wall()) {
                self.charge().await?;
                next = self.scheduler.store().next_due().await?;
            }
            let next_event = self.events.peek().map_or(end, |Reverse((at, ..))| *at);
            let next_due = next.map_or(end, |due| due.as_secs().saturating_add_signed(-self.skew));
            // While the clock is doubted it is looked at again now and then.
            let soonest = if next_due <= self.truth { self.truth + MINUTE } else { next_due };
            self.truth = next_event.min(soonest).max(self.truth).min(end);
            self.believes();
            let mut told = Vec::new();
            while let Some(Reverse((at, ..))) = self.events.peek() {
                if *at > self.truth {
                    break;
                }
                let Some(Reverse((_, _, event))) = self.events.pop() else { break };
                match event {
                    Event::Payment(payment, outcome) => told.push((payment, outcome)),
                    Event::Restart => {
                        self.tell(std::mem::take(&mut told)).await?;
                        next = self.scheduler.store().next_due().await?;
                        // An outage of up to three days.
                        let outage = self.dice.pick(&[0, MINUTE, HOUR, DAY, 3 * DAY]);
                        self.restart(path, outage).await?;
                        note(&mut behind, (self.truth - outage, self.truth + HOUR));
                        restarts += 1;
                        let next = 10 * DAY + self.dice.next(20 * DAY);
                        self.after(next, Event::Restart);
                    }
                    Event::Jump => {
                        jumps += 1;
                        jump_began = self.truth;
                        let by = self.dice.pick(&[1, HOUR, DAY, 30 * DAY]);
                        let by = i64::try_from(by)?;
                        self.skew = if self.dice.next(2) == 0 { by } else { -by };
                        let lasts = self.dice.pick(&[5 * MINUTE, 8 * MINUTE, 2 * HOUR, 2 * DAY]);
                        self.after(lasts, Event::JumpEnds);
                    }
                    Event::JumpEnds => {
                        if self.skew > 0 && self.truth - jump_began > SETTLE.as_secs() {
                            ahead.push((jump_began, self.truth));
                        }
                        note(&mut behind, (jump_began, self.truth + HOUR));
                        self.skew = 0;
                        let next = 15 * DAY + self.dice.next(30 * DAY);
                        self.after(next, Event::Jump);
                    }
                }
            }
            if !told.is_empty() {
                self.tell(told).await?;
                next = self.scheduler.store().next_due().await?;
            }
        }
        self.scheduler.store().close().await;
        drop(self.scheduler);
        let ledger =
            std::mem::take(&mut *self.ledger.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Simulation { plans: self.plans, ledger, end, ahead, behind, restarts, jumps })
    }

    async fn charge(&mut self) -> Result<()> {
        loop {
            let turn = self.scheduler.turn(self.wall(), AT_ONCE).await?;
            if turn.failed > 0 || turn.unavailable {
                bail!("the scheduler failed");
            }
            self.decide();
            // As the service's own task does: nothing else was due.
            if turn.due < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// What people do about what they were asked.
    fn decide(&mut self) {
        let ledger = self.ledger.clone();
        let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for asked in &ledger.asked[self.seen..] {
            let payment = asked.payment;
            let plan = &self.plans[asked.subscription];
            let never = plan.defaults_at.is_some_and(|at| asked.truth >= at);
            let dice = self.dice.next(1000);
            let mut later = |after: u64, outcome| {
                self.counter += 1;
                let event = Event::Payment(payment, outcome);
                self.events.push(Reverse((self.truth + after, self.counter, event)));
            };
            if never || dice < SILENT {
                later(5 * MINUTE, Outcome::Timeout);
                later(OVER_AFTER, Outcome::Over);
            } else if dice < SILENT + REFUSED {
                later(20, Outcome::Refused);
                later(OVER_AFTER, Outcome::Over);
            } else if dice < SILENT + REFUSED + LATE {
                later(5 * MINUTE, Outcome::Timeout);
                later(40 * MINUTE, Outcome::PaidLate);
            } else {
                later(2, Outcome::Paid);
            }
        }
        self.seen = ledger.asked.len();
    }

    async fn tell(&mut self, told: Vec<(StreamId, Outcome)>) -> Result<()> {
        let now = self.wall();
        let mut work = FuturesUnordered::new();
        for (payment, outcome) in told {
            let subscription = {
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                let place = *ledger.by_payment.get(&payment).context("never asked")?;
                let paid = matches!(outcome, Outcome::Paid | Outcome::PaidLate);
                ledger.asked[place].paid += u32::from(paid);
                ledger.asked[place].subscription
            };
            let late = outcome == Outcome::PaidLate;
            let news = match outcome {
                Outcome::Paid | Outcome::PaidLate => {
                    News::Payment(PaymentUpdate::Paid { preimage: None, late })
                }
                Outcome::Timeout => News::Payment(PaymentUpdate::Timeout),
                Outcome::Refused => News::Payment(PaymentUpdate::UserRejected { reason: None }),
                Outcome::Over => News::Ended,
            };
            let (scheduler, stream) = (&self.scheduler, self.streams[subscription]);
            work.push(async move { scheduler.told(stream, payment, &news, now).await });
        }
        while let Some(result) = work.next().await {
            result?;
        }
        Ok(())
    }

    /// The process ends, and begins again after an outage; what was due meanwhile is told to it.
    async fn restart(&mut self, path: &Path, outage: u64) -> Result<()> {
        self.scheduler.store().close().await;
        self.truth += outage;
        self.clock.set(self.truth, self.skew);
        self.scheduler = open(path, &self.env, &self.ledger, &self.numbers, &self.clock)?;
        self.guard = ClockGuard::new(SETTLE, self.clock_seen);
        self.begun = self.truth;
        Ok(())
    }
}

/// Adds a span, in the order of their beginnings.
fn note(spans: &mut Vec<(u64, u64)>, span: (u64, u64)) {
    let place = spans.partition_point(|other| other.0 <= span.0);
    spans.insert(place, span);
}

impl Simulation {
    /// Every way in which what was asked for differs from what was due.
    fn compare(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut ids = std::collections::BTreeSet::new();
        let mut by_subscription: Vec<Vec<&Asked>> = vec![Vec::new(); self.plans.len()];
        for asked in &self.ledger.asked {
            by_subscription[asked.subscription].push(asked);
            if !ids.insert(&asked.request_id) {
                faults.push(format!("one request twice: {asked:?}"));
            }
            if asked.amount != AMOUNT {
                faults.push(format!("another amount: {asked:?}"));
            }
            if asked.due > asked.wall {
                faults.push(format!("early by its own clock: {asked:?}"));
            }
            let excused = self.ahead.iter().any(|(from, to)| (*from..=*to).contains(&asked.truth));
            if asked.due > asked.truth + BELIEVED_JUMP && !excused {
                faults.push(format!("early in truth: {asked:?}"));
            }
        }
        for (plan, asked) in self.plans.iter().zip(by_subscription) {
            if let Err(fault) = self.compare_one(plan, &asked) {
                faults.push(format!("{plan:?}: {fault}"));
            }
        }
        faults
    }

    fn compare_one(&self, plan: &Plan, asked: &[&Asked]) -> std::result::Result<(), String> {
        // A clock that was ahead charged what is due later.
        let dues = plan.dues(self.end + 31 * DAY);
        let mut place = 0;
        let mut unpaid = false;
        for (number, due) in dues.iter().enumerate() {
            let attempts: Vec<_> = asked[place..]
                .iter()
                .take_while(|it| usize::try_from(it.period) == Ok(number))
                .collect();
            place += attempts.len();
            if attempts.is_empty() {
                break;
            }
            if unpaid {
                return Err(format!("period {number} was charged, the one before is not paid"));
            }
            for (count, attempt) in attempts.iter().enumerate() {
                if usize::try_from(attempt.attempt) != Ok(count) || attempt.due != *due {
                    return Err(format!("due {due} is not {attempt:?}"));
                }
            }
            let paid: u32 = attempts.iter().map(|attempt| attempt.paid).sum();
            if paid > 1 || attempts.len() > 5 {
                return Err(format!("period {number} paid {paid} times, asked {}", attempts.len()));
            }
            if attempts[..attempts.len() - 1].iter().any(|attempt| attempt.paid > 0) {
                return Err(format!("period {number} was asked for again after it was paid"));
            }
            self.compare_lateness(plan, number, *due, &attempts, place, asked)?;
            unpaid = paid == 0;
        }
        if place != asked.len() {
            return Err(format!("{} requests that nothing was due for", asked.len() - place));
        }
        let periods = asked.last().map_or(0, |last| last.period as usize + 1);
        let finished = asked.last().is_none_or(|last| last.paid > 0);
        let expected = dues.iter().filter(|due| **due <= self.end).count();
        let missing = finished && periods < expected && self.should_have(&dues, periods, asked);
        if missing {
            return Err(format!("period {periods} of {expected} was never charged"));
        }
        if !finished && self.gave_up_early(asked) {
            return Err("an unpaid period was not asked for again".to_owned());
        }
        Ok(())
    }

    /// Nothing may be late but for a reason: an outage, a clock that is behind, the period before.
    fn compare_lateness(
        &self,
        plan: &Plan,
        number: usize,
        due: u64,
        attempts: &[&&Asked],
        place: usize,
        asked: &[&Asked],
    ) -> std::result::Result<(), String> {
        let first = attempts[0];
        let before = (place - attempts.len()).checked_sub(1).and_then(|it| asked.get(it));
        let busy_until = before.map_or(0, |before| before.truth + HOUR);
        let since = due.max(busy_until);
        if first.truth <= self.settled_after(since) + 2 * MINUTE {
            return Ok(());
        }
        Err(format!("period {number} of {plan:?} was late: {first:?}"))
    }

    /// This moment, or the end of the outages and wrong clocks that it lies in.
    fn settled_after(&self, moment: u64) -> u64 {
        let mut settled = moment;
        for (begin, end) in &self.behind {
            if (*begin..=*end).contains(&settled) {
                settled = *end;
            }
        }
        settled
    }

    fn should_have(&self, dues: &[u64], next: usize, asked: &[&Asked]) -> bool {
        let busy_until = asked.last().map_or(0, |last| last.truth + HOUR);
        self.settled_after(dues[next].max(busy_until)) + 2 * MINUTE < self.end
    }

    /// Whether the ladder was not climbed to its end although there was time.
    fn gave_up_early(&self, asked: &[&Asked]) -> bool {
        let Some(last) = asked.last() else { return false };
        if self.settled_after(last.truth) != last.truth {
            // By a clock that was wrong the ladder stands elsewhere.
            return false;
        }
        let wait = [HOUR, DAY, 3 * DAY, 5 * DAY].get(last.attempt as usize).copied();
        wait.is_some_and(|wait| {
            self.settled_after(last.truth + wait + OVER_AFTER) + 2 * MINUTE < self.end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_knows_the_days_that_clocks_skip() {
        let plan = Plan {
            zone: Tz::Europe__Rome,
            rule: Rule::Daily { hour: 2, minute: 30 },
            first: START + 1,
            until: None,
            most: None,
            defaults_at: None,
        };
        // 2024-03-31 has no half past two in Rome.
        let dues = plan.dues(START + 365 * DAY);
        let noon = 1_711_882_800;
        assert!(!dues.iter().any(|due| (noon - 12 * HOUR..noon).contains(due)));
        assert!(dues.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_few_weeks_are_charged_as_the_oracle_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("portal.db");
        let runtime = world::runtime(1).expect("a runtime");
        let mut simulation = runtime.block_on(simulate(&path, 1, 2)).expect("lives");
        assert_eq!(simulation.compare(), Vec::<String>::new());
        // The oracle sees what is missing and what is too much.
        let dropped = simulation.ledger.asked.pop().expect("something was asked");
        simulation.ledger.asked.push(Asked { due: dropped.due + 1, ..dropped.clone() });
        assert_ne!(simulation.compare(), Vec::<String>::new());
        simulation.ledger.asked.push(dropped);
        assert_ne!(simulation.compare(), Vec::<String>::new());
    }
}
