//! The one table from the errors of the core to what apps see.

use portal_core::primitives::ErrorCode as Code;

/// Why a call did not do what it is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum PortalError {
    /// The call failed.
    #[error("{reason}")]
    Failed {
        /// What apps branch on.
        code: ErrorCode,
        /// The number of the code, the same for ever.
        number: u16,
        /// For people who read logs; holds no secrets.
        reason: String,
        /// Whether the same call may succeed later without a change.
        retryable: bool,
    },
}

impl PortalError {
    /// An error with this code.
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self::Failed {
            code: code.into(),
            number: code.number(),
            reason: reason.into(),
            retryable: code.retryable(),
        }
    }

    /// What came in cannot be used.
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, reason)
    }

    /// A fault of ours.
    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::new(Code::Internal, reason)
    }
}

impl From<portal_core::Error> for PortalError {
    fn from(error: portal_core::Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The errors of single domains go through the core's own umbrella.
macro_rules! domains {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for PortalError {
            fn from(error: $error) -> Self {
                portal_core::Error::from(error).into()
            }
        })+
    };
}

domains! {
    portal_core::identity::KeyError,
    portal_core::identity::MnemonicError,
    portal_core::identity::TokenError,
    portal_core::protocol::handshake::HandshakeUrlError,
    portal_core::relay::AddressError,
    portal_core::storage::StorageError,
    portal_core::wallet::WalletError,
}

/// Names every code once: the type that apps see, and the translation without a `_` arm, so that a
/// new code of the core stops the build here.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident,)+) => {
        /// What went wrong, in a form that never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
        pub enum ErrorCode {
            $($(#[$doc])* $code,)+
        }

        impl From<Code> for ErrorCode {
            fn from(code: Code) -> Self {
                match code { $(Code::$code => Self::$code,)+ }
            }
        }
    };
}

codes! {
    /// The first frame of a socket was not `Auth`, or a request had no token.
    Unauthenticated,
    /// The token is wrong.
    AuthFailed,
    /// Too many attempts; wait and try again.
    RateLimited,
    /// The request cannot be read.
    InvalidRequest,
    /// There is no such command.
    UnknownCommand,
    /// Not a public or secret key in hex, npub or nsec form.
    InvalidKey,
    /// Not a URL that can be used here.
    InvalidUrl,
    /// Not a calendar expression.
    InvalidCalendar,
    /// The amount is zero, too large or in an unknown unit.
    InvalidAmount,
    /// The moment or duration is out of range.
    InvalidTime,
    /// The JWT or handshake token is malformed, expired or wrongly signed.
    InvalidToken,
    /// The Lightning invoice is malformed, expired or not what was asked for.
    InvalidInvoice,
    /// The message is larger than the protocol can carry.
    TooLarge,
    /// The subkey proof does not fit its key, is expired or lacks the permission.
    InvalidSubkeyProof,
    /// The mnemonic is not valid.
    InvalidMnemonic,
    /// The address is private, or otherwise not one that strangers may name.
    ForbiddenAddress,
    /// There is no such thing.
    NotFound,
    /// There is no such stream.
    StreamNotFound,
    /// The idempotency key was used with another command.
    IdempotencyConflict,
    /// This needs something that is not set up, such as a wallet or a mint.
    NotConfigured,
    /// The deadline passed without an answer.
    Timeout,
    /// The person said no.
    Declined,
    /// The call was given up by its caller or by a shutdown.
    Cancelled,
    /// A limit on open things is reached.
    TooMany,
    /// The answer came already.
    AlreadyAnswered,
    /// No relay can be reached.
    RelayUnreachable,
    /// Every relay refused the message.
    RelayRefused,
    /// The message is queued, no relay has it yet.
    NotDelivered,
    /// The wallet cannot be reached.
    WalletUnavailable,
    /// The wallet refused the call.
    WalletRefused,
    /// The payment failed for good.
    PaymentFailed,
    /// The outcome of the payment is not known yet; never pay again.
    PaymentPending,
    /// The wallet holds too little.
    InsufficientFunds,
    /// The wallet cannot do this.
    WalletUnsupported,
    /// The fees would be more than is allowed, or the wallet cannot keep them within it.
    FeeTooHigh,
    /// A limit on spending is reached; it opens again with time.
    SpendingLimit,
    /// The payment was not paid, or there is less left of it than would be given back.
    NotRefundable,
    /// No source quotes the currency.
    RateUnavailable,
    /// The host behind an LNURL or a Lightning address does not answer, or not by the rules.
    RecipientFailed,
    /// The token is of another mint or unit, or worth something else, than was asked for.
    WrongTicket,
    /// The token is spent.
    TicketSpent,
    /// The mint is still busy with the token, or its answer was lost; ask again.
    TicketPending,
    /// The token is locked to another key.
    TicketLocked,
    /// The token has expired.
    TicketExpired,
    /// Tickets of this unit cannot be passed on.
    NotTransferable,
    /// The mint cannot be reached.
    MintUnreachable,
    /// The mint refuses.
    MintRefused,
    /// The mint's answer is not what its keys or the protocol allow.
    MintMisbehaved,
    /// The mint wants another token to let us in.
    MintUnauthorized,
    /// The mint does not have this unit, or does not offer this.
    MintUnsupported,
    /// The key is encrypted and the password is missing or wrong.
    KeyLocked,
    /// Only the main key may do this, and this node runs on a subkey.
    MainKeyRequired,
    /// The database failed.
    StorageFailed,
    /// The database was written by a newer version.
    StorageTooNew,
    /// The service is stopping.
    ShuttingDown,
    /// A fault of ours.
    Internal,
}

/// The word of a code, as the daemon and its clients write it, for example `invalid_key`.
#[uniffi::export]
#[must_use]
pub fn error_word(number: u16) -> Option<String> {
    Code::ALL.iter().find(|code| code.number() == number).map(|code| code.word().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_keeps_its_name_number_and_meaning() {
        for code in Code::ALL {
            let ours = ErrorCode::from(*code);
            assert_eq!(format!("{ours:?}"), format!("{code:?}"));
            let PortalError::Failed { code: shown, number, reason, retryable } =
                PortalError::new(*code, "why");
            assert_eq!((shown, number, retryable), (ours, code.number(), code.retryable()));
            assert_eq!(reason, "why");
            assert_eq!(error_word(number).as_deref(), Some(code.word()));
        }
        assert_eq!(error_word(1), None);
    }

    #[test]
    fn an_error_of_the_core_keeps_its_code_and_says_why() {
        let error = PortalError::from(portal_core::Error::NoRelay);
        let PortalError::Failed { code, number, reason, retryable } = error;
        assert_eq!((code, number, retryable), (ErrorCode::RelayUnreachable, 400, true));
        assert_eq!(reason, "no relay is connected");
    }
}
