//! Logins, many at once, and the oracle that counts what came of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use nostr::PublicKey;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::gauge::Samples;
use crate::people;

/// How long a login may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever logs people in: the core in this process, or a daemon over its socket.
pub trait Merchant: Send + Sync + 'static {
    /// A URL that was made.
    type Shown: Send;

    /// Makes a URL.
    fn show(&self) -> impl Future<Output = Result<(String, Self::Shown)>> + Send;

    /// Waits until somebody has opened it.
    fn met(&self, shown: Self::Shown) -> impl Future<Output = Result<PublicKey>> + Send;

    /// Has somebody prove who they are.
    fn authenticate(&self, who: PublicKey) -> impl Future<Output = Result<Answer>> + Send;

    /// Events beyond those that were waited for.
    fn surplus(&self) -> u64;
}

/// What a person answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who they are.
    pub user_key: PublicKey,
    /// Their token.
    pub session_token: String,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The people who log in, by their number; each once.
    pub people: std::ops::Range<u64>,
    /// How many at once.
    pub in_flight: usize,
    /// Whether they open a URL first; else they are only asked.
    pub handshake: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Logins that ended as they should.
    pub done: u64,
    /// Without an answer.
    pub lost: u64,
    /// With somebody else's answer.
    pub wrong: u64,
    /// Answered again.
    pub twice: u64,
    /// How long each took.
    pub took: Samples,
    /// How long all took.
    pub elapsed: Duration,
    /// The first thing that went wrong.
    pub complaint: Option<String>,
}

impl Outcome {
    /// What must not be.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.lost + self.wrong + self.twice
    }

    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        let Self { done, lost, wrong, twice, took, elapsed, complaint } = other;
        self.done += done;
        self.lost += lost;
        self.wrong += wrong;
        self.twice += twice;
        self.took.join(took);
        self.elapsed += elapsed;
        self.complaint = self.complaint.take().or(complaint);
    }

    /// For the table.
    #[must_use]
    pub fn note(&self) -> String {
        let Self { done, lost, wrong, twice, took, elapsed, complaint } = self;
        let rate = crate::report::count(*done) / elapsed.as_secs_f64().max(1e-9);
        let mut note = format!(
            "{done} done, {lost} lost, {wrong} wrong, {twice} twice; p50 {:.2} ms, p99 {:.2} ms, {rate:.0}/s",
            took.median(),
            took.quantile(0.99)
        );
        if let Some(complaint) = complaint {
            note.push_str("; first: ");
            note.push_str(complaint);
        }
        note
    }
}

/// Whose keys they are and how to reach them.
#[derive(Clone)]
pub struct Crowd {
    /// The keys, by number.
    pub keys: Arc<[PublicKey]>,
    /// Takes lines for the people's process.
    pub say: mpsc::UnboundedSender<String>,
}

/// Logs people in.
pub async fn logins<M: Merchant>(merchant: &Arc<M>, crowd: &Crowd, plan: Plan) -> Result<Outcome> {
    let next = Arc::new(AtomicU64::new(plan.people.start));
    let before = merchant.surplus();
    let started = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..plan.in_flight {
        let (merchant, crowd, next) = (merchant.clone(), crowd.clone(), next.clone());
        let (end, handshake) = (plan.people.end, plan.handshake);
        workers.spawn(async move {
            let mut outcome = Outcome::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return outcome;
                }
                let began = Instant::now();
                let login = login(&*merchant, &crowd, number, handshake);
                match tokio::time::timeout(PATIENCE, login).await {
                    Ok(Ok(true)) => {
                        outcome.done += 1;
                        outcome.took.add(began.elapsed());
                    }
                    Ok(Ok(false)) => outcome.wrong += 1,
                    Ok(Err(error)) => {
                        outcome.lost += 1;
                        outcome.complaint.get_or_insert_with(|| format!("{error:#}"));
                    }
                    Err(_) => outcome.lost += 1,
                }
            }
        });
    }
    let mut sum = Outcome::default();
    while let Some(part) = workers.join_next().await {
        sum.add(part?);
    }
    sum.elapsed = started.elapsed();
    sum.twice = merchant.surplus() - before;
    Ok(sum)
}

/// One login. False when somebody else answered.
async fn login<M: Merchant>(
    merchant: &M,
    crowd: &Crowd,
    number: u64,
    handshake: bool,
) -> Result<bool> {
    let index = usize::try_from(number)?;
    let expected = *crowd.keys.get(index).ok_or_else(|| anyhow::anyhow!("no such person"))?;
    if handshake {
        let (url, shown) = merchant.show().await?;
        crowd.say.send(format!("open {number} {url}"))?;
        if merchant.met(shown).await? != expected {
            return Ok(false);
        }
    }
    let answer = merchant.authenticate(expected).await?;
    Ok(answer.user_key == expected
        && answer.session_token.starts_with(&people::token_prefix(number)))
}
