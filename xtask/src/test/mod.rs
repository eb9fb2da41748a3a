//! `cargo xtask test`: everything CI runs, step by step, each timed and bounded, then a table.
//!
//! A step is there when the part of the tree it checks is there. Steps go on after one failed; the
//! output of a step goes to a file, its end is shown when the step fails.

mod clients;
mod dependencies;
mod foreign_mints;
mod mint;
mod rust;
mod summary;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::{self, Output};
use crate::workspace::Workspace;
use crate::{bindings, setup};
use summary::Row;

/// All steps together never take longer: CI gives up at ninety minutes.
const WHOLE_LIMIT: Duration = Duration::from_secs(85 * 60);
/// How much of a failed step's output is shown.
const SHOWN_LINES: usize = 200;

/// One check.
struct Step {
    name: &'static str,
    about: &'static str,
    /// The path that this step is about.
    needs: &'static str,
    minutes: u64,
    run: fn(&Job) -> Result<()>,
}

/// What a step works with.
struct Job<'a> {
    workspace: &'a Workspace,
    output: Output,
    log: PathBuf,
    deadline: Instant,
}

impl Job<'_> {
    /// Runs a child within the time of the step.
    fn run(&self, command: std::process::Command) -> Result<()> {
        process::run(command, &self.output, self.deadline)
    }

    /// A remark for the table.
    fn note(&self, text: &str) -> Result<()> {
        match &self.output {
            Output::Shown => eprintln!("{}{text}", summary::NOTE),
            Output::Log(path) => {
                let mut log = File::options().append(true).open(path)?;
                writeln!(log, "{}{text}", summary::NOTE)?;
            }
        }
        Ok(())
    }
}

const STEPS: &[Step] = &[
    step("format", "rustfmt", "Cargo.toml", 3, rust::format),
    step("setup", "packages and tools", "Cargo.toml", 15, |job| {
        setup::everything(job.workspace, &job.output, job.deadline)
    }),
    step("clippy", "all lints, documentation of every item", "Cargo.toml", 25, rust::clippy),
    step("test", "all Rust tests and examples", "Cargo.toml", 40, rust::test),
    step("mint", "the mint on PostgreSQL too", "mint/Cargo.toml", 20, mint::databases),
    step("mint-peers", "wallets of others against the mint", "mint/tests/peers", 20, mint::peers),
    step(
        "wallet-peers",
        "our ticket wallet against mints of others",
        "portal-core/tests/foreign_mints",
        20,
        foreign_mints::wallet,
    ),
    step("doc", "the documentation builds without a warning", "Cargo.toml", 15, rust::doc),
    step("deny", "licences, bans, sources, advisories", "deny.toml", 10, dependencies::deny),
    step(
        "locks",
        "the fuzz targets' lock files are fresh",
        "portal-core/fuzz/Cargo.toml",
        5,
        dependencies::locks,
    ),
    step("spelling", "spelling", "typos.toml", 5, dependencies::spelling),
    step("tidy", "layers, sizes, forbidden calls", "portal-core/tests/tidy.rs", 10, rust::tidy),
    step("bindings", "generated code is as generated", "jvm/pom.xml", 15, |job| {
        bindings::check(job.workspace, &job.output, job.deadline)
    }),
    step(
        "typescript",
        "the client of the daemon",
        "daemon/clients/typescript/package.json",
        15,
        clients::typescript,
    ),
    step("node", "the Node addon", "portal-napi/package.json", 15, clients::node),
    step(
        "alby",
        "NIP-47 with another implementation on both sides",
        "portal-core/tests/alby/package.json",
        15,
        clients::alby,
    ),
    step("python", "portal-ffi from Python", "portal-ffi/tests/python", 10, clients::python),
    step("kotlin", "portal-ffi from Kotlin", "jvm/pom.xml", 15, clients::kotlin),
    step("chaos", "short runs of loss, outage and kill", "bench/Cargo.toml", 15, rust::chaos),
];

const fn step(
    name: &'static str,
    about: &'static str,
    needs: &'static str,
    minutes: u64,
    run: fn(&Job) -> Result<()>,
) -> Step {
    Step { name, about, needs, minutes, run }
}

/// Runs the chosen steps.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let steps = STEPS.iter().filter(|step| workspace.has(step.needs));
    let chosen: Vec<&Step> = steps.filter(|step| options.wants(step.name)).collect();
    if options.list {
        for step in chosen {
            eprintln!("{:<12} {}", step.name, step.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if chosen.is_empty() {
        bail!("no step is left to run");
    }
    workspace.bound_build_cache()?;
    let logs = workspace.target.join("xtask/logs");
    std::fs::create_dir_all(&logs)?;
    let end = Instant::now() + WHOLE_LIMIT;
    let mut rows = Vec::new();
    for step in chosen {
        let log = logs.join(format!("{}.log", step.name));
        std::fs::write(&log, "")?;
        let output = if options.verbose { Output::Shown } else { Output::Log(log.clone()) };
        let begin = Instant::now();
        let deadline = end.min(begin + Duration::from_secs(step.minutes * 60));
        eprintln!("── {}: {}", step.name, step.about);
        let job = Job { workspace, output, log, deadline };
        let result = (step.run)(&job);
        let printed = String::from_utf8_lossy(&std::fs::read(&job.log)?).into_owned();
        if let Err(error) = &result {
            for line in summary::tail(&printed, SHOWN_LINES) {
                eprintln!("   {line}");
            }
            eprintln!("   {} failed: {error:#}", step.name);
        }
        rows.push(Row {
            name: step.name,
            passed: result.is_ok(),
            took: begin.elapsed(),
            remark: summary::remark(&printed),
        });
    }
    Ok(summary::print(&rows))
}

#[derive(Default)]
struct Options {
    only: Vec<String>,
    skip: Vec<String>,
    list: bool,
    verbose: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--only" | "--skip" => {
                    let Some(name) = arguments.next() else { bail!("{argument} takes a step") };
                    if !STEPS.iter().any(|step| step.name == name) {
                        bail!("there is no step called `{name}`");
                    }
                    let list =
                        if argument == "--only" { &mut options.only } else { &mut options.skip };
                    list.push(name.clone());
                }
                "--list" => options.list = true,
                "--verbose" => options.verbose = true,
                other => bail!("test does not know `{other}`"),
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|one| one == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn only_and_skip_choose_steps() {
        let options = parse("--only clippy --only test --skip test").expect("all known");
        assert!(options.wants("clippy") && !options.wants("test") && !options.wants("doc"));
        assert!(parse("").expect("nothing to know").wants("doc"));
    }

    #[test]
    fn unknown_steps_and_options_are_refused() {
        assert!(parse("--only clipy").is_err());
        assert!(parse("--only").is_err());
        assert!(parse("--fast").is_err());
    }

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
