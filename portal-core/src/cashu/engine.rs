//! Drives operations from state to state. See the drawing in the module above. How the mint is
//! asked is in [`super::call`], how an operation ends in [`super::finish`].

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};

use super::journal::{Calling, Done, Operation, Order, Source, State};
use super::token;
use super::{CashuError, Inner, Outcome, TicketWallet};
use crate::storage::sqlite::tickets::{Begun, Change, Move, ProofState, Y};

/// How long an unpaid quote is asked about after its end, in seconds.
const UNPAID_FOR: u64 = 24 * 3600;
/// How long a quote without an end can be paid, in seconds.
const PAYABLE_FOR: u64 = 30 * 24 * 3600;
/// How long a gift of a stranger waits for its mint, in seconds. Its token stays in the journal,
/// and what its mint has signed for us can be restored.
const GIFT_FOR: u64 = 30 * 24 * 3600;
/// How often it is looked at after that: a phone that was off for a month still gets its gifts.
const LATE_LOOKS: u32 = 50;
/// The most gifts that wait at one mint that only a stranger has named.
const MOST_GIFTS_AT_MINT: usize = 100;
/// The most gifts that wait at all such mints.
const MOST_GIFTS: usize = 1000;
/// How many mints are asked at once what became of operations.
const MINTS_AT_ONCE: usize = 8;
/// After so many operations without an answer a mint is left alone, until the next look.
const MOST_SILENCES: u32 = 3;

/// What a look at everything unfinished has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Operations that are done now.
    pub done: usize,
    /// Operations that had not happened, and will not.
    pub failed: usize,
    /// Operations whose outcome is still not known.
    pub waiting: usize,
}

impl TicketWallet {
    /// Goes on with everything that was begun and has not ended: call it at every start, and when
    /// the network is back. Never fails because of a mint; what waits is tried again next time.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn recover(&self) -> Result<Recovery, CashuError> {
        let mut of_mints: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in self.0.store.open_operations().await? {
            of_mints.entry(row.mint).or_default().push(row.key);
        }
        // Strangers name mints in their gifts: those that are away must not hold up the others.
        let looks = of_mints.into_values().map(|keys| self.0.recover_at_one_mint(keys));
        let mut looks = stream::iter(looks).buffer_unordered(MINTS_AT_ONCE);
        let mut report = Recovery::default();
        while let Some(found) = looks.next().await {
            let Recovery { done, failed, waiting } = found?;
            report.done += done;
            report.failed += failed;
            report.waiting += waiting;
        }
        Ok(report)
    }
}

impl Inner {
    async fn recover_at_one_mint(&self, mut keys: Vec<String>) -> Result<Recovery, CashuError> {
        let mut report = Recovery::default();
        // Another one first each time, so that one that never ends does not keep the rest waiting.
        let first = u64::from_be_bytes(self.env.bytes()) % (keys.len().max(1) as u64);
        keys.rotate_left(usize::try_from(first).unwrap_or_default());
        let mut silences = 0;
        for key in keys {
            if silences == MOST_SILENCES {
                report.waiting += 1;
                continue;
            }
            let _alone = self.alone_with(&key).await;
            // Somebody may have gone on with it meanwhile.
            let Some(row) = self.store.operation(&key).await?.filter(|row| row.open) else {
                continue;
            };
            let error = match self.resume(Operation::from_row(&row)?).await {
                Ok(_) => {
                    report.done += 1;
                    continue;
                }
                Err(CashuError::Storage(error)) => return Err(error.into()),
                Err(error) => error,
            };
            if matches!(error, CashuError::Unreachable) {
                silences += 1;
            }
            if self.store.operation(&key).await?.is_some_and(|row| row.open) {
                tracing::debug!(%error, "an operation has to wait");
                report.waiting += 1;
                continue;
            }
            tracing::debug!(%error, "an operation has failed");
            report.failed += 1;
            if error.outcome() == Outcome::Nothing {
                self.store.undo_allowed(&key).await?;
            }
        }
        Ok(report)
    }

    /// Writes an operation down unless it is there, and drives it to its end.
    pub(super) async fn run(&self, operation: Operation) -> Result<Done, CashuError> {
        let _alone = self.alone_with(&operation.key).await;
        let begun = self.write_down(&operation).await?;
        self.go_on(begun, operation).await
    }

    /// Writes an operation down unless it is there. What strangers send has a limit; what the owner
    /// does has none.
    pub(super) async fn write_down(&self, operation: &Operation) -> Result<Begun, CashuError> {
        let (row, now) = (operation.to_row()?, self.now());
        if !matches!(operation.order, Order::Receive { .. }) || self.is_trusted(&operation.mint) {
            return Ok(self.store.begin(row, now).await?);
        }
        let begun = self.store.begin_of_stranger(row, MOST_GIFTS_AT_MINT, MOST_GIFTS, now).await?;
        begun.ok_or(CashuError::TooMany { most: MOST_GIFTS_AT_MINT })
    }

    /// Drives what was written down, or what was found under its key when the same was asked.
    pub(super) async fn go_on(
        &self,
        begun: Begun,
        operation: Operation,
    ) -> Result<Done, CashuError> {
        match begun {
            Begun::New => self.drive(operation, false).await,
            Begun::Existing(row) => {
                let existing = Operation::from_row(&row)?;
                if !existing.asks_the_same(&operation) {
                    return Err(CashuError::Conflict);
                }
                self.again(existing).await
            }
        }
    }

    /// An operation that was there before, asked for again.
    pub(super) async fn again(&self, mut operation: Operation) -> Result<Done, CashuError> {
        if matches!(operation.state, State::Failed { .. }) {
            operation.state = State::Asked;
            operation.rounds = 0;
            self.write(&operation).await?;
        }
        self.drive(operation, true).await
    }

