//! The steps about what others wrote and how we write: licences, bans, sources, spelling.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Job;
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

/// No word is misspelt.
pub fn spelling(job: &Job) -> Result<()> {
    let typos = setup::typos(job.workspace, &job.output, job.deadline)?;
    job.run(job.workspace.command(typos, ".", &["--config", "typos.toml", "--color", "never"]))
}
