//! How the end of a stream becomes the answer of the command that opened it.

use std::time::Duration;

use portal_core::event::PortalEvent;
use portal_core::primitives::{ErrorCode, StreamId};
use portal_core::protocol::subscription::RecurringStatus;

use super::{
    Reply, Result, authenticate_key, close_recurring_payment, request_cashu, request_invoice,
    request_recurring_payment, send_cashu_direct,
};
use crate::error::CommandError;

/// How long a message without an answer may look for a relay before its sender hears that it is
/// only queued.
pub const DELIVERY_LIMIT: Duration = Duration::from_secs(10);

/// Which answer a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of `AuthenticateKey`.
    Authenticate,
    /// Of `RequestRecurringPayment`.
    Recurring {
        /// The stream of the subscription, when it is charged by the schedule.
        schedule: Option<StreamId>,
    },
    /// Of `CloseRecurringPayment`.
    CloseRecurring,
    /// Of `RequestInvoice`.
    Invoice,
    /// Of `RequestCashu`.
    Cashu,
    /// Of `SendCashuDirect`.
    SendCashu,
}

impl Answer {
    /// What stands before the text when it fails.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Authenticate => "Failed to authenticate key",
            Self::Recurring { .. } => "Failed to request recurring payment",
            Self::CloseRecurring => "Failed to close recurring payment",
            Self::Invoice => "Failed to request invoice",
            Self::Cashu => "Failed to request cashu",
            Self::SendCashu => "Failed to send cashu direct",
        }
    }

    /// How long to wait for the end of the stream; `None` when the stream itself has a deadline.
    #[must_use]
    pub const fn limit(self) -> Option<Duration> {
        match self {
            Self::CloseRecurring | Self::SendCashu => Some(DELIVERY_LIMIT),
            Self::Authenticate | Self::Recurring { .. } | Self::Invoice | Self::Cashu => None,
        }
    }

    /// The answer when the limit has passed.
    #[must_use]
    pub fn too_late(self) -> CommandError {
        CommandError::new(ErrorCode::NotDelivered, "no relay has the message yet, it is queued")
            .during(self.what())
    }

    /// The answer when the stream has ended and there was none.
    #[must_use]
    pub fn unanswered(self) -> CommandError {
        CommandError::new(ErrorCode::NotFound, "the stream has ended without an answer")
            .during(self.what())
    }

    /// The answer that an event is; `None` when it is not the end yet.
    pub fn answer_in(self, event: &PortalEvent) -> Option<Result<Reply>> {
        match (self, event) {
            (_, PortalEvent::Error { code, reason }) => Some(Err(self.ended(*code, reason))),
            (
                Self::Authenticate,
                PortalEvent::AuthenticateKey { user_key, recipient, challenge, status },
            ) => {
                let event = authenticate_key::Answered {
                    user_key: *user_key,
                    recipient: *recipient,
                    challenge: challenge.clone(),
                    status: status.clone(),
                };
                Some(Ok(authenticate_key::Reply { event }.into()))
            }
            (Self::Recurring { schedule }, PortalEvent::RecurringPaymentResponse { status }) => {
                let confirmed = matches!(status.status, RecurringStatus::Confirmed { .. });
                let reply = request_recurring_payment::Reply {
                    status: status.clone(),
                    schedule_stream_id: schedule.filter(|_| confirmed),
                };
                Some(Ok(reply.into()))
            }
            (Self::Invoice, PortalEvent::InvoiceResponse { invoice, payment_hash }) => {
                let (invoice, payment_hash) = (invoice.clone(), payment_hash.clone());
                Some(Ok(request_invoice::Reply { invoice, payment_hash }.into()))
            }
            (Self::Cashu, PortalEvent::CashuResponse { status }) => {
                Some(Ok(request_cashu::Reply { status: status.clone() }.into()))
            }
            (
                Self::CloseRecurring | Self::SendCashu,
                PortalEvent::Delivery { delivered, refused, queued },
            ) => self.answer_in_delivery(delivered, refused, *queued),
            _ => event.is_final().then(|| {
                Err(CommandError::new(ErrorCode::Internal, "the answer makes no sense")
                    .during(self.what()))
            }),
        }
    }

    fn answer_in_delivery(
        self,
        delivered: &[String],
        refused: &[(String, String)],
        queued: bool,
    ) -> Option<Result<Reply>> {
        if !delivered.is_empty() {
            return Some(Ok(match self {
                Self::CloseRecurring => {
                    close_recurring_payment::Reply { message: "Recurring payment closed" }.into()
                }
                Self::Authenticate
                | Self::Recurring { .. }
                | Self::Invoice
                | Self::Cashu
                | Self::SendCashu => {
                    send_cashu_direct::Reply { message: "Cashu direct sent" }.into()
                }
            }));
        }
        if queued {
            return None;
        }
        let error = if refused.is_empty() {
            CommandError::new(ErrorCode::NotDelivered, "no relay took the message")
        } else {
            CommandError::new(ErrorCode::RelayRefused, "every relay refused the message")
        };
        Some(Err(error.during(self.what())))
    }

    fn ended(self, code: ErrorCode, reason: &str) -> CommandError {
        let text = if code == ErrorCode::Timeout { "Timeout" } else { reason };
        CommandError::new(code, text).during(self.what())
    }
}

