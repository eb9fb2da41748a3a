//! Subscriptions in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::MemoryStore;
use crate::primitives::{StreamId, Timestamp};
use crate::storage::schedule::{
    AuthorizationRecord, AuthorizationStore, ChargeRecord, ScheduleFilter, ScheduleRecord,
    ScheduleStore,
};
use crate::storage::{StorageError, Write};

/// What there is of subscriptions.
#[derive(Default)]
pub(super) struct Schedules {
    records: BTreeMap<StreamId, ScheduleRecord>,
    due: BTreeSet<(Timestamp, StreamId)>,
    charges: BTreeMap<(StreamId, u32), ChargeRecord>,
    authorizations: BTreeMap<String, AuthorizationRecord>,
}

impl Schedules {
    /// Whether the stream is that of a schedule that has not ended.
    pub(super) fn is_open(&self, stream: StreamId) -> bool {
        self.records.get(&stream).is_some_and(|record| record.ended_at.is_none())
    }

    /// Looks for conflicts of the charges in a batch, also within it.
    pub(super) fn check(&self, batch: &[Write]) -> Result<(), StorageError> {
        let mut seen: BTreeMap<(StreamId, u32), &ChargeRecord> = BTreeMap::new();
        for write in batch {
            let Write::PutCharge(charge) = write else { continue };
            let place = (charge.schedule, charge.period);
            let stored = seen.get(&place).copied().or_else(|| self.charges.get(&place));
            if stored.is_some_and(|stored| !charge.may_replace(stored)) {
                let what = format!("charge {} of {}", charge.period, charge.schedule);
                return Err(StorageError::Conflict { what });
            }
            seen.insert(place, charge);
        }
        Ok(())
    }

    /// Applies a write of this domain; anything else is none of its business.
    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::PutSchedule(record) => {
                self.unlist(record.stream);
                if let Some(due) = record.due_at {
                    self.due.insert((due, record.stream));
                }
                self.records.insert(record.stream, record);
            }
            Write::RemoveSchedule(stream) => self.remove(stream),
            Write::PutCharge(charge) => {
                self.charges.insert((charge.schedule, charge.period), charge);
            }
            Write::PutAuthorization(record) => {
                self.authorizations.insert(record.subscription_id.clone(), record);
            }
            _ => {}
        }
    }

    /// Forgets schedules that ended before, with their charges; returns the number of rows.
    pub(super) fn prune(&mut self, before: Timestamp) -> usize {
        let rows = self.records.len() + self.charges.len();
        let ended = |record: &&ScheduleRecord| record.ended_at.is_some_and(|at| at < before);
        let old: Vec<_> = self.records.values().filter(ended).map(|it| it.stream).collect();
        old.into_iter().for_each(|stream| self.remove(stream));
        rows - self.records.len() - self.charges.len()
    }

    fn remove(&mut self, stream: StreamId) {
        self.unlist(stream);
        self.records.remove(&stream);
        self.charges.retain(|(schedule, _), _| *schedule != stream);
    }

    fn unlist(&mut self, stream: StreamId) {
        if let Some(due) = self.records.get(&stream).and_then(|record| record.due_at) {
            self.due.remove(&(due, stream));
        }
    }

    /// Those after a stream, by age.
    fn after(&self, after: Option<StreamId>) -> impl Iterator<Item = &ScheduleRecord> {
        self.records.values().filter(move |record| after.is_none_or(|after| record.stream > after))
    }
}

#[async_trait]
impl ScheduleStore for MemoryStore {
    async fn schedule(&self, stream: StreamId) -> Result<Option<ScheduleRecord>, StorageError> {
        Ok(self.data()?.schedules.records.get(&stream).cloned())
    }

    async fn due_schedules(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<ScheduleRecord>, StorageError> {
        let data = self.data()?;
        let schedules = &data.schedules;
        let due = schedules.due.iter().take_while(|(due, _)| *due <= at).take(limit);
        Ok(due.filter_map(|(_, stream)| schedules.records.get(stream).cloned()).collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StorageError> {
        Ok(self.data()?.schedules.due.first().map(|(due, _)| *due))
    }

    async fn waiting_schedules(
        &self,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<(StreamId, StreamId)>, StorageError> {
        let data = self.data()?;
        let waiting = data.schedules.after(after);
        let waiting = waiting.filter_map(|record| Some((record.stream, record.waits_for?)));
        Ok(waiting.take(limit).collect())
    }

    async fn schedules_named(
        &self,
        subscription_id: &str,
    ) -> Result<Vec<ScheduleRecord>, StorageError> {
        let data = self.data()?;
        let named = data.schedules.records.values();
        let named = named.filter(|record| {
            record.subscription_id == subscription_id && record.ended_at.is_none()
        });
        Ok(named.cloned().collect())
    }

    async fn schedules(
        &self,
        filter: ScheduleFilter,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<ScheduleRecord>, StorageError> {
        let data = self.data()?;
        let listed = data.schedules.after(after).filter(|record| {
            filter.owner.is_none_or(|owner| record.owner == owner)
                && !(filter.open && record.ended_at.is_some())
        });
        Ok(listed.take(limit).cloned().collect())
    }

    async fn charges(
        &self,
        schedule: StreamId,
        below: Option<u32>,
        limit: usize,
    ) -> Result<Vec<ChargeRecord>, StorageError> {
        let data = self.data()?;
        let charges = data.schedules.charges.range((schedule, 0)..=(schedule, u32::MAX));
        let below = charges
            .rev()
            .map(|(_, charge)| charge)
            .filter(|charge| below.is_none_or(|below| charge.period < below));
        Ok(below.take(limit).cloned().collect())
    }
}

#[async_trait]
impl AuthorizationStore for MemoryStore {
    async fn authorization(
        &self,
        subscription_id: &str,
    ) -> Result<Option<AuthorizationRecord>, StorageError> {
        Ok(self.data()?.schedules.authorizations.get(subscription_id).cloned())
    }

    async fn authorizations(&self) -> Result<Vec<AuthorizationRecord>, StorageError> {
        Ok(self.data()?.schedules.authorizations.values().cloned().collect())
    }
}
