//! Why something about tickets did not work.

use crate::keystore::KeyStoreError;
use crate::primitives::ErrorCode;
use crate::relay::AddressError;
use crate::storage::StorageError;

/// Why something about tickets did not work.
///
/// Every error is one of three kinds, see [`CashuError::outcome`]: nothing happened, it is not
/// known yet, or the token is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum CashuError {
    /// Not the address of a mint.
    #[error("not the address of a mint: {reason}")]
    MintAddress {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The mint is where strangers must not send us.
    #[error("this mint may not be used")]
    ForbiddenMint(#[source] AddressError),
    /// Not a token.
    #[error("not a token: {reason}")]
    InvalidToken {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A token, an answer or an operation with more than is handled.
    #[error("too large: {what} has {found}, at most {most} are possible")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How many or how long.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// The token is of another mint.
    #[error("the token is of another mint")]
    WrongMint,
    /// The token is of another unit.
    #[error("the token is of another unit")]
    WrongUnit,
    /// The token has another amount.
    #[error("the token is worth {found}, {expected} was asked for")]
    WrongAmount {
        /// What was asked for, in the base of the unit.
        expected: u64,
        /// What it is worth.
        found: u64,
    },
    /// An amount of zero, or one that this unit cannot be split into.
    #[error("the amount is not possible: {reason}")]
    Amount {
        /// Why not.
        reason: &'static str,
    },
    /// The mint does not allow this amount (11006).
    #[error("the mint does not allow this amount")]
    AmountLimits,
    /// The mint has no such unit (11013).
    #[error("the mint does not have this unit")]
    UnsupportedUnit,
    /// The mint offers no way to do this.
    #[error("the mint does not offer {what}")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// The proofs are spent (11001).
    #[error("the token is spent")]
    Spent,
    /// The mint is still busy with the proofs (11002), or its answer was lost. Ask again.
    #[error("the outcome is not known yet")]
    Pending,
    /// The wallet holds too little of this unit.
    #[error("the wallet holds {available} of this unit")]
    InsufficientFunds {
        /// What could be given, in the base of the unit.
        available: u64,
    },
    /// The token is locked to a key that is not ours.
    #[error("the token is locked to another key")]
    Locked,
    /// The lock is of a kind that is not handled.
    #[error("the token has a lock of an unknown kind")]
    UnknownLock,
    /// The keyset has ended with its event (12003).
    #[error("the token has expired")]
    Expired,
    /// The mint does not know the keyset (12001).
    #[error("the mint does not know the keyset of the token")]
    UnknownKeyset,
    /// A mint says of a keyset what cannot be, or something else than before.
    #[error("the mint is wrong about its keyset: {reason}")]
    LyingKeyset {
        /// In which way.
        reason: &'static str,
    },
    /// The signatures are not of the mint's keys, or not for what was asked.
    #[error("the signatures are not those of the mint: {reason}")]
    WrongSignature {
        /// In which way.
        reason: &'static str,
    },
    /// The mint does not let us (30001 and its like).
    #[error("the mint wants another token to let us in")]
    Unauthorized,
    /// The quote is not paid yet (20001).
    #[error("the mint waits for a payment")]
    Unpaid {
        /// What the mint wants to be paid.
        request: String,
    },
    /// The mint says no, for another reason.
    #[error("the mint refuses with code {code}")]
    Refused {
        /// Its code; 0 when it gave none.
        code: u16,
    },
    /// The mint does not answer.
    #[error("the mint cannot be reached")]
    Unreachable,
    /// The mint answers something else than an answer.
    #[error("the mint's answer cannot be read: {reason}")]
    BadAnswer {
        /// In which way.
        reason: &'static str,
    },
    /// The tickets of this unit stay with who got them.
    #[error("tickets of this unit cannot be passed on")]
    NotTransferable,
    /// There is no such operation.
    #[error("there is no such operation")]
    NotFound,
    /// What was sent has been claimed.
    #[error("what was sent has been claimed")]
    Claimed,
    /// The wallet has these proofs already, by another operation.
    #[error("the wallet has this token already")]
    AlreadyHeld,
    /// The caller's key was used for something else.
    #[error("the key was used for something else")]
    Conflict,
    /// No allowance of the person covers this.
    #[error("the person has not allowed this")]
    NotAllowed,
    /// So much that strangers have sent waits for its mints that no more is taken in.
    #[error("{most} gifts wait for their mints already")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// The store is that of another seed.
    #[error("these are the tickets of another mnemonic")]
    OtherSeed,
    /// There is no mnemonic to derive the wallet from.
    #[error("there is no mnemonic to derive the wallet from")]
    NoSeed,
    /// The keystore.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The protocol library refuses what should be possible.
    #[error("the protocol library refuses")]
    Protocol(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is known after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing has moved; the same call may be made again.
    Nothing,
    /// It may have happened. The journal has it, and goes on at the next call with the same key
    /// and at every start.
    Unknown,
    /// The token is worth nothing to us, now and later.
    Worthless,
}

impl CashuError {
    pub(super) fn protocol(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Protocol(Box::new(error))
    }

    /// What is known after this error.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Pending
            | Self::Unreachable
            | Self::BadAnswer { .. }
            | Self::WrongSignature { .. }
            | Self::Unpaid { .. }
            | Self::Storage(_) => Outcome::Unknown,
            Self::InvalidToken { .. }
            | Self::Spent
            | Self::Expired
            | Self::Locked
            | Self::UnknownLock
            | Self::UnknownKeyset
            | Self::AlreadyHeld
            | Self::Claimed => Outcome::Worthless,
            Self::MintAddress { .. }
            | Self::ForbiddenMint(_)
            | Self::TooLarge { .. }
            | Self::WrongMint
            | Self::WrongUnit
            | Self::WrongAmount { .. }
            | Self::Amount { .. }
            | Self::AmountLimits
            | Self::UnsupportedUnit
            | Self::Unsupported { .. }
            | Self::InsufficientFunds { .. }
            | Self::LyingKeyset { .. }
            | Self::Unauthorized
            | Self::Refused { .. }
            | Self::NotTransferable
            | Self::NotFound
            | Self::Conflict
            | Self::NotAllowed
            | Self::TooMany { .. }
            | Self::OtherSeed
            | Self::NoSeed
            | Self::KeyStore(_)
            | Self::Protocol(_) => Outcome::Nothing,
        }
    }

    /// Whether a mint has said no to a quote that we may have paid, for a reason that time does not
    /// change.
    pub(super) const fn is_no(&self) -> bool {
        matches!(
            self,
            Self::Unpaid { .. }
                | Self::Refused { .. }
                | Self::AmountLimits
                | Self::UnsupportedUnit
                | Self::Unsupported { .. }
        )
    }

    /// Whether a gift that meets with this will never be received, whatever time brings.
    pub(super) const fn ends_gift(&self) -> bool {
        matches!(self.outcome(), Outcome::Worthless)
            || matches!(
                self,
                Self::WrongUnit
                    | Self::LyingKeyset { .. }
                    | Self::Amount { .. }
                    | Self::TooLarge { .. }
                    | Self::MintAddress { .. }
            )
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::MintAddress { .. } => ErrorCode::InvalidUrl,
            Self::ForbiddenMint(_) => ErrorCode::ForbiddenAddress,
            Self::InvalidToken { .. } | Self::UnknownLock => ErrorCode::InvalidToken,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::WrongMint | Self::WrongUnit | Self::WrongAmount { .. } => ErrorCode::WrongTicket,
            Self::Amount { .. } | Self::AmountLimits => ErrorCode::InvalidAmount,
            Self::UnsupportedUnit | Self::Unsupported { .. } => ErrorCode::MintUnsupported,
            Self::Spent | Self::Claimed | Self::AlreadyHeld => ErrorCode::TicketSpent,
            Self::Pending | Self::Unpaid { .. } => ErrorCode::TicketPending,
            Self::InsufficientFunds { .. } => ErrorCode::InsufficientFunds,
            Self::Locked => ErrorCode::TicketLocked,
            Self::Expired => ErrorCode::TicketExpired,
            Self::UnknownKeyset | Self::Refused { .. } => ErrorCode::MintRefused,
            Self::LyingKeyset { .. } | Self::WrongSignature { .. } | Self::BadAnswer { .. } => {
                ErrorCode::MintMisbehaved
            }
            Self::Unauthorized => ErrorCode::MintUnauthorized,
            Self::Unreachable => ErrorCode::MintUnreachable,
            Self::NotTransferable => ErrorCode::NotTransferable,
            Self::NotFound => ErrorCode::NotFound,
            Self::Conflict => ErrorCode::IdempotencyConflict,
            Self::NotAllowed => ErrorCode::Declined,
            Self::TooMany { .. } => ErrorCode::TooMany,
            Self::NoSeed | Self::OtherSeed => ErrorCode::InvalidMnemonic,
            Self::KeyStore(error) => match error {
                KeyStoreError::KeyLocked | KeyStoreError::PasswordMissing => ErrorCode::KeyLocked,
                KeyStoreError::InvalidKey | KeyStoreError::Cost { .. } => ErrorCode::InvalidKey,
                KeyStoreError::NotKept => ErrorCode::NotFound,
                KeyStoreError::Backend(_) => ErrorCode::StorageFailed,
            },
            Self::Storage(error) => match error {
                StorageError::TooNew { .. } => ErrorCode::StorageTooNew,
                StorageError::Closed => ErrorCode::ShuttingDown,
                StorageError::Conflict { .. }
                | StorageError::InUse
                | StorageError::Corrupt { .. }
                | StorageError::Backend(_) => ErrorCode::StorageFailed,
            },
            Self::Protocol(_) => ErrorCode::Internal,
        }
    }
}
