//! The umbrella over the errors of all domains, and the one code that each has.

use crate::driver::{FetchError, NodeError};
use crate::identity::{KeyError, MnemonicError, Nip05Error, SubkeyError, TokenError};
use crate::keystore::KeyStoreError;
use crate::payments::instructions::{InstructionError, WebError};
use crate::payments::pay::PayError;
use crate::primitives::{ErrorCode, MoneyError};
use crate::protocol::calendar::CalendarError;
use crate::protocol::handshake::HandshakeUrlError;
use crate::rates::RateError;
use crate::rates::check::ClaimError;
use crate::relay::AddressError;
use crate::storage::StorageError;
use crate::subscriptions::{Refused, SchedulerError, TillError};
use crate::wallet::WalletError;

/// Why a call did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The driver.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The wallet.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// A subscription.
    #[error(transparent)]
    Subscription(SchedulerError),
    /// A payment out of the wallet.
    #[error(transparent)]
    Pay(#[from] PayError),
    /// A place to pay to, or its host.
    #[error(transparent)]
    Instruction(#[from] InstructionError),
    /// A secret key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A mnemonic.
    #[error(transparent)]
    Mnemonic(#[from] MnemonicError),
    /// A keystore.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// A subkey proof.
    #[error(transparent)]
    Subkey(#[from] SubkeyError),
    /// A JWT.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A handshake URL.
    #[error(transparent)]
    HandshakeUrl(#[from] HandshakeUrlError),
    /// A calendar expression.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// An amount.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// An exchange rate.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// The price that a request claims.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// An address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A NIP-05 name.
    #[error(transparent)]
    Nip05(#[from] Nip05Error),
    /// A public key that is not a point of the curve.
    #[error("not a public key")]
    InvalidPublicKey,
    /// An amount of zero.
    #[error("the amount must be more than zero")]
    ZeroAmount,
    /// A moment that is over, or too far away.
    #[error("{what} is out of range")]
    OutOfRange {
        /// What.
        what: &'static str,
    },
    /// A text that is empty or too long.
    #[error("{what} must have 1 to {most} bytes")]
    Length {
        /// What.
        what: &'static str,
        /// The most.
        most: usize,
    },
    /// An invoice that cannot be used.
    #[error("the invoice cannot be used: {reason}")]
    InvalidInvoice {
        /// Why.
        reason: &'static str,
    },
    /// A refund of what was not paid, or of more than is left of it.
    #[error("the payment cannot be refunded: {reason}")]
    NotRefundable {
        /// Why.
        reason: &'static str,
    },
    /// Something that is not set up.
    #[error("{what} is not configured")]
    NotConfigured {
        /// What.
        what: &'static str,
    },
    /// No such stream.
    #[error("there is no such stream")]
    StreamNotFound,
    /// No such request.
    #[error("there is no such request, or it is over")]
    RequestNotFound,
    /// The reply does not fit the request.
    #[error("the reply does not fit the request")]
    WrongReply,
    /// The idempotency key was used with another command.
    #[error("the idempotency key was used with another command")]
    IdempotencyConflict,
    /// Only the main key may do this.
    #[error("only the main key may do this; this node runs on a subkey")]
    MainKeyRequired,
    /// No relay is connected.
    #[error("no relay is connected")]
    NoRelay,
    /// Relays refused.
    #[error("every relay refused the event: {reason}")]
    Refused {
        /// The reason one of them gave.
        reason: String,
    },
    /// Relays did not answer.
    #[error("no relay took the event in time")]
    NotDelivered,
    /// A web server did not give what was asked for.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The ticket wallet.
    #[cfg(feature = "cashu")]
    #[error(transparent)]
    Cashu(#[from] crate::cashu::CashuError),
    /// A stream ended without what it was for.
    #[error("{reason}")]
    Ended {
        /// The stable code.
        code: ErrorCode,
        /// For people.
        reason: String,
    },
}

impl Error {
    /// The stable code of this error: what apps branch on.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Node(error) => node(error),
            Self::Storage(error) => error.code(),
            Self::Wallet(error) => error.code(),
            Self::Pay(error) => error.code(),
            Self::Subscription(error) => subscription(error),
            Self::Instruction(error) => instruction(error),
            Self::Key(_) | Self::InvalidPublicKey => ErrorCode::InvalidKey,
            Self::Mnemonic(_) => ErrorCode::InvalidMnemonic,
            Self::KeyStore(error) => key_store(error),
            Self::Subkey(_) => ErrorCode::InvalidSubkeyProof,
            Self::Token(_) => ErrorCode::InvalidToken,
            Self::HandshakeUrl(_) => ErrorCode::InvalidUrl,
            Self::Calendar(_) => ErrorCode::InvalidCalendar,
            Self::Money(_) | Self::ZeroAmount => ErrorCode::InvalidAmount,
            Self::Rate(error) => rate(error),
            Self::Claim(error) => match error {
                ClaimError::InvoiceTooHigh { .. } => ErrorCode::InvalidInvoice,
                ClaimError::UnfairRate | ClaimError::NoPrice(_) => ErrorCode::InvalidAmount,
                ClaimError::Rate(error) => rate(error),
            },
            Self::Address(error) => address(error),
            Self::Nip05(_) | Self::RequestNotFound => ErrorCode::NotFound,
            Self::OutOfRange { .. } => ErrorCode::InvalidTime,
            Self::Length { .. } | Self::WrongReply => ErrorCode::InvalidRequest,
            Self::InvalidInvoice { .. } => ErrorCode::InvalidInvoice,
            Self::NotRefundable { .. } => ErrorCode::NotRefundable,
            Self::NotConfigured { .. } => ErrorCode::NotConfigured,
            Self::StreamNotFound => ErrorCode::StreamNotFound,
            Self::IdempotencyConflict => ErrorCode::IdempotencyConflict,
            Self::MainKeyRequired => ErrorCode::MainKeyRequired,
            Self::NoRelay => ErrorCode::RelayUnreachable,
            Self::Refused { .. } => ErrorCode::RelayRefused,
            Self::NotDelivered => ErrorCode::NotDelivered,
            Self::Fetch(error) => match error {
                FetchError::Address(error) => address(error),
                FetchError::Nip05(_) | FetchError::TooLong | FetchError::Http { .. } => {
                    ErrorCode::NotFound
                }
            },
            #[cfg(feature = "cashu")]
            Self::Cashu(error) => error.code(),
            Self::Ended { code, .. } => *code,
        }
    }
}

const fn subscription(error: &SchedulerError) -> ErrorCode {
    match error {
        SchedulerError::NotFound => ErrorCode::NotFound,
        SchedulerError::Refused(Refused::Amount) => ErrorCode::InvalidAmount,
        SchedulerError::Refused(Refused::Over | Refused::Proposed | Refused::Charged) => {
            ErrorCode::InvalidRequest
        }
        SchedulerError::Till(TillError::Unavailable { .. }) => ErrorCode::ShuttingDown,
        SchedulerError::Till(TillError::Refused { .. }) => ErrorCode::InvalidKey,
        SchedulerError::Till(TillError::Storage(error)) | SchedulerError::Storage(error) => {
            error.code()
        }
    }
}

const fn address(error: &AddressError) -> ErrorCode {
    match error {
        AddressError::Port | AddressError::NotPublic => ErrorCode::ForbiddenAddress,
        AddressError::TooLong
        | AddressError::Malformed
        | AddressError::Scheme
        | AddressError::Credentials
        | AddressError::Fragment
        | AddressError::Host
        | AddressError::Unresolvable => ErrorCode::InvalidUrl,
    }
}

const fn instruction(error: &InstructionError) -> ErrorCode {
    match error {
        InstructionError::Unknown { .. }
        | InstructionError::WrongNetwork
        | InstructionError::Expired => ErrorCode::InvalidInvoice,
        InstructionError::BadAddress => ErrorCode::InvalidUrl,
        InstructionError::Web(WebError::Forbidden) => ErrorCode::ForbiddenAddress,
        InstructionError::Web(WebError::Unreachable | WebError::TooLong)
        | InstructionError::Refused { .. }
        | InstructionError::BadAnswer { .. } => ErrorCode::RecipientFailed,
        InstructionError::Amount { .. } | InstructionError::AmountMissing => {
            ErrorCode::InvalidAmount
        }
        InstructionError::Comment { .. } => ErrorCode::InvalidRequest,
        InstructionError::CannotPay { .. } => ErrorCode::WalletUnsupported,
    }
}

const fn rate(error: &RateError) -> ErrorCode {
    match error {
        RateError::NotQuoted { .. }
        | RateError::Unavailable { .. }
        | RateError::Contradiction { .. } => ErrorCode::RateUnavailable,
        RateError::Money(_) => ErrorCode::InvalidAmount,
    }
}

const fn node(error: &NodeError) -> ErrorCode {
    match error {
        NodeError::Stopped => ErrorCode::ShuttingDown,
        NodeError::Storage(error) => error.code(),
        NodeError::Over => ErrorCode::NotFound,
        NodeError::TooMany => ErrorCode::AlreadyAnswered,
        NodeError::Full => ErrorCode::TooMany,
        NodeError::TooLarge => ErrorCode::TooLarge,
        NodeError::Fault => ErrorCode::Internal,
        NodeError::MistakableToken => ErrorCode::InvalidToken,
    }
}

const fn key_store(error: &KeyStoreError) -> ErrorCode {
    match error {
        KeyStoreError::KeyLocked | KeyStoreError::PasswordMissing => ErrorCode::KeyLocked,
        KeyStoreError::InvalidKey | KeyStoreError::Cost { .. } => ErrorCode::InvalidKey,
        KeyStoreError::NotKept => ErrorCode::NotFound,
        KeyStoreError::Backend(_) => ErrorCode::StorageFailed,
    }
}
