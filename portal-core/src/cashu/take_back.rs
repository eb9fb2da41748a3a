//! Taking back: what was given away and nobody has claimed.

use cdk_common::Proof;

use super::evidence::MintState;
use super::journal::{Call, Calling, Operation, Order, Source};
use super::knowledge::Need;
use super::lock::Holder;
use super::outputs;
use super::token;
use super::watch::TicketEvent;
use super::{CashuError, Inner, TicketWallet};
use crate::storage::StorageError;
use crate::storage::sqlite::tickets::{Change, Move, ProofRow, ProofState};

/// What stands before the key of the operation that is taken back.
pub(super) const TAKE_BACK: &str = "take-back:";

impl TicketWallet {
    /// Takes back what the operation with this key gave away: its proofs are swapped for new ones,
    /// and the token is worth nothing from then on. What was claimed already stays claimed; a token
    /// that is locked to somebody can be taken back when its lock has ended.
    ///
    /// # Errors
    /// [`CashuError::Claimed`] when nothing is left, [`CashuError::Locked`] when it is too early,
    /// [`CashuError::NotFound`] when there is no such operation, or what the mint says.
    ///
    /// # Cancel safety
    /// What was begun is in the journal, and goes on with the next call.
    pub async fn take_back(&self, key: &str) -> Result<u64, CashuError> {
        let own_key = format!("{TAKE_BACK}{key}");
        let _alone = self.0.alone_with(&own_key).await;
        // Asked for before: it goes on, or says what came of it.
        if let Some(row) = self.0.store.operation(&own_key).await? {
            return Ok(self.0.again(Operation::from_row(&row)?).await?.kept);
        }
        let of = self.0.store.operation(key).await?.ok_or(CashuError::NotFound)?;
        let of = Operation::from_row(&of)?;
        let given = self.0.store.proofs_of(key, ProofState::Given).await?;
        let amount = given.iter().map(|row| row.amount).fold(0, u64::saturating_add);
        if amount == 0 {
            return Err(CashuError::Claimed);
        }
        let order = Order::TakeBack { of: key.to_owned() };
        let operation = Operation::new(&own_key, of.mint, of.unit, amount, order, self.0.now())?;
        self.0.write(&operation).await?;
        Ok(self.0.again(operation).await?.kept)
    }
}

impl Inner {
    /// Asked → Calling with what the mint says is unspent.
    pub(super) async fn begin_take_back(
        &self,
        operation: &mut Operation,
    ) -> Result<(), CashuError> {
        let Order::TakeBack { of } = operation.order.clone() else {
            return Err(CashuError::NotFound);
        };
        let given = self.store.proofs_of(&of, ProofState::Given).await?;
        let left = self.strike_off_claimed(operation, given).await?;
        if left.is_empty() {
            return Err(CashuError::Claimed);
        }
        let mut inputs = Vec::with_capacity(left.len());
        let now = self.now();
        for row in left {
            let mut proof: Proof = serde_json::from_str(&row.body)
                .map_err(|_| StorageError::Corrupt { what: "proof" })?;
            match self.ring.holder(&proof, now) {
                Holder::Anyone => {}
                Holder::Us { .. } => self.ring.sign(&mut proof)?,
                Holder::Other | Holder::Unknown => return Err(CashuError::Locked),
            }
            proof.dleq = None;
            inputs.push(proof);
        }
        let ids: Vec<_> = inputs
            .iter()
            .map(|proof| cdk_common::nut02::ShortKeysetId::from(proof.keyset_id))
            .collect();
        let need = Need { unit: Some(&operation.unit), ids: &ids, ..Need::default() };
        let keysets = self.keysets(&operation.mint, need).await?;
        let keyset =
            keysets.active(&operation.unit, self.now()).ok_or(CashuError::UnsupportedUnit)?;
        let fee = keysets.fee(inputs.iter().map(|proof| proof.keyset_id))?;
        let amount = token::sum(&inputs)?
            .checked_sub(fee)
            .filter(|amount| *amount > 0)
            .ok_or(CashuError::Amount { reason: "the fee takes all of it" })?;
        let most = self.about(&operation.mint).await?.most_items;
        let parts = outputs::split(keyset, amount, most)?;
        let outputs = self.make_outputs(keyset, &parts, None).await?;
        let source = Source::Given { by: of };
        let calling = Calling { call: Call::Swap, inputs, source, outputs, since: self.now() };
        self.prepare(operation, calling).await
    }

    /// Those that the mint has not seen yet; the others are struck off.
    async fn strike_off_claimed(
        &self,
        operation: &Operation,
        given: Vec<ProofRow>,
    ) -> Result<Vec<ProofRow>, CashuError> {
        let names: Vec<_> = given.iter().map(|row| row.y).collect();
        if names.is_empty() {
            return Ok(given);
        }
        let states = self.states(operation, &names).await?;
        if states.values().any(|state| *state == MintState::Pending) {
            return Err(CashuError::Pending);
        }
        let (spent, left): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|row| states.get(&row.y) == Some(&MintState::Spent));
        let mut change = Change::default();
        for row in &spent {
            change.moves.push(Move {
                y: row.y,
                from: ProofState::Given,
                to: ProofState::Spent,
                holder: row.operation.clone(),
            });
            change.events.push(TicketEvent::used(row, &operation.mint)?);
        }
        self.store.apply(change, self.now()).await?;
        Ok(left)
    }
}
