//! The table of stable error codes: a word for people and a number for ever.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $word:literal, $retryable:literal;)+) => {
        /// What went wrong, in a form that never changes: apps branch on it.
        ///
        /// Every error of every domain has exactly one code. The numbers are grouped with gaps
        /// and never used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)+
        }

        impl ErrorCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word, for example `invalid_key`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The stable number.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// Whether the same call may succeed later without a change.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)+ }
            }

            /// The code with this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

error_codes! {
    /// The first frame of a socket was not `Auth`, or a request had no token.
    Unauthenticated = 100, "unauthenticated", false;
    /// The token is wrong.
    AuthFailed = 101, "auth_failed", false;
    /// Too many attempts; wait and try again.
    RateLimited = 102, "rate_limited", true;
    /// The request cannot be read.
    InvalidRequest = 200, "invalid_request", false;
    /// There is no such command.
    UnknownCommand = 201, "unknown_command", false;
    /// Not a public or secret key in hex, npub or nsec form.
    InvalidKey = 202, "invalid_key", false;
    /// Not a URL that can be used here.
    InvalidUrl = 203, "invalid_url", false;
    /// Not a calendar expression.
    InvalidCalendar = 204, "invalid_calendar", false;
    /// The amount is zero, too large or in an unknown unit.
    InvalidAmount = 205, "invalid_amount", false;
    /// The moment or duration is out of range.
    InvalidTime = 206, "invalid_time", false;
    /// The JWT or handshake token is malformed, expired or wrongly signed.
    InvalidToken = 207, "invalid_token", false;
    /// The Lightning invoice is malformed, expired or not what was asked for.
    InvalidInvoice = 208, "invalid_invoice", false;
    /// The message is larger than the protocol can carry.
    TooLarge = 209, "too_large", false;
    /// The subkey proof does not fit its key, is expired or lacks the permission.
    InvalidSubkeyProof = 210, "invalid_subkey_proof", false;
    /// The mnemonic is not valid.
    InvalidMnemonic = 211, "invalid_mnemonic", false;
    /// The address is private, or otherwise not one that strangers may name.
    ForbiddenAddress = 212, "forbidden_address", false;
    /// There is no such thing.
    NotFound = 300, "not_found", false;
    /// There is no such stream.
    StreamNotFound = 301, "stream_not_found", false;
    /// The idempotency key was used with another command.
    IdempotencyConflict = 302, "idempotency_conflict", false;
    /// This needs something that is not set up, such as a wallet or a mint.
    NotConfigured = 303, "not_configured", false;
    /// The deadline passed without an answer.
    Timeout = 304, "timeout", true;
    /// The person said no.
    Declined = 305, "declined", false;
    /// The call was given up by its caller or by a shutdown.
    Cancelled = 306, "cancelled", true;
    /// A limit on open things is reached.
    TooMany = 307, "too_many", true;
    /// The answer came already.
    AlreadyAnswered = 308, "already_answered", false;
    /// No relay can be reached.
    RelayUnreachable = 400, "relay_unreachable", true;
    /// Every relay refused the message.
    RelayRefused = 401, "relay_refused", false;
    /// The message is queued, no relay has it yet.
    NotDelivered = 402, "not_delivered", true;
    /// The wallet cannot be reached.
    WalletUnavailable = 500, "wallet_unavailable", true;
    /// The wallet refused the call.
    WalletRefused = 501, "wallet_refused", false;
    /// The payment failed for good.
    PaymentFailed = 502, "payment_failed", false;
    /// The outcome of the payment is not known yet; never pay again.
    PaymentPending = 503, "payment_pending", true;
    /// The wallet holds too little.
    InsufficientFunds = 504, "insufficient_funds", false;
    /// The wallet cannot do this.
    WalletUnsupported = 505, "wallet_unsupported", false;
    /// The fees would be more than is allowed, or the wallet cannot keep them within it.
    FeeTooHigh = 507, "fee_too_high", false;
    /// A limit on spending is reached; it opens again with time.
    SpendingLimit = 508, "spending_limit", true;
    /// The payment was not paid, or there is less left of it than would be given back.
    NotRefundable = 509, "not_refundable", false;
    /// No source quotes the currency.
    RateUnavailable = 510, "rate_unavailable", true;
    /// The host behind an LNURL or a Lightning address does not answer, or not by the rules.
    RecipientFailed = 520, "recipient_failed", true;
    /// The token is of another mint or unit, or worth something else, than was asked for.
    WrongTicket = 540, "wrong_ticket", false;
    /// The token is spent.
    TicketSpent = 541, "ticket_spent", false;
    /// The mint is still busy with the token, or its answer was lost; ask again.
    TicketPending = 542, "ticket_pending", true;
    /// The token is locked to another key.
    TicketLocked = 543, "ticket_locked", false;
    /// The token has expired.
    TicketExpired = 544, "ticket_expired", false;
    /// Tickets of this unit cannot be passed on.
    NotTransferable = 545, "not_transferable", false;
    /// The mint cannot be reached.
    MintUnreachable = 550, "mint_unreachable", true;
    /// The mint refuses.
    MintRefused = 551, "mint_refused", false;
    /// The mint's answer is not what its keys or the protocol allow.
    MintMisbehaved = 552, "mint_misbehaved", false;
    /// The mint wants another token to let us in.
    MintUnauthorized = 553, "mint_unauthorized", false;
    /// The mint does not have this unit, or does not offer this.
    MintUnsupported = 554, "mint_unsupported", false;
    /// The key is encrypted and the password is missing or wrong.
    KeyLocked = 600, "key_locked", false;
    /// Only the main key may do this, and this node runs on a subkey.
    MainKeyRequired = 601, "main_key_required", false;
    /// The database failed.
    StorageFailed = 700, "storage_failed", true;
    /// The database was written by a newer version.
    StorageTooNew = 701, "storage_too_new", false;
    /// The service is stopping.
    ShuttingDown = 800, "shutting_down", true;
    /// A fault of ours.
    Internal = 900, "internal", false;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> serde::Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_word(&word)
            .ok_or_else(|| serde::de::Error::custom(format_args!("unknown error code `{word}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn the_table_is_what_it_was() {
        let table: Vec<String> = ErrorCode::ALL
            .iter()
            .map(|code| format!("{} {}", code.number(), code.word()))
            .collect();
        let golden = include_str!("error_codes.golden");
        assert_eq!(table.join("\n"), golden.trim_end(), "codes are added, never changed");
        let mut numbers: Vec<_> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
        assert!(numbers.is_sorted());
    }
}
