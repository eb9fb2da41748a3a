//! The service's side of the table: what people answer.

use super::super::subscription::{Subscription, close_unknown};
use super::{
    Change, Conversation, Effect, Engine, Opened, Refusal, Route, Step, Timestamp, better, kinds,
};
use crate::conversation::ask::{Answered, Ask};
use crate::conversation::payment::Payment;
use crate::conversation::refund::RefundState;
use crate::event::PortalEvent;
use crate::primitives::StreamId;
use crate::protocol::auth::AuthResponse;
use crate::protocol::handshake::KeyHandshake;
use crate::protocol::invoice::InvoiceResponse;
use crate::protocol::payment::PaymentResponse;
use crate::protocol::subscription::{CloseRecurringPayment, RecurringPaymentResponse};
use crate::protocol::ticket::CashuResponse;

impl Engine {
    pub(super) fn receive_reply(
        &mut self,
        opened: &Opened,
        now: Timestamp,
        step: &mut Step,
    ) -> Result<(), Refusal> {
        match opened.kind {
            kinds::KEY_HANDSHAKE => {
                let message: KeyHandshake = opened.message()?;
                self.receive_handshake(opened, &message, now, step)
            }
            kinds::AUTH_RESPONSE => {
                let message: AuthResponse = opened.message()?;
                let route = Route::challenge(&message.challenge);
                self.receive_answer(route, step, |ask| {
                    ask.receive_login(opened, message.clone(), now)
                })
            }
            kinds::PAYMENT_RESPONSE | kinds::PAYMENT_CONFIRMATION => {
                let message: PaymentResponse = opened.message()?;
                let route = Route::request(kinds::PAYMENT_RESPONSE, message.request_id.as_str());
                self.receive_payment(route, step, |payment| {
                    payment.receive(opened, message.clone(), now)
                })
            }
            kinds::RECURRING_RESPONSE => {
                let message: RecurringPaymentResponse = opened.message()?;
                let route = Route::request(opened.kind, message.request_id.as_str());
                self.receive_answer(route, step, |ask| {
                    ask.receive_recurring(opened, message.clone(), now)
                })
            }
            kinds::INVOICE_RESPONSE => {
                let message: InvoiceResponse = opened.message()?;
                let route = Route::request(opened.kind, message.request.inner.request_id.as_str());
                self.receive_answer(route, step, |ask| {
                    ask.receive_invoice(opened, message.clone(), now)
                })
            }
            kinds::CASHU_RESPONSE => {
                let message: CashuResponse = opened.message()?;
                let route = Route::request(opened.kind, message.request.inner.request_id.as_str());
                let check = self.token_check;
                self.receive_answer(route, step, |ask| {
                    ask.receive_cashu(opened, message.clone(), check, now)
                })
            }
            kinds::RECURRING_CLOSE => {
                let message: CloseRecurringPayment = opened.message()?;
                self.receive_close(opened, message, now, step)
            }
            _ => Err(Refusal::WrongKind),
        }
    }

    fn receive_handshake(
        &mut self,
        opened: &Opened,
        message: &KeyHandshake,
        now: Timestamp,
        step: &mut Step,
    ) -> Result<(), Refusal> {
        let mut refusal = Refusal::Unexpected;
        for stream in self.routes.find(Route::token(&message.token)).to_vec() {
            self.enter(stream);
            let Some(Conversation::Handshake(handshake)) = self.get(stream) else { continue };
            match handshake.receive(opened, message, now) {
                Ok(met) => {
                    self.append(stream, met.event, step);
                    if met.ends {
                        self.end(stream, step);
                    } else {
                        self.save(stream, step);
                    }
                    if !met.peer.relays.is_empty() {
                        let relays = met.peer.relays.clone();
                        step.effects.push(Effect::Connect { relays, until: met.connect_until });
                    }
                    step.changes.push(Change::Learn(met.peer));
                    return Ok(());
                }
                Err(reason) => refusal = better(refusal, reason),
            }
        }
        Err(refusal)
    }

    /// Gives an answer to the first open question on the route that it answers.
    fn receive_answer(
        &mut self,
        route: Route,
        step: &mut Step,
        receive: impl Fn(&Ask) -> Result<Answered, Refusal>,
    ) -> Result<(), Refusal> {
        let mut refusal = Refusal::Unexpected;
        for stream in self.routes.find(route).to_vec() {
            self.enter(stream);
            let ask = match self.get(stream) {
                Some(Conversation::Ask(ask)) => ask,
                Some(Conversation::Refund(refund)) if refund.unanswered() => &refund.ask,
                _ => continue,
            };
            match receive(ask) {
                Ok(answered) => {
                    self.answered(stream, answered, step);
                    return Ok(());
                }
                Err(reason) => refusal = better(refusal, reason),
            }
        }
        Err(refusal)
    }

