//! `cargo xtask demo`: builds the daemon and the terminal wallet, then becomes `portal demo`.
//!
//! The development profile: it is ready soonest, and its cryptography is optimised all the same.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::needs::Purpose;
use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Becomes `portal demo`. The daemon lies beside it in the same folder.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    setup::for_building(workspace, Purpose::Demo)?;
    let build = ["build", "--quiet", "--package", "portal-daemon", "--package", "portal-cli"];
    eprintln!("building the daemon and the wallet (the first time takes some minutes) …");
    if !workspace.cargo(&build).status()?.success() {
        bail!("the daemon and the wallet do not build");
    }
    let mut demo = workspace.command(workspace.built("portal")?, ".", &["demo"]);
    demo.args(arguments);
    Err(process::become_program(demo))
}
