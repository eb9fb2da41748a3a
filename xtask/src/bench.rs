//! `cargo xtask bench`: builds `portal-bench` for speed and becomes it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::needs::Purpose;
use crate::postgres::{self, Postgres};
use crate::process::{self, Output};
use crate::setup;
use crate::workspace::Workspace;

/// No run of figures takes longer.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// Becomes `portal-bench bench`.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    become_portal_bench(workspace, "bench", arguments)
}

/// Builds `portal-bench`, and the daemon it measures, then becomes one of its subcommands.
pub fn become_portal_bench(
    workspace: &Workspace,
    subcommand: &str,
    arguments: &[String],
) -> Result<ExitCode> {
    if !workspace.has("bench/Cargo.toml") {
        bail!("this tree has no bench/ folder");
    }
    setup::for_building(workspace, Purpose::Build)?;
    let build = ["build", "--release", "--package", "portal-bench", "--package", "portal-daemon"];
    let mut build = workspace.cargo(&build);
    build.args(["--package", "portal-mint", "--features", "portal-mint/postgres"]);
    let status = build.status()?;
    if !status.success() {
        bail!("portal-bench does not build");
    }
    let mut program =
        workspace.command(workspace.target.join("release/portal-bench"), ".", &[subcommand]);
    program.args(arguments);
    let about_mints = arguments.iter().any(|name| name.starts_with("mint-"));
    let about_all = subcommand == "bench" && arguments.iter().all(|name| name.starts_with('-'));
    if (about_mints || about_all) && postgres::programs().is_ok() {
        // A server needs somebody who ends it, so this time the program is a child.
        let deadline = Instant::now() + LONGEST;
        let server = Postgres::start(workspace, &Output::Shown, deadline)?;
        program.env("PORTAL_TEST_POSTGRES", &server.connection);
        process::run(program, &Output::Shown, deadline)?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(process::become_program(program))
}
