//! Hearing at once that a ticket was used.
//!
//! [`TicketWallet::watch`] asks the mints from time to time. This listens, at each mint that offers
//! it (NUT-17), on one socket for all that was given away there:
//!
//! ```text
//!   given away ──► dialling ──► listening ──┬── a proof is spent: ask (NUT-07), note
//!                     ▲            │        └── more is given away: subscribe to it as well
//!                     └─ a pause ◄─┴─ it ended, was silent, refuses, or is full
//!   nothing left ──► no socket
//! ```
//!
//! What a socket says is a hint: the mint is then asked as `watch` asks it, so that there is one
//! way for a ticket to become used, and the worst that words on a socket can do is to make us ask.
//! The number of sockets, of proofs on each, and of words is bounded; what is beyond, and what a
//! socket did not say, the next `watch` finds.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::socket::{MintSocket, Said};
use super::{CashuError, Inner, MintAddress, TicketEvent, TicketWallet};
use crate::primitives::Timestamp;
use crate::storage::StorageError;
use crate::storage::sqlite::tickets::{ProofRow, ProofState, Y};

/// The most sockets at once.
const MOST_SOCKETS: usize = 16;
/// The most proofs that are listened to at one mint; of more the newest. A mint may end a socket
/// that sends it more than a megabyte, which is three times as many.
const MOST_NAMES: usize = 5000;
/// The most proofs that are listened to in all.
const MOST_IN_ALL: usize = 20_000;
/// What is given away one by one is subscribed to together.
const TOGETHER: Duration = Duration::from_millis(200);
/// The pause after the first failure; after each further one it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A socket that lasted so long did not fail.
const STEADY: Duration = Duration::from_secs(60);
/// When a mint that offers no socket is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(900);

/// Some mints say that a proof is spent before they have written it: they are asked again.
const UNTIL_WRITTEN: Duration = Duration::from_millis(500);
/// How often a mint is asked about a proof, whatever it says.
const MOST_ASKED: u32 = 8;

/// What was given away at a mint, the newest first.
type Names = Arc<Vec<Y>>;

/// Why a socket is at its end.
enum End {
    /// Nothing that was given away is left.
    NothingLeft,
    /// The mint has none.
    NotOffered,
    /// Much of what was subscribed to is over: a new one has room again.
    Full,
}

impl TicketWallet {
    /// Listens to the mints for as long as it is awaited, and notes what it hears of tickets that
    /// were given away, as [`TicketWallet::watch`] does; call that as well, from time to time.
    ///
    /// # Errors
    /// When the store fails. Mints that fail are tried again, later and later.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn listen(&self) -> Result<Infallible, CashuError> {
        let mut news = self.0.store.news();
        let mut ears: HashMap<MintAddress, watch::Sender<Names>> = HashMap::new();
        let mut listening = FuturesUnordered::new();
        loop {
            let seen = news.borrow_and_update().given;
            let given = alongside(&mut listening, self.0.given_by_mint()).await??;
            // An ear whose sender is gone ends.
            ears.retain(|mint, _| given.contains_key(mint));
            for (mint, names) in given {
                if let Some(ear) = ears.get(&mint) {
                    ear.send_replace(names);
                } else if ears.len() < MOST_SOCKETS {
                    let (ear, names) = watch::channel(names);
                    listening.push(self.0.ear(mint.clone(), names));
                    ears.insert(mint, ear);
                }
            }
            let changed = async {
                news.wait_for(|news| news.given != seen).await.map_err(|_| StorageError::Closed)?;
                tokio::time::sleep(TOGETHER).await;
                Ok::<_, StorageError>(())
            };
            alongside(&mut listening, changed).await??;
        }
    }

    /// Waits until something has happened to tickets behind a number, and returns it:
    /// [`TicketWallet::events`] for whoever would ask again and again.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn next_events(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Timestamp, TicketEvent)>, CashuError> {
        let mut news = self.0.store.news();
        loop {
            let seen = news.borrow_and_update().events;
            let events = self.events(after, limit).await?;
            if !events.is_empty() {
                return Ok(events);
            }
            news.wait_for(|news| news.events != seen).await.map_err(|_| StorageError::Closed)?;
        }
    }
}

/// Does something while the ears go on.
async fn alongside<T>(
    ears: &mut FuturesUnordered<impl Future<Output = Result<(), CashuError>>>,
    work: impl Future<Output = T>,
) -> Result<T, CashuError> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            Some(ended) = ears.next() => ended?,
        }
    }
}

