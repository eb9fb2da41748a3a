//! `cargo xtask fuzz`: feeds made-up bytes to every parser of what strangers can send, for a
//! bounded time.
//!
//! The targets are those of cargo-fuzz; here they are built with the instrumentation alone, which
//! the stable toolchain has, and without a sanitizer: our code has no `unsafe` to be watched. What was
//! found interesting lies under the build directory and is where the next run begins.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::needs::Purpose;
use crate::process::{self, Output};
use crate::setup;
use crate::workspace::Workspace;

/// The packages with the targets; each is a workspace of its own.
pub const PACKAGES: [&str; 2] = ["portal-core/fuzz", "daemon/fuzz"];
/// How long each target runs when nothing is said.
const USUAL: Duration = Duration::from_secs(60);
/// How long all builds may take.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long a target may take to stop when its time is over.
const GRACE: Duration = Duration::from_secs(60);
/// The coverage that libFuzzer is guided by, and the checks of a debug build.
const INSTRUMENTED: &str = "--cfg fuzzing -Cdebug-assertions -Coverflow-checks=on \
    -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// A fuzz target.
struct Target {
    package: &'static str,
    name: String,
}

/// Runs the chosen targets, one after another; all of them when none is named.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let (time, wanted) = parse(arguments)?;
    let all = targets(&workspace.root)?;
    if let Some(unknown) = wanted.iter().find(|name| !all.iter().any(|one| one.name == **name)) {
        let known: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        bail!("there is no target called `{unknown}`; there are {}", known.join(", "));
    }
    let chosen = |target: &&Target| wanted.is_empty() || wanted.contains(&target.name);
    setup::for_building(workspace, Purpose::Demo)?;
    let host = host()?;
    let build_end = Instant::now() + BUILD_LIMIT;
    for package in PACKAGES {
        if all.iter().filter(chosen).any(|target| target.package == package) {
            build(workspace, package, &host, build_end)?;
        }
    }
    let mut failed = Vec::new();
    for target in all.iter().filter(chosen) {
        eprintln!("── {}: {} s", target.name, time.as_secs());
        if let Err(error) = fuzz(workspace, target, &host, time) {
            eprintln!("   {error:#}");
            failed.push(target.name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn parse(arguments: &[String]) -> Result<(Duration, Vec<String>)> {
    let mut time = USUAL;
    let mut wanted = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let seconds = arguments.next().and_then(|text| text.parse().ok());
                let seconds = seconds.filter(|seconds| *seconds > 0);
                time = Duration::from_secs(seconds.context("--seconds takes a number above 0")?);
            }
            option if option.starts_with('-') => bail!("fuzz does not know `{option}`"),
            name => wanted.push(name.to_owned()),
        }
    }
    Ok((time, wanted))
}

/// All targets, by the files they lie in.
fn targets(root: &Path) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for package in PACKAGES {
        let folder = root.join(package).join("fuzz_targets");
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs")
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            {
                targets.push(Target { package, name: name.to_owned() });
            }
        }
    }
    targets.sort_by(|one, two| (one.package, &one.name).cmp(&(two.package, &two.name)));
    Ok(targets)
}

/// The triple of this machine: naming it keeps build scripts out of the instrumentation.
fn host() -> Result<String> {
    let version = process::ask(Command::new("rustc").arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc does not name its host")?.to_owned())
}

fn build(workspace: &Workspace, package: &str, host: &str, end: Instant) -> Result<()> {
    let manifest = format!("{package}/Cargo.toml");
    let mut command =
        workspace.cargo(&["build", "--release", "--bins", "--manifest-path", &manifest]);
    command.args(["--locked", "--target", host]);
    command.env("CARGO_TARGET_DIR", folder(workspace)).env("RUSTFLAGS", INSTRUMENTED);
    process::run(command, &Output::Shown, end)
}

fn fuzz(workspace: &Workspace, target: &Target, host: &str, time: Duration) -> Result<()> {
    let folder = folder(workspace);
    let corpus = folder.join("corpus").join(&target.name);
    let found = folder.join("found");
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&found)?;
    let program = folder.join(host).join("release").join(&target.name);
    let mut command = workspace.command(program, target.package, &[]);
    command
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-artifact_prefix={}/{}-", found.display(), target.name))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"])
        .arg(corpus);
    process::run(command, &Output::Shown, Instant::now() + time + GRACE)
        .with_context(|| format!("what it fell over lies in {}", found.display()))
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn time_and_targets_are_chosen() {
        let (time, wanted) = parse(&words("--seconds 5 jwt event")).expect("readable");
        assert_eq!((time.as_secs(), wanted), (5, words("jwt event")));
        assert_eq!(parse(&[]).expect("readable"), (USUAL, Vec::new()));
        for wrong in ["--seconds", "--seconds 0", "--seconds x", "--forever"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_target_is_declared_by_its_package() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let targets = targets(&root).expect("the folders are there");
        assert!(!targets.is_empty());
        for Target { package, name } in targets {
            let manifest = std::fs::read_to_string(root.join(package).join("Cargo.toml"));
            let line = format!("name = \"{name}\"");
            assert!(manifest.expect("a manifest").contains(&line), "{package} lacks {name}");
        }
    }
}
