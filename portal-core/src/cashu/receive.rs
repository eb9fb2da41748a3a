//! Receiving: somebody's token becomes proofs of ours.
//!
//! The token is in the journal before anything else happens, so a gift can be acknowledged as soon
//! as [`TicketWallet::accept`] returns. What anyone could spend is swapped for proofs that only we
//! know. A ticket that is locked to a key of ours is kept as it is: nobody else can spend it, so it
//! is good without the mint, and whoever issued it learns of its use and not of its delivery.

use super::journal::{Call, Calling, Done, Operation, Order, Source, State};
use super::knowledge::Need;
use super::lock::Holder;
use super::outputs;
use super::token::{self, TicketToken};
use super::{CashuError, Inner, TicketWallet};
use crate::storage::sqlite::tickets::{Begun, Change, ProofState};

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How much the wallet has more, in the base of the unit: fees are taken off.
    pub amount: u64,
}

impl TicketWallet {
    /// Writes a token down, so that it cannot be lost any more, and returns at once. It is received
    /// by [`TicketWallet::receive`] with the same key, or by the next [`TicketWallet::recover`].
    ///
    /// # Errors
    /// When it is no token, or cannot be saved; [`CashuError::TooMany`] when so many gifts wait for
    /// mints that nobody but strangers has named that this one must be kept elsewhere.
    ///
    /// # Cancel safety
    /// It may be written also when the future is dropped.
    pub async fn accept(&self, key: &str, token: &str) -> Result<(), CashuError> {
        let operation = self.0.receive_operation(key, token)?;
        match self.0.write_down(&operation).await? {
            Begun::New => Ok(()),
            Begun::Existing(row) => match Operation::from_row(&row)?.asks_the_same(&operation) {
                true => Ok(()),
                false => Err(CashuError::Conflict),
            },
        }
    }

    /// Receives a token. After an error whose [`CashuError::outcome`] is unknown the token stays in
    /// the journal, and is received as soon as the mint can be asked.
    ///
    /// # Errors
    /// [`CashuError::Spent`], [`CashuError::Locked`], [`CashuError::Expired`] and their like when it
    /// is worth nothing, or what the mint says.
    ///
    /// # Cancel safety
    /// What was begun is in the journal, and goes on with the next call.
    pub async fn receive(&self, key: &str, token: &str) -> Result<Received, CashuError> {
        let operation = self.0.receive_operation(key, token)?;
        let done = self.0.run(operation).await?;
        Ok(Received { amount: done.kept })
    }
}

impl Inner {
    fn receive_operation(&self, key: &str, text: &str) -> Result<Operation, CashuError> {
        let token = TicketToken::parse(text)?;
        let order = Order::Receive { token: text.trim().to_owned() };
        let (mint, unit) = (token.mint().clone(), token.unit().clone());
        Operation::new(key, mint, unit, token.amount(), order, self.now())
    }

    /// Asked → Done for tickets locked to us, else → Calling.
    pub(super) async fn begin_receive(&self, operation: &mut Operation) -> Result<(), CashuError> {
        let Order::Receive { token: text } = &operation.order else {
            return Err(CashuError::NotFound);
        };
        let token = TicketToken::parse(text)?;
        if self.keep_as_it_is(operation, &token).await? {
            return Ok(());
        }
        self.begin_swap_in(operation, &token).await
    }

    /// What is ours already is not taken in twice.
    async fn refuse_held(&self, token: &TicketToken) -> Result<(), CashuError> {
        let known = self.store.known_proofs(token.names()?).await?;
        let held = |state| matches!(state, ProofState::Unspent | ProofState::Reserved);
        if known.iter().any(|row| held(row.state)) {
            return Err(CashuError::AlreadyHeld);
        }
        if known.iter().any(|row| row.state == ProofState::Spent) {
            return Err(CashuError::Spent);
        }
        Ok(())
    }

