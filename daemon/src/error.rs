//! The one error that callers of the daemon see, whichever way they ask, and the one table that
//! turns codes into HTTP statuses. No arm catches "all others": a new code stops the build until
//! someone decides what users see.

use axum::http::StatusCode;
use portal_core::primitives::ErrorCode;
use serde::Serialize;
use serde_json::Value;

/// The longest text about a frame that cannot be read, in characters.
const MAX_DETAIL: usize = 300;

/// Why a command failed: a stable code, a text for people, and whether trying again can help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// The stable code.
    pub code: ErrorCode,
    /// For people. Older clients look at how it begins.
    pub message: String,
    /// Whether the same command may succeed later without a change.
    pub retryable: bool,
    /// For programs, when there is more to say: what has to be paid, for example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Value>>,
}

impl CommandError {
    /// An error with this code and text.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.retryable(), details: None }
    }

    /// Puts what was tried before the text: `Failed to pay invoice: …`.
    #[must_use]
    pub fn during(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// The frame or its parameters cannot be read.
    #[must_use]
    pub fn unreadable(detail: impl std::fmt::Display) -> Self {
        // The detail may repeat what was sent, and that may be a megabyte.
        let detail: String = detail.to_string().chars().take(MAX_DETAIL).collect();
        Self::new(ErrorCode::InvalidRequest, format!("Invalid command format: {detail}"))
    }

    /// Something else came before `Auth`.
    #[must_use]
    pub fn not_authenticated() -> Self {
        Self::new(ErrorCode::Unauthenticated, "Not authenticated")
    }

    /// The token is wrong.
    #[must_use]
    pub fn authentication_failed() -> Self {
        Self::new(ErrorCode::AuthFailed, "Authentication failed")
    }

    /// The daemon is stopping.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::new(ErrorCode::ShuttingDown, "the daemon is shutting down")
    }

    /// The HTTP status that says the same.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.code {
            ErrorCode::Unauthenticated | ErrorCode::AuthFailed => StatusCode::UNAUTHORIZED,
            ErrorCode::RateLimited | ErrorCode::TooMany => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::InvalidRequest
            | ErrorCode::UnknownCommand
            | ErrorCode::InvalidKey
            | ErrorCode::InvalidUrl
            | ErrorCode::InvalidCalendar
            | ErrorCode::InvalidAmount
            | ErrorCode::InvalidTime
            | ErrorCode::InvalidToken
            | ErrorCode::InvalidInvoice
            | ErrorCode::InvalidSubkeyProof
            | ErrorCode::InvalidMnemonic
            | ErrorCode::ForbiddenAddress
            | ErrorCode::NotConfigured
            | ErrorCode::WrongTicket
            | ErrorCode::TicketSpent
            | ErrorCode::TicketLocked
            | ErrorCode::TicketExpired
            | ErrorCode::NotTransferable => StatusCode::BAD_REQUEST,
            ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::NotFound | ErrorCode::StreamNotFound => StatusCode::NOT_FOUND,
            ErrorCode::IdempotencyConflict | ErrorCode::AlreadyAnswered => StatusCode::CONFLICT,
            ErrorCode::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Timeout
            | ErrorCode::Declined
            | ErrorCode::Cancelled
            | ErrorCode::RelayUnreachable
            | ErrorCode::RelayRefused
            | ErrorCode::NotDelivered
            | ErrorCode::WalletUnavailable
            | ErrorCode::WalletRefused
            | ErrorCode::PaymentFailed
            | ErrorCode::PaymentPending
            | ErrorCode::InsufficientFunds
            | ErrorCode::WalletUnsupported
            | ErrorCode::FeeTooHigh
            | ErrorCode::SpendingLimit
            | ErrorCode::NotRefundable
            | ErrorCode::RateUnavailable
            | ErrorCode::RecipientFailed
            | ErrorCode::TicketPending
            | ErrorCode::MintUnreachable
            | ErrorCode::MintRefused
            | ErrorCode::MintMisbehaved
            | ErrorCode::MintUnauthorized
            | ErrorCode::MintUnsupported
            | ErrorCode::KeyLocked
            | ErrorCode::MainKeyRequired
            | ErrorCode::StorageFailed
            | ErrorCode::StorageTooNew
            | ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The core's own text is for people and free of secrets.
impl From<portal_core::Error> for CommandError {
    fn from(error: portal_core::Error) -> Self {
        let code = error.code();
        let message =
            if code == ErrorCode::Timeout { "Timeout".to_owned() } else { error.to_string() };
        Self { details: details_of(&error).map(Box::new), ..Self::new(code, message) }
    }
}

/// What a program needs to go on after an error.
#[cfg(feature = "cashu")]
fn details_of(error: &portal_core::Error) -> Option<Value> {
    match error {
        portal_core::Error::Cashu(portal_core::cashu::CashuError::Unpaid { request }) => {
            Some(serde_json::json!({"request": request}))
        }
        _ => None,
    }
}

#[cfg(not(feature = "cashu"))]
const fn details_of(_: &portal_core::Error) -> Option<Value> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status_and_keeps_its_word() {
        for code in ErrorCode::ALL {
            let error = CommandError::new(*code, "x");
            assert!(error.status().is_client_error() || error.status().is_server_error());
            let json = serde_json::to_value(&error).expect("serialises");
            assert_eq!(json["code"], code.word());
            assert_eq!(json["retryable"], code.retryable());
        }
    }

    #[test]
    fn a_long_frame_is_not_sent_back_whole() {
        let error = CommandError::unreadable("€".repeat(10_000));
        assert!(error.message.chars().count() < 350);
    }

    #[test]
    fn what_was_tried_stands_before_the_text() {
        let error =
            CommandError::new(ErrorCode::Timeout, "Timeout").during("Failed to authenticate key");
        assert_eq!(error.message, "Failed to authenticate key: Timeout");
        assert!(error.retryable);
    }
}
