//! Noticing that a ticket that we issued was used.
//!
//! A ticket that was given away without a lock is swapped by whoever receives it, so its first
//! spending means *claimed*. A ticket that is locked to its holder is not swapped: its spending
//! means *used*. Which of the two it is, the event says.

use std::collections::HashSet;

use cdk_common::Proof;
use serde::{Deserialize, Serialize};

use super::evidence::MintState;
use super::lock::is_locked;
use super::{CashuError, MintAddress, TicketWallet, Unit};
use crate::primitives::Timestamp;
use crate::storage::StorageError;
use crate::storage::sqlite::tickets::{Change, Move, ProofRow, ProofState};

/// How many tickets are asked about at once.
const AT_ONCE: usize = 100;

/// Something that happened to a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TicketEvent {
    /// A ticket that we gave away was spent.
    Spent {
        /// The key of the operation that gave it away.
        key: String,
        /// The mint.
        mint: MintAddress,
        /// The unit.
        unit: Unit,
        /// In the base of the unit.
        amount: u64,
        /// True: it was locked to its holder, so it was used. False: it was claimed.
        used: bool,
    },
    /// A ticket that a gate let in while it was offline turned out to be worth nothing.
    Refused {
        /// The name of the admission.
        admission: String,
        /// Why.
        code: crate::primitives::ErrorCode,
    },
}

impl TicketEvent {
    /// The event of a given proof that is spent, as it is stored.
    pub(super) fn used(row: &ProofRow, mint: &MintAddress) -> Result<String, CashuError> {
        let proof: Proof =
            serde_json::from_str(&row.body).map_err(|_| StorageError::Corrupt { what: "proof" })?;
        let event = Self::Spent {
            key: row.operation.clone().unwrap_or_default(),
            mint: mint.clone(),
            unit: row.unit.parse()?,
            amount: row.amount,
            used: is_locked(&proof),
        };
        serde_json::to_string(&event).map_err(CashuError::protocol)
    }
}

impl TicketWallet {
    /// Asks the mints about everything that was given away; returns how many proofs were found
    /// spent. A mint that does not answer is asked once, and then passed over.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn watch(&self) -> Result<usize, CashuError> {
        let mut after = None;
        let mut found = 0;
        let mut silent = HashSet::new();
        loop {
            let given = self.0.store.given(after, AT_ONCE).await?;
            let Some(last) = given.last() else { return Ok(found) };
            after = Some(last.y);
            let mut mints: Vec<String> = given.iter().map(|row| row.mint.clone()).collect();
            mints.sort();
            mints.dedup();
            for mint in mints {
                let Ok(mint) = mint.parse::<MintAddress>() else { continue };
                if silent.contains(&mint) {
                    continue;
                }
                let of_mint: Vec<_> =
                    given.iter().filter(|row| row.mint == mint.as_str()).collect();
                match self.0.note_spent(&mint, &of_mint).await {
                    Ok(count) => found += count,
                    Err(CashuError::Storage(error)) => return Err(error.into()),
                    Err(error) => {
                        tracing::debug!(%error, "a mint does not say what is spent");
                        silent.insert(mint);
                    }
                }
            }
        }
    }

    /// What happened to tickets, behind a number, in order. Durable; each has a number of its own.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn events(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Timestamp, TicketEvent)>, CashuError> {
        let rows = self.0.store.ticket_events(after, limit).await?;
        rows.into_iter()
            .map(|row| {
                let event = serde_json::from_str(&row.body)
                    .map_err(|_| StorageError::Corrupt { what: "ticket event" })?;
                Ok((row.number, Timestamp::from_secs(row.at), event))
            })
            .collect()
    }
}

impl super::Inner {
    pub(super) async fn note_spent(
        &self,
        mint: &MintAddress,
        given: &[&ProofRow],
    ) -> Result<usize, CashuError> {
        let names: Vec<_> = given.iter().map(|row| row.y).collect();
        let states = self.states_at(mint, &names).await?;
        let mut count = 0;
        for row in given.iter().filter(|row| states.get(&row.y) == Some(&MintState::Spent)) {
            let moves = vec![Move {
                y: row.y,
                from: ProofState::Given,
                to: ProofState::Spent,
                holder: row.operation.clone(),
            }];
            let events = vec![TicketEvent::used(row, mint)?];
            let change = Change { moves, events, ..Change::default() };
            match self.store.apply(change, self.now()).await {
                Ok(()) => count += 1,
                // Somebody took it back or burned it meanwhile.
                Err(StorageError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    }
}
