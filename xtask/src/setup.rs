//! Installs what the checks need and the machine lacks: Debian packages when this runs as root
//! (else it says the one line to run), and two tools into the user's cache, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::breez;
use crate::needs::{self, Purpose};
use crate::process::{self, Output};
use crate::workspace::Workspace;

const CARGO_DENY: &str = "0.20.2";
/// The spelling checker is a wheel with the program in it: seconds, where a build takes minutes.
const TYPOS: &str = "1.52.0";
const CDK: &str = "0.18.3";
const NUTSHELL: &str = "0.21.0";
/// nutshell asks for 0.17, which is no longer to be had; it is imported and not used.
const BREEZ_SDK_SPARK: &str = "0.18.0";

/// How long packages may take to install where nothing else limits it.
const PACKAGES_LIMIT: Duration = Duration::from_secs(600);

/// Installs what a habit needs to build what it runs, on the terminal.
pub fn for_building(workspace: &Workspace, purpose: Purpose) -> Result<()> {
    packages(workspace, purpose, &Output::Shown, Instant::now() + PACKAGES_LIMIT)
}

/// Installs everything.
pub fn everything(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<()> {
    packages(workspace, Purpose::Checks, output, deadline)?;
    cargo_deny(workspace, output, deadline)?;
    typos(workspace, output, deadline)?;
    breez::library(workspace, output, deadline)?;
    Ok(())
}

fn packages(
    workspace: &Workspace,
    purpose: Purpose,
    output: &Output,
    deadline: Instant,
) -> Result<()> {
    let missing = needs::missing(workspace, purpose);
    let packages: Vec<&str> = missing.iter().filter_map(|(need, _)| need.package()).collect();
    install(workspace, &packages, output, deadline)?;
    // A package of an older Debian may not be what it must be.
    let left = needs::missing(workspace, purpose);
    let left: Vec<String> = left
        .iter()
        .map(|(need, reason)| format!("{}: {reason:#}; {}", need.name, need.advice()))
        .collect();
    if !left.is_empty() {
        bail!("{}", left.join("\n"));
    }
    Ok(())
}

/// Installs packages of Debian's, or says the one line to run.
fn install(
    workspace: &Workspace,
    packages: &[&str],
    output: &Output,
    deadline: Instant,
) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if process::ask(Command::new("id").arg("-u"))? != "0" || process::find("apt-get").is_none() {
        bail!("please run: sudo apt-get install -y {}", packages.join(" "));
    }
    let apt = |arguments: &[&str]| {
        let mut command = workspace.command("apt-get", ".", arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    process::run(apt(&["update", "-q"]), output, deadline)?;
    let mut install = apt(&["install", "-q", "-y", "--no-install-recommends"]);
    install.args(packages);
    process::run(install, output, deadline)
}

/// `cargo-deny`, built once: without optimisation, which costs less than it would save.
pub fn cargo_deny(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<PathBuf> {
    let root = workspace.cache.join("tools").join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin/cargo-deny");
    if !program.exists() {
        let build = workspace.cache.join("tools/build");
        let mut command = workspace.cargo(&["install", "cargo-deny", "--version", CARGO_DENY]);
        command
            .args(["--locked", "--debug", "--no-default-features", "--root"])
            .arg(&root)
            .env("CARGO_TARGET_DIR", &build)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0");
        process::run(command, output, deadline)?;
        std::fs::remove_dir_all(&build).context("the build of cargo-deny cannot be removed")?;
    }
    Ok(program)
}

/// cdk's programs: peers that we did not write.
pub struct Cdk {
    /// Its command line wallet.
    pub cli: PathBuf,
    /// Its mint.
    pub mintd: PathBuf,
}

/// cdk's wallet and its mint, built once, and together: most of what they are made of is the same.
pub fn cdk(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<Cdk> {
    let tools = workspace.cache.join("tools");
    let build = tools.join("build-cdk");
    let installed = |name: &str, features: &[&str]| -> Result<PathBuf> {
        let root = tools.join(format!("{name}-{CDK}"));
        let program = root.join("bin").join(name);
        if !program.exists() {
            let mut command = workspace.cargo(&["install", name, "--version", CDK]);
            command
                .args(["--locked", "--debug", "--root"])
                .arg(&root)
                .args(features)
                .env("CARGO_TARGET_DIR", &build)
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env("CARGO_INCREMENTAL", "0");
            process::run(command, output, deadline)?;
        }
        Ok(program)
    };
    let cli = installed("cdk-cli", &[])?;
    // Without the backends of real nodes.
    let mintd =
        installed("cdk-mintd", &["--no-default-features", "--features", "fakewallet,sqlite"])?;
    if build.exists() {
        std::fs::remove_dir_all(&build).context("the build of cdk's programs cannot be removed")?;
    }
    Ok(Cdk { cli, mintd })
}

/// nutshell's wallet, in an environment of its own.
pub fn nutshell(
    workspace: &Workspace,
    requirements: &Path,
    output: &Output,
    deadline: Instant,
) -> Result<PathBuf> {
    let root = workspace.cache.join("tools").join(format!("nutshell-{NUTSHELL}"));
    let program = root.join("bin/cashu");
    // Written last: an environment that was left half-made is made again.
    let whole = root.join("whole");
    if !whole.exists() {
        let mut venv = workspace.command("python3", ".", &["-m", "venv", "--clear"]);
        venv.arg(&root);
        process::run(venv, output, deadline)?;
        let pip = root.join("bin/pip");
        let mut others = workspace.command(&pip, ".", &["install", "--quiet", "-r"]);
        others.arg(requirements);
        process::run(others, output, deadline)?;
        let cashu = format!("cashu=={NUTSHELL}");
        let breez = format!("breez-sdk-spark=={BREEZ_SDK_SPARK}");
        let own = ["install", "--quiet", "--no-deps", &cashu, &breez];
        process::run(workspace.command(&pip, ".", &own), output, deadline)?;
        std::fs::write(whole, "")?;
    }
    Ok(program)
}

/// `typos`, from its wheel, in an environment of its own.
pub fn typos(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<PathBuf> {
    let root = workspace.cache.join("tools").join(format!("typos-{TYPOS}"));
    let program = root.join("bin/typos");
    if !program.exists() {
        let mut venv = workspace.command("python3", ".", &["-m", "venv", "--clear"]);
        venv.arg(&root);
        process::run(venv, output, deadline)?;
        let wheel = format!("typos=={TYPOS}");
        let pip = workspace.command(root.join("bin/pip"), ".", &["install", "--quiet", &wheel]);
        process::run(pip, output, deadline)?;
    }
    Ok(program)
}
