//! How an operation ends well: what the mint gave is checked and written, inputs are spent and the
//! journal is closed, in one transaction.

use std::sync::Arc;

use cdk_common::{BlindSignature, Proof};

use super::engine::names;
use super::journal::{Calling, Done, Operation, Order, Source, State};
use super::keysets::Keysets;
use super::knowledge::Need;
use super::outputs::{self, Output};
use super::token::{self, TicketToken};
use super::watch::TicketEvent;
use super::{CashuError, Inner};
use crate::storage::sqlite::tickets::{Change, Move, ProofRow, ProofState};

impl Inner {
    pub(super) async fn finish_signed(
        &self,
        operation: &mut Operation,
        calling: Calling,
        signatures: Vec<BlindSignature>,
    ) -> Result<(), CashuError> {
        let keysets = self.keysets_of(operation, &calling).await?;
        let proven = self.about(&operation.mint).await?.proves_signatures;
        let all: Vec<Output> =
            calling.outputs.iter().map(|planned| planned.output.clone()).collect();
        let proofs = outputs::unblind(&all, signatures, &keysets, proven)?;
        let mut kept = Vec::new();
        let mut given = Vec::new();
        for (planned, proof) in calling.outputs.iter().zip(proofs) {
            if planned.give { given.push(proof) } else { kept.push(proof) }
        }
        self.finish(operation, &calling, kept, given, 0).await
    }

    pub(super) async fn finish_melted(
        &self,
        operation: &mut Operation,
        calling: Calling,
    ) -> Result<(), CashuError> {
        let burned = operation.amount;
        self.finish(operation, &calling, Vec::new(), Vec::new(), burned).await
    }

    async fn keysets_of(
        &self,
        operation: &Operation,
        calling: &Calling,
    ) -> Result<Arc<Keysets>, CashuError> {
        let ids: Vec<_> = calling
            .outputs
            .iter()
            .map(|planned| cdk_common::nut02::ShortKeysetId::from(planned.output.keyset))
            .collect();
        self.keysets(&operation.mint, Need { ids: &ids, ..Need::default() }).await
    }

    /// It has happened: proofs in, inputs spent, the journal closed, in one transaction.
    pub(super) async fn finish(
        &self,
        operation: &mut Operation,
        calling: &Calling,
        kept: Vec<Proof>,
        given: Vec<Proof>,
        burned: u64,
    ) -> Result<(), CashuError> {
        let memo = match &operation.order {
            Order::Mint { give: Some(give), .. } | Order::Send { give, .. } => give.memo.clone(),
            _ => None,
        };
        let mut insert = self.rows(operation, &kept, ProofState::Unspent, None)?;
        insert.extend(self.rows(
            operation,
            &given,
            ProofState::Given,
            Some(operation.key.clone()),
        )?);
        let token = match given.is_empty() {
            true => None,
            false => {
                Some(TicketToken::of(&operation.mint, &operation.unit, given, memo)?.to_string())
            }
        };
        let (moves, events) = self.spend_inputs(operation, calling).await?;
        let done = Done { kept: token::sum(&kept)?, token, burned };
        let next = Operation { state: State::Done(done), ..operation.clone() };
        let change = Change { operation: Some(next.to_row()?), insert, moves, events };
        self.store.apply(change, self.now()).await?;
        *operation = next;
        Ok(())
    }

    /// What becomes of the inputs, and what is to be told about it.
    async fn spend_inputs(
        &self,
        operation: &Operation,
        calling: &Calling,
    ) -> Result<(Vec<Move>, Vec<String>), CashuError> {
        let inputs = names(&calling.inputs)?;
        if calling.source != Source::Outside {
            // Whoever gave it away is not forgotten: who asks to take it back a second time hears
            // what came of the first.
            let holder = match &calling.source {
                Source::Given { by } => Some(by.clone()),
                Source::Wallet | Source::Outside => None,
            };
            let moves = inputs
                .into_iter()
                .map(|y| Move {
                    y,
                    from: ProofState::Reserved,
                    to: ProofState::Spent,
                    holder: holder.clone(),
                })
                .collect();
            return Ok((moves, Vec::new()));
        }
        // What came from outside may once have been given away by this very wallet.
        let mut moves = Vec::new();
        let mut events = Vec::new();
        for row in self.store.known_proofs(inputs).await? {
            if row.state != ProofState::Given {
                continue;
            }
            moves.push(Move {
                y: row.y,
                from: ProofState::Given,
                to: ProofState::Spent,
                holder: row.operation.clone(),
            });
            events.push(TicketEvent::used(&row, &operation.mint)?);
        }
        Ok((moves, events))
    }

    pub(super) fn rows(
        &self,
        operation: &Operation,
        proofs: &[Proof],
        state: ProofState,
        holder: Option<String>,
    ) -> Result<Vec<ProofRow>, CashuError> {
        proofs
            .iter()
            .map(|proof| {
                Ok(ProofRow {
                    y: token::name(proof)?,
                    mint: operation.mint.to_string(),
                    unit: operation.unit.to_string(),
                    keyset: proof.keyset_id.to_string(),
                    amount: proof.amount.to_u64(),
                    state,
                    operation: holder.clone(),
                    body: serde_json::to_string(proof).map_err(CashuError::protocol)?,
                })
            })
            .collect()
    }
}
