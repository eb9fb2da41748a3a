//! What can be wrong with a configuration, in sentences that help. No value is ever repeated in
//! them: it could be a secret in the wrong place.

use std::path::PathBuf;

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("line {line} of the configuration file is not TOML: {message}")]
    NotToml {
        /// Counted from 1.
        line: usize,
        /// What the parser says, without the text of the line.
        message: String,
    },
    /// The file or the environment says something that cannot be.
    #[error("the configuration cannot be used:\n{}", list(.problems))]
    Invalid {
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n")
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nobody knows this key.
    #[error("there is no setting {name}{}", hint.as_ref().map(|hint| format!("; did you mean {hint}?")).unwrap_or_default())]
    Unknown {
        /// As it was written.
        name: String,
        /// The nearest that exists, in the same form.
        hint: Option<String>,
    },
    /// The value has the wrong form.
    #[error("{name} must be {expected}")]
    WrongForm {
        /// As it was written.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The value is needed and not there.
    #[error("{key} is not set: {help}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// The token is the one of an example.
    #[error(
        "{name} is the placeholder of an example, so everyone knows it: choose your own, for instance with `openssl rand -hex 32`"
    )]
    Placeholder {
        /// As it was written.
        name: String,
    },
}

/// Something odd that does not keep the daemon from starting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The token can be guessed.
    #[error(
        "the authentication token is weak ({why}): anyone who guesses it can take and send payments; use at least 32 random characters, for instance from `openssl rand -hex 32`"
    )]
    WeakToken {
        /// In which way.
        why: &'static str,
    },
    /// Set, understood, and without effect here.
    #[error("{name} has no effect: {why}")]
    NoEffect {
        /// As it was written.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// Two names of one setting are both set.
    #[error("{winner} and {loser} set the same thing; {winner} is used")]
    Twice {
        /// The name whose value counts.
        winner: String,
        /// The name whose value does not.
        loser: String,
    },
    /// Payments were asked for with a wallet that this build does not have.
    #[error("{what}")]
    WalletMissing {
        /// The sentence that payment commands answer as well.
        what: &'static str,
    },
}
