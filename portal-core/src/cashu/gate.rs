//! The gate: is this ticket good?
//!
//! Everything that can be told without the mint is told first: mint, unit, amount, the mint's
//! signature (NUT-12), the lock and its signatures (NUT-11), whether this gate has let it in
//! before. Then the ticket is burned at the mint, if the mint answers in time. If it does not, the
//! rule of the gate decides: a ticket that only this gate, or only its holder, can have spent may
//! go in, and is burned when the mint can be reached ([`Gate::settle`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cdk_common::Proof;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::journal::{Operation, State};
use super::lock::{Holder, KeyRing};
use super::token::TicketToken;
use super::watch::TicketEvent;
use super::{CashuError, Expected, MintAddress, Outcome, TicketWallet, Unit};
use crate::primitives::ErrorCode;
use crate::storage::StorageError;
use crate::storage::sqlite::tickets::{AdmissionRow, Y};

/// How long the mint may take before the gate decides alone.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a mint that did not answer is not asked, in milliseconds.
const LEFT_ALONE_FOR: u64 = 10_000;

/// What a gate lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The mint of the tickets.
    pub mint: MintAddress,
    /// The unit of the tickets.
    pub unit: Unit,
    /// How much one admission takes, in the base of the unit; `None`: any amount.
    pub amount: Option<u64>,
    /// What goes in while the mint cannot be reached.
    pub offline: OfflineRule,
}

/// What goes in while the mint cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OfflineRule {
    /// Nothing.
    Nothing,
    /// Tickets locked to the key of this wallet: nobody else can have spent them.
    LockedToUs,
    /// Those, and tickets that their holder has signed. A holder can sign for two gates at once:
    /// gates that share no memory may let in such a ticket twice.
    #[default]
    Signed,
    /// Those, and tickets without a lock. A copy of one may be shown at another gate.
    Anything,
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let them in.
    Valid {
        /// What it was worth, in the base of the unit.
        amount: u64,
        /// The mint has not been asked yet.
        offline: bool,
    },
    /// It was used before.
    Used,
    /// It is a ticket, and not for this.
    WrongEvent,
    /// Its time is over.
    Expired,
    /// The mint was asked to use it up, and has not said that it did: show it again in a moment.
    Pending,
    /// The mint cannot be reached, and the rule of the gate does not let it in without.
    Unreachable,
    /// It is no ticket.
    Refused(Refusal),
}

/// Why something is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read.
    Unreadable,
    /// It is worth more or less than one admission.
    WrongAmount,
    /// The mint has not signed it.
    Forged,
    /// It is locked, and its holder has not signed it.
    Unsigned,
    /// The mint refuses it.
    ByTheMint,
}

/// What [`Gate::settle`] has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateReport {
    /// Tickets that are burned now.
    pub burned: usize,
    /// Tickets that were let in and are worth nothing.
    pub refused: usize,
    /// Tickets that still wait for the mint.
    pub waiting: usize,
}

/// A gate. It keeps what it has let in, also over a restart.
pub struct Gate {
    wallet: TicketWallet,
    event: Event,
    /// Until then the mint is left alone, in milliseconds.
    offline_until: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Admission {
    token: String,
    mint: MintAddress,
    unit: Unit,
    amount: u64,
}

/// What could be told without the mint.
struct Looked {
    token: TicketToken,
    names: Vec<Y>,
    admission: String,
    good_offline: bool,
}

impl TicketWallet {
    /// A gate for an event. Call [`TicketWallet::prepare_gate`] while there is a network.
    #[must_use]
    pub fn gate(&self, event: Event) -> Gate {
        Gate { wallet: self.clone(), event, offline_until: AtomicU64::new(0) }
    }

    /// Burns what gates let in without the mint. What turns out to be worth nothing becomes an
    /// event.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn settle(&self) -> Result<GateReport, CashuError> {
        let mut report = GateReport::default();
        let mut silent = std::collections::HashSet::new();
        for row in self.0.store.open_admissions().await? {
            let admission: Admission = serde_json::from_str(&row.body)
                .map_err(|_| StorageError::Corrupt { what: "admission" })?;
            if silent.contains(&admission.mint) {
                report.waiting += 1;
                continue;
            }
            // The owner of the gate named it; a restart has forgotten that.
            self.trust(&admission.mint);
            let expected = Expected {
                mint: admission.mint.clone(),
                unit: admission.unit,
                amount: Some(admission.amount),
            };
            let event = match self.burn(&row.id, &admission.token, &expected).await {
                Ok(_) => {
                    report.burned += 1;
                    None
                }
                Err(CashuError::Storage(error)) => return Err(error.into()),
                Err(error) if error.outcome() == Outcome::Worthless => {
                    report.refused += 1;
                    Some(refused(&row.id, error.code())?)
                }
                Err(error) => {
                    report.waiting += 1;
                    if matches!(error, CashuError::Unreachable) {
                        silent.insert(admission.mint);
                    }
                    continue;
                }
            };
            self.0.store.close_admission(&row.id, event, self.0.now()).await?;
        }
        Ok(report)
    }

