//! `cargo xtask fmt`: formats all Rust code.

use std::process::ExitCode;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Becomes `cargo fmt`.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let mut command = workspace.cargo(&["fmt", "--all"]);
    command.args(arguments);
    Err(process::become_program(command))
}
