//! What comes from the wallet: answers, notifications, what it says about itself. Anybody may have
//! written it, and relays may give it late, twice or not at all.

use nostr::Event;
use serde_json::Value;

use super::super::about::About;
use super::super::books;
use super::super::cipher::Cipher;
use super::super::message::{self, Code, Notification, NotificationType, Response};
use super::{Link, State, Waiting};
use crate::wallet::{PaymentState, WalletError, WalletEvent};

impl Link {
    pub(super) fn event(&self, frame: &str) {
        let Ok((_, _, event)) = serde_json::from_str::<(Value, Value, Event)>(frame) else {
            return;
        };
        // Cheap checks first; the signature is worth checking only for what is awaited.
        if event.pubkey != self.wallet {
            return;
        }
        match event.kind.as_u16() {
            message::KIND_RESPONSE => self.response(&event),
            message::KIND_NOTIFICATION_NIP04 | message::KIND_NOTIFICATION_NIP44 => {
                self.notification(&event);
            }
            message::KIND_INFO => self.information(&event),
            _ => {}
        }
    }

    fn response(&self, event: &Event) {
        let awaited =
            {
                let state = self.state();
                event.tags.event_ids().copied().find(|id| {
                    state.waiting.contains_key(id) || state.given_up.get(id) == Some(&false)
                })
            };
        let Some(id) = awaited.filter(|_| event.verify().is_ok()) else { return };
        let answer = match self.sealer.open(&event.content) {
            Ok((cipher, text)) => Response::parse(&text)
                .map(|answer| (cipher, answer))
                .map_err(|_| WalletError::BadAnswer { what: "no nip-47 response".to_owned() }),
            Err(_) => Err(WalletError::BadAnswer { what: "not sealed for us".to_owned() }),
        };
        let mut state = self.state();
        // An answer that we can read proves that the wallet knows this cipher.
        if let Ok((Cipher::Nip44, _)) = &answer {
            self.negotiate(&mut state, Cipher::Nip44);
        }
        let answer = answer.map(|(_, answer)| answer);
        let rejected = matches!(
            &answer,
            Ok(Response { outcome: Err(refusal), .. }) if refusal.code == Code::Unauthorized
        );
        state.pulse.answered(rejected);
        let late = match state.waiting.remove(&id) {
            Some(Waiting { answer: caller, payment, .. }) => {
                // The caller may have gone in this moment.
                let gone = caller.send(answer).is_err();
                gone && payment
            }
            None => true,
        };
        if late {
            state.given_up.insert(id, true);
            drop(state);
            // Whoever watches outgoing payments asks again, and learns how this one ended.
            self.events.send(WalletEvent::Reconnected);
        }
    }

    fn notification(&self, event: &Event) {
        let ours = self.keys.public_key();
        if !event.tags.public_keys().any(|key| *key == ours) || event.verify().is_err() {
            return;
        }
        let Ok((_, text)) = self.sealer.open(&event.content) else { return };
        let Ok(Notification { notification_type, notification }) = Notification::parse(&text)
        else {
            return;
        };
        match notification_type {
            NotificationType::Other(_) => return,
            NotificationType::HoldInvoiceAccepted => {
                self.accepted_hold(&notification);
                return;
            }
            NotificationType::PaymentReceived | NotificationType::PaymentSent => {}
        }
        // The type itself says that it settled; some wallets leave out the state.
        let words = message::Transaction {
            state: Some(notification.state.clone().unwrap_or(message::State::Settled)),
            ..notification
        };
        let Ok(payment) = books::read(&words, None, self.env.now()) else { return };
        if !matches!(payment.state, PaymentState::Settled { .. }) {
            return;
        }
        if self.state().told.insert((notification_type, payment.payment_hash), ()) {
            self.events.send(WalletEvent::Settled(payment));
        }
    }

    fn accepted_hold(&self, words: &message::Transaction) {
        let Ok(payment) = books::read(words, None, self.env.now()) else { return };
        let key = (NotificationType::HoldInvoiceAccepted, payment.payment_hash);
        if payment.state == PaymentState::Pending && self.state().told.insert(key, ()) {
            self.held.send(payment);
        }
    }

    fn information(&self, event: &Event) {
        let older = |state: &State| {
            state.about.as_ref().is_some_and(|about| about.created_at >= event.created_at)
        };
        if older(&self.state()) || event.verify().is_err() {
            return;
        }
        let about = About::from(event);
        {
            let mut state = self.state();
            let cipher = if about.nip44 { Cipher::Nip44 } else { Cipher::Nip04 };
            self.negotiate(&mut state, cipher);
            state.about = Some(about);
        }
        self.informed.send_replace(true);
    }
}