    fn answered(&mut self, stream: StreamId, answered: Answered, step: &mut Step) {
        let owner = match self.table.get_mut(&stream).map(|entry| &mut entry.conversation) {
            Some(Conversation::Ask(ask)) => ask.peer.clone(),
            Some(Conversation::Refund(refund)) => {
                match answered.event {
                    PortalEvent::InvoiceResponse { invoice, .. } => {
                        refund.invoice = Some(invoice);
                        let pay_out = refund.pay_out(stream);
                        self.save(stream, step);
                        self.reindex(stream);
                        step.effects.extend(pay_out);
                    }
                    event => {
                        let counted = refund.counted(stream, RefundState::Void);
                        self.append(stream, event, step);
                        step.changes.push(counted);
                        self.end(stream, step);
                    }
                }
                return;
            }
            _ => return,
        };
        self.append(stream, answered.event, step);
        self.end(stream, step);
        if let Some(peer) = answered.learned {
            step.changes.push(Change::Learn(peer));
        }
        if let Some(subscription_id) = answered.subscription {
            // The request's own stream has ended with its answer. The record of who owns the
            // subscription has a name of its own, made from it, and no events.
            let record = Subscription { subscription_id, owner };
            let stream = record_stream(stream);
            self.admit(stream, Conversation::Subscription(Box::new(record)), 0);
            self.save(stream, step);
        }
    }

    fn receive_payment(
        &mut self,
        route: Route,
        step: &mut Step,
        mut receive: impl FnMut(&mut Payment) -> Result<crate::conversation::payment::Moved, Refusal>,
    ) -> Result<(), Refusal> {
        let mut refusal = Refusal::Unexpected;
        for stream in self.routes.find(route).to_vec() {
            self.enter(stream);
            let Some(Conversation::Payment(payment)) =
                self.table.get_mut(&stream).map(|entry| &mut entry.conversation)
            else {
                continue;
            };
            match receive(payment) {
                Ok(moved) => {
                    self.moved(stream, moved, step);
                    return Ok(());
                }
                Err(reason) => refusal = better(refusal, reason),
            }
        }
        Err(refusal)
    }

    fn receive_close(
        &mut self,
        opened: &Opened,
        message: CloseRecurringPayment,
        now: Timestamp,
        step: &mut Step,
    ) -> Result<(), Refusal> {
        let closes = self.closes.ok_or(Refusal::Unexpected)?;
        if message.by_service {
            return Err(Refusal::Unexpected);
        }
        let known = self.routes.find(Route::subscription(&message.subscription_id)).to_vec();
        let mut closed = None;
        let mut refusal = None;
        for stream in known {
            self.enter(stream);
            let Some(Conversation::Subscription(subscription)) = self.get(stream) else { continue };
            match subscription.close(opened, message.clone()) {
                Ok(event) => closed = Some((event, stream)),
                Err(reason) => refusal = Some(reason),
            }
        }
        let event = match (closed, refusal) {
            (Some((event, stream)), _) => {
                self.enter(stream);
                self.end(stream, step);
                event
            }
            (None, Some(reason)) => return Err(reason),
            (None, None) => {
                self.admit_unknown_close(&message, now)?;
                close_unknown(opened, message)
            }
        };
        self.enter(closes);
        self.append(closes, event, step);
        self.save(closes, step);
        Ok(())
    }
}

/// Closes of unknown subscriptions that are passed on in one minute: each is kept for ever, and
/// anybody can send them.
const UNKNOWN_CLOSES_A_MINUTE: u32 = 60;
/// The longest subscription id and reason of such a close.
const UNKNOWN_CLOSE_BYTES: usize = 1024;

impl Engine {
    fn admit_unknown_close(
        &mut self,
        message: &CloseRecurringPayment,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let reason = message.reason.as_ref().map_or(0, String::len);
        if message.subscription_id.len().max(reason) > UNKNOWN_CLOSE_BYTES {
            return Err(Refusal::TooLarge);
        }
        let minute = now.as_secs() / 60;
        if self.unknown_closes.0 != minute {
            self.unknown_closes = (minute, 0);
        }
        if self.unknown_closes.1 >= UNKNOWN_CLOSES_A_MINUTE {
            return Err(Refusal::TooMany);
        }
        self.unknown_closes.1 = self.unknown_closes.1.saturating_add(1);
        Ok(())
    }
}

fn record_stream(request: StreamId) -> StreamId {
    let mut bytes = request.as_uuid().into_bytes();
    bytes[15] ^= 0xff;
    StreamId::from_uuid(uuid::Uuid::from_bytes(bytes))
}
