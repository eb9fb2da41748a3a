//! What can be wrong with a configuration, in sentences that help. No value is ever repeated in
//! them: it could be a secret in the wrong place.

use std::path::PathBuf;

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key nobody knows.
    #[error("the configuration file is wrong in line {line}: {message}")]
    NotToml {
        /// Counted from one.
        line: usize,
        /// What the parser says, without values.
        message: String,
    },
    /// Settings are missing or wrong.
    #[error("the configuration cannot be used:\n  - {}", list(problems))]
    Invalid {
        /// All of them.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It has the wrong form.
    #[error("{name} must be {expected}")]
    WrongForm {
        /// The key or the variable.
        name: String,
        /// The right form.
        expected: &'static str,
    },
    /// It is needed.
    #[error("{name} is missing: {why}")]
    Missing {
        /// The key.
        name: &'static str,
        /// What for.
        why: &'static str,
    },
    /// Nobody knows it.
    #[error("{name} is not a setting")]
    Unknown {
        /// The key or the variable.
        name: String,
    },
    /// It contradicts something else.
    #[error("{name}: {why}")]
    Conflict {
        /// The key.
        name: String,
        /// With what.
        why: &'static str,
    },
    /// The token of the documentation.
    #[error("{name} is the example from the documentation: make one with `portal-mint token new`")]
    Placeholder {
        /// The key.
        name: String,
    },
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  - ")
}

impl ConfigError {
    /// What the parser of TOML says, without the values it repeats.
    pub(super) fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count();
        let message = error.message();
        let message = match message.split_once(", expected ") {
            Some((wrong, expected)) if wrong.starts_with("invalid") => {
                format!("expected {expected}")
            }
            _ if message.starts_with("invalid") => "a value of the wrong kind".to_owned(),
            _ => message.to_owned(),
        };
        Self::NotToml { line: line.saturating_add(1), message }
    }
}
