//! Restoring from the seed (NUT-13, NUT-09): the mint is asked what it has signed of everything
//! the seed could have made.

use cdk_common::dhke::hash_to_curve;
use serde::Serialize;

use super::evidence::MintState;
use super::keysets::{Keyset, Keysets};
use super::knowledge::Need;
use super::outputs::{self, Output};
use super::unit::MOST_AMOUNT;
use super::{CashuError, Inner, MintAddress, TicketWallet, Unit};
use crate::storage::sqlite::tickets::{Change, ProofRow, ProofState};

/// How many outputs are asked for at once.
const BATCH: u32 = 250;
/// How many numbers in a row the mint must not know before the search ends. What a mint refuses
/// leaves a hole when other numbers were taken meanwhile, and one operation takes up to a thousand.
const GAP: u32 = 3000;
/// How many proofs are taken in at once.
const TAKEN_AT_ONCE: usize = 100;
/// The most batches of one keyset: a mint that knows everything must not keep us for ever.
const MOST_BATCHES: u32 = 4_000;

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

/// How far a series of outputs is searched.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    /// To this number in any case.
    pub(super) least: u32,
    /// And until so many in a row are unknown to the mint.
    pub(super) gap: u32,
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
            // What this store has taken is searched whole, however long the holes in it are.
            let least = self.0.store.next_number(&keyset.id.to_string()).await?;
            let reach = Reach { least, gap: GAP };
            let found = self
                .0
                .scan(mint, &keysets, keyset, reach, |start, count| {
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
        reach: Reach,
        make: impl Fn(u32, u32) -> Result<Vec<Output>, CashuError>,
    ) -> Result<Found, CashuError> {
        let mut found = Found { proofs: Vec::new(), next: 0 };
        let most = u32::try_from(self.about(mint).await?.most_items).unwrap_or(u32::MAX);
        let size = BATCH.min(most);
        for batch in 0..MOST_BATCHES {
            let Some(start) = batch.checked_mul(size) else { break };
            if start >= reach.least.max(found.next.saturating_add(reach.gap)) {
                break;
            }
            let made = make(start, size)?;
            let signed = self.signed(mint, &made).await?;
            for (name, signature) in signed {
                let place = made
                    .iter()
                    .position(|output| output.blinded().to_bytes() == name)
                    .ok_or(CashuError::BadAnswer { reason: "it restores something else" })?;
                let amount = signature.amount.to_u64();
                if amount > MOST_AMOUNT {
                    return Err(CashuError::BadAnswer { reason: "it restores too much" });
                }
                let output = made[place].of_amount(amount);
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
        for some in found.proofs.chunks(TAKEN_AT_ONCE) {
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
