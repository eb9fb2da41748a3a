//! `[logging]`: what is logged.

use super::values::Values;

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggingConfig {
    /// Used when `RUST_LOG` is not set.
    pub filter: Option<String>,
}

impl LoggingConfig {
    pub(super) fn take(values: &mut Values) -> Self {
        Self { filter: values.text("logging.filter") }
    }
}
