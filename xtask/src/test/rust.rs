//! The steps that cargo does: format, lints, tests, documentation, layers, chaos.

use anyhow::Result;

use super::Job;
use crate::breez;
use crate::workspace::FEATURES;

/// Nothing to format is left.
pub fn format(job: &Job) -> Result<()> {
    job.run(job.workspace.cargo(&["fmt", "--all", "--check"]))
}

/// No lint is left; `missing_docs` is one of them.
pub fn clippy(job: &Job) -> Result<()> {
    let mut command = job.workspace.cargo(&["clippy", "--all-targets"]);
    command.args(FEATURES).args(["--", "-D", "warnings"]);
    job.run(command)
}

/// Every test and every example in the documentation; the built-in wallet with its real library.
pub fn test(job: &Job) -> Result<()> {
    let mut command = job.workspace.cargo(&["test"]);
    command.args(FEATURES);
    match breez::library(job.workspace, &job.output, job.deadline)? {
        Some(library) => {
            command.env("PORTAL_BREEZ_LIB", library).env("PORTAL_BREEZ_REQUIRED", "1");
        }
        None => {
            job.note("the Breez wallet was not tested: no library of this machine was tried")?
        }
    }
    job.run(command)
}

/// Links and code blocks of the documentation hold.
pub fn doc(job: &Job) -> Result<()> {
    let mut command = job.workspace.cargo(&["doc", "--no-deps"]);
    command.args(FEATURES).env("RUSTDOCFLAGS", "-D warnings");
    job.run(command)
}

/// The rules of ARCHITECTURE.md, by name.
pub fn tidy(job: &Job) -> Result<()> {
    let mut command = job.workspace.cargo(&["test", "--test", "tidy"]);
    command.args(FEATURES).args(["--", "--nocapture"]);
    job.run(command)
}

/// The short forms of the loss, outage and kill runs.
pub fn chaos(job: &Job) -> Result<()> {
    job.run(job.workspace.build_programs())?;
    let program = job.workspace.built("portal-bench")?;
    job.run(job.workspace.command(program, ".", &["chaos", "--short"]))
}
