//! `cargo xtask doctor`: which tools are here, and what to do about those that are not.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Prints one line a tool.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub fn run(workspace: &Workspace, _arguments: &[String]) -> Result<ExitCode> {
    for program in setup::PROGRAMS.iter().filter(|program| workspace.has(program.needed_by)) {
        let version = match process::find(program.name) {
            Some(path) => process::ask(Command::new(path).arg("--version"))
                .map_or_else(|error| format!("found, but {error:#}"), first_line),
            None => match program.package {
                Some(package) => format!("missing: apt-get install {package}"),
                None => "missing: install Node.js 20 or newer".to_owned(),
            },
        };
        println!("{:<10} {version}", program.name);
    }
    let healthy = setup::missing(workspace).is_empty();
    println!("{}", if healthy { "nothing is missing" } else { "something is missing" });
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn first_line(text: String) -> String {
    text.lines().next().unwrap_or("").to_owned()
}
