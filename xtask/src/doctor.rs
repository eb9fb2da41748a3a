//! `cargo xtask doctor`: what the checks need, whether it is here, and what to do when not.

use std::process::ExitCode;

use anyhow::Result;

use crate::needs::{self, Purpose};
use crate::workspace::Workspace;

/// Prints one line a need.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub fn run(workspace: &Workspace, _arguments: &[String]) -> Result<ExitCode> {
    let mut healthy = true;
    for need in needs::needed(workspace, Purpose::Checks) {
        let told = match need.look() {
            Ok(found) => found,
            Err(reason) => {
                healthy = false;
                format!("{reason:#}: {}", need.advice())
            }
        };
        println!("{:<12} {told}", need.name);
    }
    println!("{}", if healthy { "nothing is missing" } else { "something is missing" });
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