    /// Fetches what a gate needs where there is no network.
    ///
    /// # Errors
    /// What the mint says.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn prepare_gate(&self, event: &Event) -> Result<(), CashuError> {
        self.0.about(&event.mint).await?;
        let need =
            super::knowledge::Need { unit: Some(&event.unit), anew: true, ..Default::default() };
        self.0.keysets(&event.mint, need).await?;
        self.unit_info(&event.mint, &event.unit).await.map(drop)
    }
}

impl Gate {
    /// Looks at a ticket, and uses it up. A second look at the same ticket says `Used`.
    ///
    /// # Errors
    /// Only when the store fails; whatever is shown and whatever the mint does is a verdict.
    ///
    /// # Cancel safety
    /// A ticket may be used up also when the future is dropped; it is then `Used`, or `Valid` when
    /// it was not written down as let in.
    pub async fn check(&self, token: &str) -> Result<Verdict, CashuError> {
        // One patience for all that is asked: people wait at this door.
        let end = Instant::now() + PATIENCE;
        let looked = match self.look(token, Some(end)).await? {
            Ok(looked) => looked,
            Err(verdict) => return Ok(verdict),
        };
        let now = self.wallet.0.env.now_millis();
        let left_alone = self.offline_until.load(Ordering::Relaxed) > now;
        if left_alone && looked.good_offline {
            return self.let_in(looked, true).await;
        }
        let expected = self.expected();
        // As the admission keeps it: a token has many spellings.
        let text = looked.token.to_string();
        let burning = self.wallet.burn(&looked.admission, &text, &expected);
        let outcome = match tokio::time::timeout_at(end, burning).await {
            Ok(outcome) => outcome.map(drop),
            Err(_) => Err(CashuError::Unreachable),
        };
        match outcome {
            Ok(()) => {
                self.offline_until.store(0, Ordering::Relaxed);
                self.let_in(looked, false).await
            }
            Err(error) => self.without_the_mint(looked, error).await,
        }
    }

    /// Looks at a ticket without asking the mint.
    ///
    /// # Errors
    /// Only when the store fails.
    ///
    /// # Cancel safety
    /// It may be written down as let in also when the future is dropped.
    pub async fn check_offline(&self, token: &str) -> Result<Verdict, CashuError> {
        match self.look(token, None).await? {
            Ok(looked) if looked.good_offline => self.let_in(looked, true).await,
            Ok(_) => Ok(Verdict::Unreachable),
            Err(verdict) => Ok(verdict),
        }
    }

