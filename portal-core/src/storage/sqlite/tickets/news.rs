//! That something changed, for whoever waits instead of asking again and again; and the names of
//! what was given away, which is what is waited for.

use tokio::sync::watch;

use super::queries::all;
use super::{Change, ProofState, TicketStore, Y};
use crate::storage::StorageError;

/// How often something changed since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Proofs were given away, or came back.
    pub given: u64,
    /// Something is to be told.
    pub events: u64,
}

/// What a change will have changed, if it is written.
#[derive(Clone, Copy)]
pub(super) struct Tells {
    pub(super) given: bool,
    pub(super) events: bool,
}

impl Tells {
    pub(super) fn of(change: &Change) -> Self {
        let given = |state| state == ProofState::Given;
        Self {
            given: change.insert.iter().any(|row| given(row.state))
                || change.moves.iter().any(|step| given(step.from) || given(step.to)),
            events: !change.events.is_empty(),
        }
    }
}

impl TicketStore {
    /// Changes, from now on. It ends with the store.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    pub(super) fn tell(&self, tells: Tells) {
        let Tells { given, events } = tells;
        self.news.send_if_modified(|news| {
            news.given = news.given.wrapping_add(given.into());
            news.events = news.events.wrapping_add(events.into());
            given || events
        });
    }

    /// Mint and name of what was given away, the newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn given_names(&self, limit: usize) -> Result<Vec<(String, Y)>, StorageError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.call(move |transaction| {
            // By mint and unit, for which there is an index: what is spent is the larger part.
            let sql = "SELECT proof.mint, proof.y
                 FROM (SELECT DISTINCT mint, unit FROM keyset) AS place
                 CROSS JOIN proof ON proof.mint = place.mint AND proof.unit = place.unit
                 WHERE proof.state = 2 ORDER BY proof.at DESC LIMIT ?1";
            all(transaction, sql, [limit], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
    }
}
