//! A mistake of ours in one conversation ends there.
//!
//! A message that nobody thought of may make a machine panic. Without this the loop that owns all
//! machines dies with it, and after the restart the message comes again.
//!
//! ```text
//!   step ──▶ machine ──panic──▶ Effect::Fault ──▶ money in it?  no ──▶ (ended, `internal`)
//!                                                               yes ─▶ stays as it is
//! ```
//!
//! Money stays pending: what was promised to whoever has paid is not forgotten because a status
//! could not be read. What the step had done before is kept, so that the store and the table say
//! the same.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Conversation, Effect, Engine, Step};
use crate::event::PortalEvent;
use crate::primitives::{ErrorCode, StreamId};

/// A machine has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Runs something that may panic. What it changed is whole or is removed by whoever calls this.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Fault)
}

impl Engine {
    /// One step of one conversation, or of several that say so with [`Engine::enter`].
    pub(super) fn step(&mut self, work: impl FnOnce(&mut Self, &mut Step)) -> Step {
        let mut step = Step::default();
        self.guard(&mut step, work);
        step
    }

    /// A part of a step.
    pub(super) fn guard(&mut self, step: &mut Step, work: impl FnOnce(&mut Self, &mut Step)) {
        self.entered = None;
        if guarded(|| work(self, step)).is_err() {
            let stream = self.entered.take();
            if let Some(stream) = stream {
                let keep = self.has_money(stream);
                self.contain(stream, keep, step);
            }
            step.effects.push(Effect::Fault(stream));
        }
    }

    /// The first step of a conversation: nothing was promised yet, so that nothing is kept.
    pub(super) fn first_step(
        &mut self,
        stream: StreamId,
        work: impl FnOnce(&mut Self, &mut Step),
    ) -> Step {
        let mut step = Step::default();
        if guarded(|| work(self, &mut step)).is_err() {
            // What it would have sent stands on what is not open.
            step.effects.clear();
            self.contain(stream, false, &mut step);
            step.effects.push(Effect::Fault(Some(stream)));
        }
        step
    }

    /// What follows is done to this conversation.
    pub(super) fn enter(&mut self, stream: StreamId) {
        self.entered = Some(stream);
        #[cfg(any(test, feature = "testing"))]
        if let Some(left) = self.poisoned.get_mut(&stream) {
            let before = *left;
            *left = left.saturating_sub(1);
            assert_eq!(before, 0, "on purpose: a fault in a conversation");
        }
    }

    /// Whether money hangs on it: a payment, a refund, who owns a subscription, and what collects
    /// the closes of all of them; money from strangers, and what tells of it.
    fn has_money(&self, stream: StreamId) -> bool {
        match self.get(stream) {
            Some(
                Conversation::Payment(_)
                | Conversation::Refund(_)
                | Conversation::Subscription(_)
                | Conversation::WalkIn(_)
                | Conversation::Closes
                | Conversation::Receipts,
            ) => true,
            Some(
                Conversation::Handshake(_)
                | Conversation::Ask(_)
                | Conversation::Send(_)
                | Conversation::Answer(_),
            )
            | None => false,
        }
    }

    fn contain(&mut self, stream: StreamId, keep: bool, step: &mut Step) {
        let contained = guarded(|| {
            self.enter(stream);
            if keep {
                self.save(stream, step);
                return;
            }
            let reason = "a fault inside".to_owned();
            self.append(stream, PortalEvent::Error { code: ErrorCode::Internal, reason }, step);
            self.end(stream, step);
        });
        if contained.is_err() && !keep {
            // Not even that: it is forgotten here, and after a restart it is tried again.
            self.forget(stream);
            step.effects.push(Effect::Ended(stream));
        }
        self.entered = None;
    }

    /// Takes a conversation out without looking at it. A route to it leads nowhere.
    fn forget(&mut self, stream: StreamId) {
        self.talkers.remove(&stream);
        if let Some(deadline) = self.table.remove(&stream).and_then(|entry| entry.deadline) {
            self.deadlines.remove(&(deadline, stream));
        }
    }

    /// The next so many times that this conversation does something it panics.
    #[cfg(any(test, feature = "testing"))]
    pub fn poison(&mut self, stream: StreamId, times: u32) {
        self.poisoned.insert(stream, times);
    }
}