#[cfg(test)]
mod tests {
    use nostr::PublicKey;
    use portal_core::protocol::auth::AuthStatus;
    use portal_core::protocol::ticket::CashuStatus;
    use serde_json::json;

    use super::*;

    fn key() -> PublicKey {
        PublicKey::parse("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
            .expect("a key")
    }

    #[test]
    fn a_login_is_answered_in_the_form_of_old() {
        let event = PortalEvent::AuthenticateKey {
            user_key: key(),
            recipient: key(),
            challenge: "c".into(),
            status: AuthStatus::Declined { reason: None },
        };
        let reply = Answer::Authenticate.answer_in(&event).expect("final").expect("an answer");
        assert_eq!(
            serde_json::to_value(&reply).expect("serialises"),
            json!({"type": "auth_response", "event": {"user_key": key(), "recipient": key(),
                "challenge": "c", "status": {"status": "declined", "reason": null}}})
        );
    }

    #[test]
    fn an_end_without_an_answer_is_an_error_with_the_text_of_old() {
        let event =
            PortalEvent::Error { code: ErrorCode::Timeout, reason: "nobody answered".into() };
        let error = Answer::Authenticate.answer_in(&event).expect("final").expect_err("an error");
        assert_eq!(error.message, "Failed to authenticate key: Timeout");
        assert_eq!((error.code, error.retryable), (ErrorCode::Timeout, true));
    }

    #[test]
    fn only_a_relay_that_took_the_message_makes_a_success() {
        let delivery = |delivered: &[&str], refused: &[&str], queued| PortalEvent::Delivery {
            delivered: delivered.iter().map(|relay| (*relay).to_owned()).collect(),
            refused: refused.iter().map(|relay| ((*relay).to_owned(), "no".into())).collect(),
            queued,
        };
        let read = |event| Answer::SendCashu.answer_in(&event);
        let sent = read(delivery(&["wss://a"], &["wss://b"], false)).expect("final");
        assert_eq!(
            serde_json::to_value(sent.expect("sent")).expect("serialises"),
            json!({"type": "send_cashu_direct_success", "message": "Cashu direct sent"})
        );
        assert!(read(delivery(&[], &[], true)).is_none(), "wait for the limit");
        let code = |event| read(event).expect("final").expect_err("not sent").code;
        assert_eq!(code(delivery(&[], &["wss://b"], false)), ErrorCode::RelayRefused);
        assert_eq!(code(delivery(&[], &[], false)), ErrorCode::NotDelivered);
        let late = Answer::SendCashu.too_late();
        assert_eq!((late.code, late.retryable), (ErrorCode::NotDelivered, true));
        let closed = Answer::CloseRecurring.answer_in(&delivery(&["wss://a"], &[], false));
        assert_eq!(
            serde_json::to_value(closed.expect("final").expect("sent")).expect("serialises"),
            json!({"type": "close_recurring_payment_success", "message": "Recurring payment closed"})
        );
    }

    #[test]
    fn an_event_of_another_conversation_is_no_answer() {
        let event = PortalEvent::CashuResponse { status: CashuStatus::InsufficientFunds };
        let error = Answer::Invoice.answer_in(&event).expect("final").expect_err("an error");
        assert_eq!(error.code, ErrorCode::Internal);
        let reply = Answer::Cashu.answer_in(&event).expect("final").expect("an answer");
        assert_eq!(
            serde_json::to_value(&reply).expect("serialises"),
            json!({"type": "cashu_response", "status": {"status": "insufficient_funds"}})
        );
    }
}
