//! The steps about what others wrote and how we write: licences, bans, sources, lock files,
//! spelling.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Job;
use crate::fuzz;
use crate::process;
use crate::setup;

/// How long the network may take to bring the advisory database.
const FETCH: Duration = Duration::from_secs(60);

/// Licences, bans and sources; advisories where their database can be fetched.
pub fn deny(job: &Job) -> Result<()> {
    let deny = setup::cargo_deny(job.workspace, &job.output, job.deadline)?;
    let command = |arguments: &[&str]| job.workspace.command(&deny, ".", arguments);
    job.run(command(&["check", "licenses", "bans", "sources"]))?;
    let fetch = process::run(
        command(&["fetch", "db"]),
        &job.output,
        job.deadline.min(Instant::now() + FETCH),
    );
    if fetch.is_ok() {
        return job.run(command(&["check", "advisories"]));
    }
    job.note("advisories not checked: their database cannot be fetched here")
}

/// The fuzz targets have lock files of their own, which no other step looks at: with stale ones
/// every run would need the network and change the tree.
pub fn locks(job: &Job) -> Result<()> {
    for package in fuzz::PACKAGES {
        let manifest = format!("{package}/Cargo.toml");
        let tree = ["tree", "--locked", "--depth", "0", "--manifest-path", &manifest];
        job.run(job.workspace.cargo(&tree)).with_context(|| {
            format!("if it is stale: `cargo update --workspace --manifest-path {manifest}`")
        })?;
    }
    Ok(())
}

/// No word is misspelt.
pub fn spelling(job: &Job) -> Result<()> {
    let typos = setup::typos(job.workspace, &job.output, job.deadline)?;
    job.run(job.workspace.command(typos, ".", &["--config", "typos.toml", "--color", "never"]))
}