impl Inner {
    async fn given_by_mint(&self) -> Result<HashMap<MintAddress, Names>, CashuError> {
        let mut by_mint: HashMap<String, Vec<Y>> = HashMap::new();
        for (mint, name) in self.store.given_names(MOST_IN_ALL).await? {
            let names = by_mint.entry(mint).or_default();
            if names.len() < MOST_NAMES {
                names.push(name);
            }
        }
        let read = by_mint.into_iter().map(|(mint, names)| Ok((mint.parse()?, Arc::new(names))));
        read.collect()
    }

    /// Listens at one mint until nothing is left to listen for. Fails only when the store does.
    async fn ear(
        &self,
        mint: MintAddress,
        mut names: watch::Receiver<Names>,
    ) -> Result<(), CashuError> {
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let pause = match self.hear(&mint, &mut names).await {
                Ok(End::NothingLeft) => return Ok(()),
                Ok(End::NotOffered) => LOOK_AGAIN,
                Ok(End::Full) => FIRST_PAUSE,
                Err(CashuError::Storage(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(%error, "a mint cannot be listened to");
                    failures =
                        if began.elapsed() < STEADY { failures.saturating_add(1) } else { 1 };
                    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE)
                }
            };
            let nothing_left = async { while names.changed().await.is_ok() {} };
            let pause = pause.saturating_add(self.env.jitter(pause / 4));
            if tokio::time::timeout(pause, nothing_left).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// One socket, from its beginning to its end.
    async fn hear(
        &self,
        mint: &MintAddress,
        names: &mut watch::Receiver<Names>,
    ) -> Result<End, CashuError> {
        if !self.about(mint).await?.tells_states {
            return Ok(End::NotOffered);
        }
        let policy = self.transport.policy(self.is_trusted(mint));
        let mut socket = MintSocket::open(mint, policy, self.transport.patience().answer).await?;
        let mut subscribed: HashSet<Y> = HashSet::new();
        // What is said to be spent, and was not when the mint was asked; and how often it was.
        let mut unsettled: HashSet<Y> = HashSet::new();
        let mut asked: HashMap<Y, u32> = HashMap::new();
        loop {
            let wanted = names.borrow_and_update().clone();
            let new: Vec<Y> =
                wanted.iter().filter(|name| !subscribed.contains(*name)).copied().collect();
            if subscribed.len().saturating_add(new.len()) > MOST_NAMES {
                return Ok(End::Full);
            }
            socket.subscribe(&new).await?;
            subscribed.extend(new);
            loop {
                let mut spent: HashSet<Y> = HashSet::new();
                tokio::select! {
                    said = socket.hear() => {
                        let mut next = Some(said?);
                        // All that was said already, so that the mint is asked once.
                        while let Some(said) = next {
                            match said {
                                Said::Spent(name) if subscribed.contains(&name) => {
                                    spent.insert(name);
                                }
                                Said::Spent(_) | Said::Other => {}
                                Said::Refused => return Err(CashuError::BadAnswer {
                                    reason: "it takes no subscription",
                                }),
                            }
                            next = socket.hear().now_or_never().transpose()?;
                        }
                    }
                    changed = names.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Ok(End::NothingLeft),
                    },
                    () = tokio::time::sleep(UNTIL_WRITTEN), if !unsettled.is_empty() => {
                        spent = std::mem::take(&mut unsettled);
                    }
                }
                spent.retain(|name| {
                    let times = asked.entry(*name).or_default();
                    *times = times.saturating_add(1);
                    *times <= MOST_ASKED
                });
                unsettled.extend(self.note_heard(mint, spent).await?);
            }
        }
    }

    /// Asks the mint about what it says is spent; returns what is not, or not known to be.
    async fn note_heard(
        &self,
        mint: &MintAddress,
        names: HashSet<Y>,
    ) -> Result<Vec<Y>, CashuError> {
        let names: Vec<Y> = names.into_iter().collect();
        let given = self.given_of(mint, names.clone()).await?;
        if given.is_empty() {
            return Ok(Vec::new());
        }
        match self.note_spent(mint, &given.iter().collect::<Vec<_>>()).await {
            Ok(_) => {}
            Err(CashuError::Storage(error)) => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "a mint says what it does not answer"),
        }
        Ok(self.given_of(mint, names).await?.into_iter().map(|row| row.y).collect())
    }

    async fn given_of(
        &self,
        mint: &MintAddress,
        names: Vec<Y>,
    ) -> Result<Vec<ProofRow>, CashuError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = self.store.known_proofs(names).await?;
        rows.retain(|row| row.state == ProofState::Given && row.mint == mint.as_str());
        Ok(rows)
    }
}