    /// Goes on with an operation whose caller may be gone.
    async fn resume(&self, mut operation: Operation) -> Result<Done, CashuError> {
        let abandoned = matches!(operation.state, State::Asked)
            && !matches!(operation.order, Order::Receive { .. });
        if abandoned {
            // Nothing has happened, and whoever wanted it will ask again.
            operation.state = State::Failed { code: crate::primitives::ErrorCode::Cancelled };
            self.write(&operation).await?;
            return Err(CashuError::NotFound);
        }
        let over = operation.quote().is_some_and(|quote| {
            let expiry = quote.expiry.filter(|expiry| *expiry > 0);
            let end = expiry.unwrap_or(operation.created_at.saturating_add(PAYABLE_FOR));
            end.saturating_add(UNPAID_FOR) < self.now()
        });
        let gift_over = matches!(operation.order, Order::Receive { .. })
            && !self.is_trusted(&operation.mint)
            && operation.created_at.saturating_add(GIFT_FOR) < self.now();
        match self.drive(operation.clone(), true).await {
            Err(error) if gift_over && !matches!(error, CashuError::Storage(_)) => {
                self.look_at_late_gift(&operation.key, &error).await?;
                Err(error)
            }
            Err(error) if over && self.is_unpaid(&operation, &error).await => {
                operation.state = State::Failed { code: error.code() };
                self.write(&operation).await?;
                Err(CashuError::NotFound)
            }
            other => other,
        }
    }

    /// A gift whose time is over was looked at once more, in vain.
    async fn look_at_late_gift(&self, key: &str, error: &CashuError) -> Result<(), CashuError> {
        let Some(row) = self.store.operation(key).await?.filter(|row| row.open) else {
            return Ok(());
        };
        let mut gift = Operation::from_row(&row)?;
        gift.late_looks = gift.late_looks.saturating_add(1);
        if gift.late_looks >= LATE_LOOKS {
            gift.state = State::Failed { code: error.code() };
        }
        self.write(&gift).await
    }

    /// Takes step after step. `before`: an earlier run may have asked the mint already.
    async fn drive(&self, mut operation: Operation, before: bool) -> Result<Done, CashuError> {
        let mut asked_before = before;
        loop {
            let was = std::mem::discriminant(&operation.state);
            let step = match operation.state.clone() {
                State::Done(done) => return Ok(done),
                State::Failed { .. } => return Err(CashuError::NotFound),
                State::Asked => {
                    asked_before = false;
                    match &operation.order {
                        Order::Mint { .. } => self.ask_for_quote(&mut operation).await,
                        Order::Send { .. } => self.begin_send(&mut operation).await,
                        Order::Receive { .. } => self.begin_receive(&mut operation).await,
                        Order::Burn { .. } => self.begin_burn(&mut operation).await,
                        Order::TakeBack { .. } => self.begin_take_back(&mut operation).await,
                    }
                }
                State::Quoted(quote) => {
                    asked_before = false;
                    self.begin_mint(&mut operation, quote).await
                }
                State::Calling(calling) => self.call(&mut operation, *calling, asked_before).await,
            };
            if let Err(error) = step {
                return Err(self.gave_up(operation, was, error).await);
            }
        }
    }

    /// An operation in which nothing has happened yet is closed when it cannot begin, so that no
    /// start does it behind its caller's back. What was received stays: it is in the journal.
    async fn gave_up(
        &self,
        mut operation: Operation,
        was: std::mem::Discriminant<State>,
        error: CashuError,
    ) -> CashuError {
        let nothing_happened =
            was == std::mem::discriminant(&State::Asked) && matches!(operation.state, State::Asked);
        let kept = matches!(operation.order, Order::Receive { .. }) && !error.ends_gift();
        if nothing_happened && !kept && !matches!(error, CashuError::Storage(_)) {
            operation.state = State::Failed { code: error.code() };
            if let Err(error) = self.write(&operation).await {
                return error;
            }
        }
        error
    }

    pub(super) async fn write(&self, operation: &Operation) -> Result<(), CashuError> {
        let change = Change { operation: Some(operation.to_row()?), ..Change::default() };
        Ok(self.store.apply(change, self.now()).await?)
    }

    /// Goes to `Calling`: inputs reserved and outputs written down in one transaction.
    pub(super) async fn prepare(
        &self,
        operation: &mut Operation,
        mut calling: Calling,
    ) -> Result<(), CashuError> {
        // In the order of amounts nobody can tell change from gift.
        calling.outputs.sort_by_key(|planned| planned.output.amount);
        let from = match &calling.source {
            Source::Outside => None,
            Source::Wallet => Some(ProofState::Unspent),
            Source::Given { .. } => Some(ProofState::Given),
        };
        let moves = match from {
            None => Vec::new(),
            Some(from) => names(&calling.inputs)?
                .into_iter()
                .map(|y| Move {
                    y,
                    from,
                    to: ProofState::Reserved,
                    holder: Some(operation.key.clone()),
                })
                .collect(),
        };
        let next = Operation { state: State::Calling(Box::new(calling)), ..operation.clone() };
        let change = Change { operation: Some(next.to_row()?), moves, ..Change::default() };
        self.store.apply(change, self.now()).await?;
        *operation = next;
        Ok(())
    }

    pub(super) async fn fail(&self, operation: &mut Operation, error: CashuError) -> CashuError {
        operation.state = State::Failed { code: error.code() };
        match self.write(operation).await {
            Ok(()) => error,
            Err(error) => error,
        }
    }
}

pub(super) fn names(proofs: &[cdk_common::Proof]) -> Result<Vec<Y>, CashuError> {
    proofs.iter().map(token::name).collect()
}
