//! Every developer habit is one command: `cargo xtask <habit>`.
//!
//! One file per habit. Needs nothing but a Rust toolchain to start; what a habit needs beyond it is
//! found or installed by [`setup`].

mod bench;
mod bindings;
mod breez;
mod chaos;
mod demo;
mod dev_daemon;
mod doctor;
mod fmt;
mod fuzz;
mod needs;
mod postgres;
mod process;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask <habit> [options]

  demo [options]            show a login, a payment and a ticket on this machine (options go to `portal demo`)
  test [--only STEP]... [--skip STEP]... [--list] [--verbose]
                            everything CI runs, in the same order
  bench [--short]           measure, against floors measured in the same run
  chaos [--short]           kill, lose and disconnect, and count what went wrong
  fuzz [--seconds N] [target]...
                            made-up bytes for every parser of what strangers send, a minute each
  bindings [--check]        generate the bindings of the other languages, or compare them
  fmt                       format all Rust code
  doctor                    say which tools are here and which are missing
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let habit = arguments.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = arguments.collect();
    match run(&habit, &rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask {habit}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(habit: &str, arguments: &[String]) -> anyhow::Result<ExitCode> {
    if matches!(habit, "help" | "--help" | "-h") {
        eprint!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::open()?;
    match habit {
        "demo" => demo::run(&workspace, arguments),
        "test" => test::run(&workspace, arguments),
        "bench" => bench::run(&workspace, arguments),
        "chaos" => chaos::run(&workspace, arguments),
        "fuzz" => fuzz::run(&workspace, arguments),
        "bindings" => bindings::run(&workspace, arguments),
        "fmt" => fmt::run(&workspace, arguments),
        "doctor" => doctor::run(&workspace, arguments),
        other => anyhow::bail!("there is no habit called `{other}`\n{USAGE}"),
    }
}