    /// Burns what was let in without the mint. What turns out to be worth nothing becomes an event.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn settle(&self) -> Result<GateReport, CashuError> {
        self.wallet.settle().await
    }

    fn expected(&self) -> Expected {
        Expected {
            mint: self.event.mint.clone(),
            unit: self.event.unit.clone(),
            amount: self.event.amount,
        }
    }

    /// Everything that can be told without spending. The mint is asked for keys until `ask`.
    async fn look(
        &self,
        text: &str,
        ask: Option<Instant>,
    ) -> Result<Result<Looked, Verdict>, CashuError> {
        let refused = |refusal| Ok(Err(Verdict::Refused(refusal)));
        let inner = &self.wallet.0;
        let Ok(token) = TicketToken::parse(text) else { return refused(Refusal::Unreadable) };
        match token.expect(&self.event.mint, &self.event.unit, self.event.amount) {
            Ok(()) => {}
            Err(CashuError::WrongAmount { .. }) => return refused(Refusal::WrongAmount),
            Err(_) => return Ok(Err(Verdict::WrongEvent)),
        }
        let ids = token.keyset_ids();
        let mut keysets = inner.known_keysets(&self.event.mint).await?;
        if let Some(end) = ask
            && !ids.iter().all(|id| keysets.knows(id))
        {
            let need = super::knowledge::Need { ids: &ids, ..Default::default() };
            let asking = inner.keysets(&self.event.mint, need);
            match tokio::time::timeout_at(end, asking).await {
                Ok(Ok(found)) => keysets = found,
                Ok(Err(CashuError::Storage(error))) => return Err(error.into()),
                Ok(Err(_)) | Err(_) => return Ok(Err(Verdict::Unreachable)),
            }
        }
        let proofs = match token.proofs(&keysets) {
            Ok(proofs) => proofs,
            Err(CashuError::UnknownKeyset) if ask.is_none() => {
                return Ok(Err(Verdict::Unreachable));
            }
            Err(CashuError::WrongUnit) => return Ok(Err(Verdict::WrongEvent)),
            Err(_) => return refused(Refusal::Forged),
        };
        let now = inner.now();
        if proofs
            .iter()
            .any(|proof| keysets.get(proof.keyset_id).is_some_and(|keyset| keyset.is_over(now)))
        {
            return Ok(Err(Verdict::Expired));
        }
        let holders = proofs.iter().map(|proof| inner.ring.holder(proof, now));
        if holders.into_iter().any(|holder| matches!(holder, Holder::Other | Holder::Unknown)) {
            return refused(Refusal::Unsigned);
        }
        let names = token.names()?;
        if inner.store.is_seen(names.clone()).await? {
            return Ok(Err(Verdict::Used));
        }
        let good_offline = proofs.iter().all(|proof| proof.dleq.is_some() && self.allows(proof));
        let admission = admission_of(&names, &token.to_string());
        Ok(Ok(Looked { token, names, admission, good_offline }))
    }

    fn allows(&self, proof: &Proof) -> bool {
        let (ring, now) = (&self.wallet.0.ring, self.wallet.0.now());
        match self.event.offline {
            OfflineRule::Nothing => false,
            OfflineRule::LockedToUs => ring.only_us(proof, now),
            OfflineRule::Signed => ring.only_us(proof, now) || KeyRing::is_signed(proof, now),
            OfflineRule::Anything => true,
        }
    }

    async fn let_in(&self, looked: Looked, offline: bool) -> Result<Verdict, CashuError> {
        let Looked { token, names, admission, good_offline: _ } = looked;
        let amount = token.amount();
        let body = Admission {
            token: token.to_string(),
            mint: self.event.mint.clone(),
            unit: self.event.unit.clone(),
            amount,
        };
        let row = AdmissionRow {
            id: admission,
            body: serde_json::to_string(&body).map_err(CashuError::protocol)?,
            open: offline,
            at: self.wallet.0.now(),
        };
        match self.wallet.0.store.admit(row, names).await? {
            true => Ok(Verdict::Valid { amount, offline }),
            false => Ok(Verdict::Used),
        }
    }

    /// Whether the mint was asked to burn it and has not said what became of that.
    async fn is_handed_out(&self, admission: &str) -> Result<bool, CashuError> {
        let row = self.wallet.0.store.operation(admission).await?;
        let Some(row) = row.filter(|row| row.open) else { return Ok(false) };
        Ok(matches!(Operation::from_row(&row)?.state, State::Calling(_)))
    }

    async fn without_the_mint(
        &self,
        looked: Looked,
        error: CashuError,
    ) -> Result<Verdict, CashuError> {
        match error {
            CashuError::Storage(error) => Err(error.into()),
            CashuError::Spent | CashuError::Claimed | CashuError::AlreadyHeld => Ok(Verdict::Used),
            CashuError::Expired => Ok(Verdict::Expired),
            CashuError::Pending => Ok(Verdict::Pending),
            CashuError::Locked | CashuError::UnknownLock => Ok(Verdict::Refused(Refusal::Unsigned)),
            CashuError::InvalidToken { .. } => Ok(Verdict::Refused(Refusal::Forged)),
            error
                if error.outcome() == Outcome::Unknown
                    // Neither is a word about the ticket.
                    || matches!(error, CashuError::Unauthorized | CashuError::Refused { code: 0 }) =>
            {
                match error {
                    // Nothing that a ticket can bring about: the mint is not there.
                    CashuError::Unreachable => {
                        let until = self.wallet.0.env.now_millis().saturating_add(LEFT_ALONE_FOR);
                        self.offline_until.store(until, Ordering::Relaxed);
                    }
                    CashuError::Unauthorized => {
                        tracing::warn!(
                            "the mint does not let this gate burn: its token is not valid"
                        );
                    }
                    error => tracing::debug!(%error, "the mint does not say"),
                }
                if looked.good_offline {
                    return self.let_in(looked, true).await;
                }
                // It may be used up already, or be used up when the mint is asked again.
                match self.is_handed_out(&looked.admission).await? {
                    true => Ok(Verdict::Pending),
                    false => Ok(Verdict::Unreachable),
                }
            }
            _ => Ok(Verdict::Refused(Refusal::ByTheMint)),
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("event", &self.event).finish_non_exhaustive()
    }
}

/// The name of an admission, and of its burning. That proofs go in once is held by their names.
fn admission_of(names: &[Y], text: &str) -> String {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let mut hasher = Sha256::new();
    for name in &sorted {
        hasher.update(name);
    }
    hasher.update(text.as_bytes());
    format!("gate:{}", hex::encode(hasher.finalize()))
}

fn refused(admission: &str, code: ErrorCode) -> Result<String, CashuError> {
    let event = TicketEvent::Refused { admission: admission.to_owned(), code };
    serde_json::to_string(&event).map_err(CashuError::protocol)
}
