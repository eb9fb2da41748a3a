//! `cargo xtask chaos`: kills, losses and outages under load, counted against an oracle.

use std::process::ExitCode;

use anyhow::Result;

use crate::bench;
use crate::workspace::Workspace;

/// Becomes `portal-bench chaos`.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    bench::become_portal_bench(workspace, "chaos", arguments)
}
