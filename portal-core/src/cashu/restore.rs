//! Restoring from the seed (NUT-13, NUT-09): the mint is asked what it has signed of everything
//! the seed could have made.

use cdk_common::dhke::hash_to_curve;
use serde::Serialize;

use super::evidence::MintState;
use super::keysets::{Keyset, Keysets};
use super::knowledge::Need;
use super::outputs::{self, Output};
use super::{CashuError, Inner, MintAddress, TicketWallet, Unit};
use crate::storage::sqlite::tickets::{Change, ProofRow, ProofState};

/// How many outputs are asked for at once.
const BATCH: u32 = 100;
/// How many batches in a row the mint must not know before the search ends.
const GAP: u32 = 3;
/// The most batches of one keyset: a mint that knows everything must not keep us for ever.
const MOST_BATCHES: u32 = 10_000;

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// What the wallet has more, in the base of the unit.
    pub amount: u64,
    /// In how many proofs.
    pub proofs: usize,
    /// What was found and is spent.
    pub spent: u64,
}

/// Proofs that the mint has signed.
pub(super) struct Found {
    pub(super) proofs: Vec<cdk_common::Proof>,
    /// The number behind the last that was signed.
    pub(super) next: u32,
}

impl TicketWallet {
    /// Restores what the seed has made of a unit. What the wallet knows already stays as it is:
    /// neither a token that was given away nor a proof that is reserved comes back into it.
    ///
    /// What was locked to a key of ours is not from the seed, and cannot be restored; its issuer
    /// can be asked to send the ticket again.
    ///
    /// # Errors
    /// What the mint says. What was found before is kept; call it again.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn restore(&self, mint: &MintAddress, unit: &Unit) -> Result<Restored, CashuError> {
        let need = Need { unit: Some(unit), every: true, anew: true, ..Need::default() };
        let keysets = self.0.keysets(mint, need).await?;
        let mut report = Restored::default();
        for keyset in keysets.0.iter().filter(|keyset| keyset.unit == *unit) {
            let found = self
                .0
                .scan(mint, &keysets, keyset, |start, count| {
                    let amounts = vec![0; count as usize];
                    outputs::from_seed(&self.0.seed, keyset.id, start, &amounts)
                })
                .await?;
            // Before a proof can be spent, no secret may be made a second time.
            self.0.store.advance_counter(&keyset.id.to_string(), found.next).await?;
            self.0.take_in(mint, unit, found, &mut report).await?;
        }
        Ok(report)
    }
}

impl Inner {
    /// Asks the mint for everything it has signed of a series of outputs.
    pub(super) async fn scan(
        &self,
        mint: &MintAddress,
        keysets: &Keysets,
        keyset: &Keyset,
        make: impl Fn(u32, u32) -> Result<Vec<Output>, CashuError>,
    ) -> Result<Found, CashuError> {
        let mut found = Found { proofs: Vec::new(), next: 0 };
        let mut empty = 0;
        for batch in 0..MOST_BATCHES {
            let Some(start) = batch.checked_mul(BATCH) else { break };
            let made = make(start, BATCH)?;
            let signed = self.signed(mint, &made).await?;
            if signed.is_empty() {
                empty += 1;
                if empty == GAP {
                    break;
                }
                continue;
            }
            empty = 0;
            for (name, signature) in signed {
                let place = made
                    .iter()
                    .position(|output| output.blinded().to_bytes() == name)
                    .ok_or(CashuError::BadAnswer { reason: "it restores something else" })?;
                let output = made[place].of_amount(signature.amount.to_u64());
                let proofs = outputs::unblind(&[output], vec![signature], keysets, false)?;
                found.proofs.extend(proofs);
                let number = start.saturating_add(u32::try_from(place).unwrap_or(u32::MAX));
                found.next = found.next.max(number.saturating_add(1));
            }
        }
        tracing::debug!(keyset = %keyset.id, proofs = found.proofs.len(), "scanned");
        Ok(found)
    }

    async fn take_in(
        &self,
        mint: &MintAddress,
        unit: &Unit,
        found: Found,
        report: &mut Restored,
    ) -> Result<(), CashuError> {
        for some in found.proofs.chunks(BATCH as usize) {
            let names = some
                .iter()
                .map(|proof| {
                    hash_to_curve(proof.secret.as_bytes())
                        .map(|point| point.to_bytes())
                        .map_err(CashuError::protocol)
                })
                .collect::<Result<Vec<_>, _>>()?;
            let states = self.states_at(mint, &names).await?;
            let known: std::collections::HashSet<_> =
                self.store.known_proofs(names.clone()).await?.iter().map(|row| row.y).collect();
            let mut insert = Vec::new();
            for (proof, y) in some.iter().zip(&names) {
                let amount = proof.amount.to_u64();
                match states.get(y) {
                    Some(MintState::Spent) => report.spent = report.spent.saturating_add(amount),
                    // What the mint is busy with belongs to an operation; it can be restored later.
                    Some(MintState::Pending) | None => {}
                    Some(MintState::Unspent) if known.contains(y) => {}
                    Some(MintState::Unspent) => {
                        report.amount = report.amount.saturating_add(amount);
                        report.proofs += 1;
                        insert.push(ProofRow {
                            y: *y,
                            mint: mint.to_string(),
                            unit: unit.to_string(),
                            keyset: proof.keyset_id.to_string(),
                            amount,
                            state: ProofState::Unspent,
                            operation: None,
                            body: serde_json::to_string(proof).map_err(CashuError::protocol)?,
                        });
                    }
                }
            }
            self.store.apply(Change { insert, ..Change::default() }, self.now()).await?;
        }
        Ok(())
    }
}
