//! The steps in other languages. Each runs against a real daemon of its own.
//!
//! What every one of them gets in its environment: `PORTAL_DAEMON_URL`, `PORTAL_DAEMON_TOKEN`, and
//! `PORTAL_DAEMON_RELAY` (the daemon's loopback relay).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Job;
use crate::bindings;
use crate::dev_daemon::DevDaemon;
use crate::process;
use crate::workspace::FEATURES;

/// Names the document with the samples of the first client, which is no part of this tree.
const SAMPLES: &str = "PORTAL_SEED_DOC";
const TYPESCRIPT: &str = "daemon/clients/typescript";
const NODE: &str = "portal-napi";
const PYTHON: &str = "portal-ffi/tests/python";
const JVM: &str = "jvm";
const ALBY: &str = "portal-core/tests/alby";

/// Builds the client, runs its tests in Node and in a browser, then against a daemon.
pub fn typescript(job: &Job) -> Result<()> {
    job.run(npm(job, TYPESCRIPT, &["ci"]))?;
    job.run(npm(job, TYPESCRIPT, &["run", "build"]))?;
    let mut test = npm(job, TYPESCRIPT, &["run", "test"]);
    match sample_document(&job.workspace.root, std::env::var_os(SAMPLES)) {
        Some(document) => {
            test.env(SAMPLES, document);
        }
        None => job.note(&format!(
            "the samples of the first client's documentation were not tried: {SAMPLES} names it"
        ))?,
    }
    job.run(test)?;
    let mut browser = npm(job, TYPESCRIPT, &["run", "test:browser"]);
    // Named, it is used or the test fails; not named, the test would be left out without it.
    browser.env("CHROMIUM", process::find("chromium").context("chromium is not installed")?);
    job.run(browser)?;
    // Without it nothing would run against a daemon.
    let package =
        std::fs::read_to_string(job.workspace.root.join(TYPESCRIPT).join("package.json"))?;
    if !package.contains("\"test:integration\"") {
        bail!("{TYPESCRIPT}/package.json has no script test:integration");
    }
    with_daemon(job, npm(job, TYPESCRIPT, &["run", "test:integration"]))
}

/// Builds the addon and runs its tests; its committed declarations must be what the build writes.
pub fn node(job: &Job) -> Result<()> {
    let declarations = job.workspace.root.join(NODE).join("index.d.ts");
    let committed = std::fs::read(&declarations).ok();
    job.run(npm(job, NODE, &["ci"]))?;
    let mut build = npm(job, NODE, &["run", "build", "--", "--lib", "--bins", "--tests"]);
    build.args(FEATURES);
    job.run(build)?;
    if committed.is_some() && committed != std::fs::read(&declarations).ok() {
        bail!("{NODE}/index.d.ts is not what the addon has: commit what the build wrote");
    }
    with_daemon(job, npm(job, NODE, &["test"]))
}

/// Runs the wallet suite over Alby's SDK as both sides of NIP-47.
pub fn alby(job: &Job) -> Result<()> {
    job.run(npm(job, ALBY, &["ci"]))?;
    let mut test = job.workspace.cargo(&["test", "--test", "alby"]);
    test.args(FEATURES);
    job.run(test)
}

/// Runs every program in the folder of Python tests.
pub fn python(job: &Job) -> Result<()> {
    let modules = bindings::python(job.workspace, &job.output, job.deadline)?;
    let mut programs: Vec<PathBuf> = std::fs::read_dir(job.workspace.root.join(PYTHON))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    programs.sort();
    if programs.is_empty() {
        bail!("{PYTHON} has no program to run");
    }
    for program in programs {
        let mut command = job.workspace.command("python3", PYTHON, &[]);
        command.arg(program).env("PYTHONPATH", &modules).env("PYTHONDONTWRITEBYTECODE", "1");
        with_daemon(job, command)?;
    }
    Ok(())
}

/// Compiles the generated Kotlin and runs its tests over the library just built.
pub fn kotlin(job: &Job) -> Result<()> {
    job.run(job.workspace.build_programs())?;
    let libraries = job.workspace.target.join("debug");
    let mut command = job.workspace.command("mvn", JVM, &["--quiet", "--batch-mode"]);
    command.arg(format!("-Dportal.native.dir={}", libraries.display())).arg("verify");
    with_daemon(job, command)
}

/// The document that is named, else one in a folder `shared/seeds` beside the tree or above it.
fn sample_document(root: &Path, named: Option<OsString>) -> Option<PathBuf> {
    if let Some(named) = named.filter(|path| !path.is_empty()) {
        return Some(named.into());
    }
    let beside = root.ancestors().skip(1).map(|folder| folder.join("shared/seeds"));
    beside.filter_map(|seeds| std::fs::read_dir(seeds).ok()).flatten().find_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        (name.starts_with("000_") && name.ends_with(".txt")).then_some(path)
    })
}

fn npm(job: &Job, folder: &str, arguments: &[&str]) -> Command {
    let mut command = job.workspace.command("npm", folder, arguments);
    command.env("npm_config_fund", "false").env("npm_config_audit", "false");
    command
}

fn with_daemon(job: &Job, mut command: Command) -> Result<()> {
    job.run(job.workspace.build_programs())?;
    let log = job.log.with_extension("daemon.log");
    std::fs::write(&log, "")?;
    let daemon = DevDaemon::start(job.workspace, &log)?;
    daemon.announce(&mut command);
    job.run(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_of_samples_is_named_or_lies_beside_the_tree() {
        let base = std::env::temp_dir().join(format!("xtask-samples-{}", std::process::id()));
        let (tree, seeds) = (base.join("work/tree"), base.join("work/shared/seeds"));
        std::fs::create_dir_all(&tree).expect("made");
        assert_eq!(sample_document(&tree, None), None);
        std::fs::create_dir_all(&seeds).expect("made");
        std::fs::write(seeds.join("000_first.txt"), "").expect("written");
        let beside = sample_document(&tree, Some(OsString::new()));
        let named = sample_document(&tree, Some("/elsewhere".into()));
        std::fs::remove_dir_all(&base).expect("it is ours");
        assert_eq!(beside, Some(seeds.join("000_first.txt")));
        assert_eq!(named, Some("/elsewhere".into()));
    }
}
