//! What the library's errors mean.
//!
//! Its variants say little: a refused connection, too little money and a bug of an operator all
//! come as `SparkError` with a text. So text counts too, and what cannot be told apart counts as
//! unknown, which for a payment means that it may have been sent.

use portal_core::wallet::WalletError;

use crate::codec::{Misfit, Value};
use crate::ffi::Raised;
use crate::library::BreezLibrary;

/// Longer texts of the library are cut.
const MAX_TEXT: usize = 200;

/// A call that the library did not do.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Its own error.
    #[error("{variant}: {text}")]
    Sdk {
        /// The variant of `SdkError`.
        variant: String,
        /// What it says.
        text: String,
    },
    /// It panicked.
    #[error("the library failed: {text}")]
    Panic {
        /// What it says.
        text: String,
    },
    /// It gave or wants something of another form.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Too little money; nothing was sent.
    Insufficient,
    /// There is enough, but not in pieces that can be sent; nothing was sent.
    NoLeaves,
    /// The request is wrong; nothing was sent.
    Invalid,
    /// The operators or the service provider cannot be reached.
    Unreachable,
    /// The same payment is on its way already.
    InFlight,
    /// Anything.
    Unknown,
}

impl CallError {
    /// Reads an error of the library.
    pub(crate) fn read(library: &BreezLibrary, name: &str, raised: Raised) -> Self {
        let bytes = match raised {
            Raised::Panic(text) => return Self::Panic { text: plain(&text) },
            Raised::Error(bytes) => bytes,
        };
        let throws = library.interface.functions.get(name).and_then(|it| it.throws.as_ref());
        let Some(ty) = throws else { return Misfit::at(name).into() };
        match library.interface.decode(ty, &bytes) {
            Ok(Value::Variant(variant, fields)) => {
                let texts = fields.iter().filter_map(|(_, value)| value.as_text());
                let text = plain(&texts.collect::<Vec<_>>().join(" "));
                Self::Sdk { variant, text }
            }
            Ok(_) => Misfit::at(name).into(),
            Err(misfit) => misfit.into(),
        }
    }

    /// Reads variant and text.
    pub(crate) fn meaning(&self) -> Meaning {
        let Self::Sdk { variant, text } = self else { return Meaning::Unknown };
        let text = text.to_ascii_lowercase();
        let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        match variant.as_str() {
            "InsufficientFunds" => Meaning::Insufficient,
            "InvalidInput" | "InvalidUuid" => Meaning::Invalid,
            "NetworkError" => Meaning::Unreachable,
            _ if says(&["insufficient funds"]) => Meaning::Insufficient,
            _ if says(&["failed to select leaves"]) => Meaning::NoLeaves,
            _ if says(&["preimage request already exists", "already in flight"]) => {
                Meaning::InFlight
            }
            _ if says(&[
                "connect",
                "transport error",
                "dns",
                "timed out",
                "timeout",
                "unavailable",
                "error sending request",
            ]) =>
            {
                Meaning::Unreachable
            }
            _ => Meaning::Unknown,
        }
    }

    /// Whether a payment id is simply not known.
    pub(crate) fn not_found(&self) -> bool {
        let Self::Sdk { text, .. } = self else { return false };
        let text = text.to_ascii_lowercase();
        text.contains("not found") || text.contains("no rows")
    }

    /// For a call with which nothing can have been sent.
    pub(crate) fn harmless(&self) -> WalletError {
        let refused =
            |code: &str| WalletError::Refused { code: code.to_owned(), message: self.to_string() };
        match self.meaning() {
            Meaning::Insufficient => refused("INSUFFICIENT_BALANCE"),
            Meaning::NoLeaves => refused("NO_MATCHING_LEAVES"),
            Meaning::Invalid => WalletError::BadRequest { what: self.to_string() },
            Meaning::Unreachable => WalletError::Unreachable,
            Meaning::InFlight | Meaning::Unknown => match self {
                Self::Misfit(misfit) => WalletError::BadAnswer { what: misfit.to_string() },
                Self::Sdk { .. } | Self::Panic { .. } => refused("INTERNAL"),
            },
        }
    }
}

/// One line of text without control characters, of bounded length.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdk(variant: &str, text: &str) -> CallError {
        CallError::Sdk { variant: variant.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn variant_and_text_decide_and_the_rest_is_unknown() {
        for (variant, text, meaning) in [
            ("InsufficientFunds", "", Meaning::Insufficient),
            ("SparkError", "Tree service error: insufficient funds", Meaning::Insufficient),
            ("SparkError", "Failed to select leaves after all retries", Meaning::NoLeaves),
            ("InvalidInput", "x", Meaning::Invalid),
            ("NetworkError", "x", Meaning::Unreachable),
            ("SparkError", "tcp connect error", Meaning::Unreachable),
            ("SparkError", "preimage request already exists", Meaning::InFlight),
            ("SparkError", "graphql error: boom", Meaning::Unknown),
            ("Generic", "", Meaning::Unknown),
        ] {
            assert_eq!(sdk(variant, text).meaning(), meaning, "{variant} {text}");
        }
        assert_eq!(
            CallError::Panic { text: "insufficient funds".into() }.meaning(),
            Meaning::Unknown
        );
        assert_eq!(CallError::from(Misfit::at("x")).meaning(), Meaning::Unknown);
    }

    #[test]
    fn texts_are_one_bounded_line() {
        assert_eq!(plain("a\nb\u{7}c"), "a b c");
        assert_eq!(plain(&"x".repeat(1000)).len(), MAX_TEXT);
    }
}