    async fn keep_as_it_is(
        &self,
        operation: &mut Operation,
        token: &TicketToken,
    ) -> Result<bool, CashuError> {
        if operation.unit.is_money() {
            return Ok(false);
        }
        let ids = token.keyset_ids();
        let keysets = self.keysets(&operation.mint, Need { ids: &ids, ..Need::default() }).await?;
        let proofs = token.proofs(&keysets)?;
        let now = self.now();
        let ours = |proof| self.ring.only_us(proof, now);
        if !proofs.iter().all(|proof| ours(proof) && proof.dleq.is_some()) {
            return Ok(false);
        }
        if proofs
            .iter()
            .any(|proof| keysets.get(proof.keyset_id).is_some_and(|keyset| keyset.is_over(now)))
        {
            return Err(CashuError::Expired);
        }
        // Also one that this very wallet has issued: then it is taken in by a swap.
        let known = self.store.known_proofs(token.names()?).await?;
        if !known.is_empty() {
            return Ok(false);
        }
        // Now that the mint answers: whether it may be passed on, and its card.
        match self.looks(&operation.mint, &operation.unit).await {
            Err(CashuError::Storage(error)) => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "the looks of a unit are not to be had"),
            Ok(_) => {}
        }
        let insert = self.rows(operation, &proofs, ProofState::Unspent, None)?;
        let done = Done { kept: token::sum(&proofs)?, token: None, burned: 0 };
        let next = Operation { state: State::Done(done), ..operation.clone() };
        let change = Change { operation: Some(next.to_row()?), insert, ..Change::default() };
        self.store.apply(change, self.now()).await?;
        *operation = next;
        Ok(true)
    }

    /// Asked → Calling: the token's proofs for proofs of ours.
    pub(super) async fn begin_swap_in(
        &self,
        operation: &mut Operation,
        token: &TicketToken,
    ) -> Result<(), CashuError> {
        self.refuse_held(token).await?;
        let ids = token.keyset_ids();
        let need = Need { unit: Some(&operation.unit), ids: &ids, ..Need::default() };
        let keysets = self.keysets(&operation.mint, need).await?;
        let inputs = self.spendable(token.proofs(&keysets)?, &keysets)?;
        let about = self.about(&operation.mint).await?;
        let keyset =
            keysets.active(&operation.unit, self.now()).ok_or(CashuError::UnsupportedUnit)?;
        let fee = keysets.fee(inputs.iter().map(|proof| proof.keyset_id))?;
        let amount = token::sum(&inputs)?
            .checked_sub(fee)
            .filter(|amount| *amount > 0)
            .ok_or(CashuError::Amount { reason: "the fee takes all of it" })?;
        let parts = if self.shown_singly(&operation.mint, &operation.unit).await? {
            outputs::singly(keyset, amount, about.most_items)?
        } else {
            outputs::split(keyset, amount, about.most_items)?
        };
        let outputs = self.make_outputs(keyset, &parts, None).await?;
        let calling = Calling {
            call: Call::Swap,
            inputs,
            source: Source::Outside,
            outputs,
            since: self.now(),
        };
        self.prepare(operation, calling).await
    }

    /// Proofs from outside as we can spend them: signed where they are locked to us.
    pub(super) fn spendable(
        &self,
        proofs: Vec<cdk_common::Proof>,
        keysets: &super::keysets::Keysets,
    ) -> Result<Vec<cdk_common::Proof>, CashuError> {
        let now = self.now();
        proofs
            .into_iter()
            .map(|mut proof| {
                if keysets.get(proof.keyset_id).is_some_and(|keyset| keyset.is_over(now)) {
                    return Err(CashuError::Expired);
                }
                match self.ring.holder(&proof, now) {
                    Holder::Anyone => {}
                    Holder::Us { .. } => self.ring.sign(&mut proof)?,
                    Holder::Other => return Err(CashuError::Locked),
                    Holder::Unknown => return Err(CashuError::UnknownLock),
                }
                // The mint needs neither, and they would tell it who gave the proof.
                proof.dleq = None;
                proof.p2pk_e = None;
                Ok(proof)
            })
            .collect()
    }
}
