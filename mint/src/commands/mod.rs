//! The commands of the program, one file each.

pub mod books;
pub mod check;
pub mod health;
pub mod keys;
pub mod serve;
pub mod tokens;

use std::path::PathBuf;

use anyhow::Context as _;
use portal_mint::config::{self, Config, Environment};
use portal_mint::locate;

/// What every command knows.
pub struct Place {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--json`.
    pub json: bool,
}

/// A configuration with the places it came from and is for.
pub struct Found {
    /// The configuration.
    pub config: Config,
    /// What its owner should hear.
    pub warnings: Vec<String>,
    /// Its file.
    pub file: Option<PathBuf>,
    /// The folder for the data.
    pub folder: PathBuf,
}

impl Place {
    /// Reads the configuration.
    pub fn find(&self) -> anyhow::Result<Found> {
        let environment = environment();
        let home = home();
        let found = locate::config(self.config.as_deref(), &environment, home.as_deref())?;
        let text = found.as_ref().map(|(_, text)| text.as_str());
        let loaded = config::load(text, &environment)?;
        Ok(Found {
            config: loaded.config,
            warnings: loaded.warnings,
            file: found.map(|(path, _)| path),
            folder: self.folder()?,
        })
    }

    /// The folder for the data.
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        locate::data(self.data_dir.as_deref(), &environment(), home().as_deref())
            .context("there is no place for the data: set DATA_DIR or --data-dir")
    }
}

fn environment() -> Environment {
    // What is not Unicode is none of ours; the variables we know are checked for what they are.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// Runs a command that is done soon.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}
