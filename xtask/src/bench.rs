//! `cargo xtask bench`: builds `portal-bench` for speed and becomes it.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;

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
    let build = ["build", "--release", "--package", "portal-bench", "--package", "portal-daemon"];
    let status = workspace.cargo(&build).status()?;
    if !status.success() {
        bail!("portal-bench does not build");
    }
    let mut program =
        workspace.command(workspace.target.join("release/portal-bench"), ".", &[subcommand]);
    program.args(arguments);
    Err(process::become_program(program))
}
