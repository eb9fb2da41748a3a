//! `[storage]`: where the daemon keeps its data.

use std::path::{Path, PathBuf};

use super::problem::Warning;
use super::values::Values;
use super::{Environment, Flags, locate};

/// Where the daemon keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// The folder. `None` when nothing names one and there is no home directory; `--dev` then
    /// uses a temporary one.
    pub data_dir: Option<PathBuf>,
    /// The database within it.
    pub file: PathBuf,
}

impl StorageConfig {
    pub(super) fn take(
        values: &mut Values,
        environment: &Environment,
        home: Option<&Path>,
        flags: &Flags,
    ) -> Self {
        let file =
            values.text("storage.path").map_or_else(|| PathBuf::from("portal.db"), PathBuf::from);
        let older = values.name_of("database.path");
        if values.text("database.path").is_some() {
            values.warn(Warning::NoEffect {
                name: older,
                why: "it named the database of an older daemon, which is left as it is; \
                      `storage.path` names ours",
            });
        }
        Self { data_dir: locate::data_dir(environment, home, flags), file }
    }

    /// The database, when its place is known.
    #[must_use]
    pub fn database(&self) -> Option<PathBuf> {
        if self.file.is_absolute() {
            return Some(self.file.clone());
        }
        self.data_dir.as_ref().map(|folder| folder.join(&self.file))
    }
}
