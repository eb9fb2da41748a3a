//! What the wallet says, and what it changes.

use super::super::payment::Moved;
use super::super::refund::PaidOut;
use super::{Change, Conversation, Engine, Step};
use crate::primitives::{Millisats, StreamId, Timestamp};

impl Engine {
    /// The wallet has the money for an invoice: so much.
    pub fn settled(
        &mut self,
        payment_hash: [u8; 32],
        preimage: Option<&str>,
        amount: Millisats,
    ) -> Step {
        let mut step = Step::default();
        let receipts = self.receipts;
        let mut receipt = None;
        for stream in self.requests_for(payment_hash) {
            self.guard(&mut step, |engine, step| {
                engine.enter(stream);
                if receipts.is_some()
                    && let Some(Conversation::WalkIn(walkin)) = engine.get(stream)
                {
                    receipt = Some(walkin.settled(preimage.map(str::to_owned), amount));
                    engine.end(stream, step);
                    return;
                }
                let Some(Conversation::Payment(payment)) = engine.get(stream) else { return };
                let moved = payment.settled(preimage.map(str::to_owned));
                step.changes.push(Change::Received {
                    stream,
                    main_key: payment.peer.main_key,
                    payment_hash,
                    amount,
                    request: payment.message.to_string(),
                });
                engine.moved(stream, moved, step);
            });
        }
        // In the batch that ends what waited for it: told once, whatever happens meanwhile.
        if let (Some(receipts), Some(event)) = (receipts, receipt) {
            self.append(receipts, event, &mut step);
            self.save(receipts, &mut step);
        }
        step
    }

    /// The wallet answered at `at` that an invoice is not paid.
    pub fn unsettled(&mut self, payment_hash: [u8; 32], at: Timestamp) -> Step {
        let mut step = Step::default();
        for stream in self.requests_for(payment_hash) {
            self.guard(&mut step, |engine, step| {
                engine.enter(stream);
                if let Some(Conversation::Payment(payment)) = engine.get(stream)
                    && let Some(moved) = payment.unsettled(at)
                {
                    engine.moved(stream, moved, step);
                } else if let Some(Conversation::WalkIn(walkin)) = engine.get(stream)
                    && walkin.is_given_up(at)
                {
                    engine.end(stream, step);
                }
            });
        }
        step
    }

    /// Paying the invoice of a refund has ended.
    pub fn paid_out(&mut self, stream: StreamId, outcome: PaidOut) -> Step {
        self.step(|engine, step| {
            engine.enter(stream);
            if let Some(Conversation::Refund(refund)) = engine.get(stream) {
                let (event, state) = refund.over(outcome);
                let counted = refund.counted(stream, state);
                engine.append(stream, event, step);
                step.changes.push(counted);
                engine.end(stream, step);
            }
        })
    }

    pub(super) fn requests_for(&self, payment_hash: [u8; 32]) -> Vec<StreamId> {
        let first = StreamId::from_uuid(uuid::Uuid::nil());
        let last = StreamId::from_uuid(uuid::Uuid::max());
        let range = (payment_hash, first)..=(payment_hash, last);
        self.invoices.range(range).map(|(_, stream)| *stream).collect()
    }

    /// A payment has moved.
    pub(super) fn moved(&mut self, stream: StreamId, moved: Moved, step: &mut Step) {
        let changed = moved.event.is_some();
        if let Some(event) = moved.event {
            self.append(stream, event, step);
        }
        if moved.ended {
            // The wallet need not be told twice: ending unwatches.
            self.end(stream, step);
            return;
        }
        if changed {
            self.save(stream, step);
            self.reindex(stream);
        }
        step.effects.extend(moved.effect);
    }
}
