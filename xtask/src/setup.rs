//! Installs what the checks need and the machine lacks: Debian packages when this runs as root
//! (else it says the one line to run), and two tools into the user's cache, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::breez;
use crate::process::{self, Output};
use crate::workspace::Workspace;

const CARGO_DENY: &str = "0.20.2";
/// The spelling checker is a wheel with the program in it: seconds, where a build takes minutes.
const TYPOS: &str = "1.52.0";
const CDK: &str = "0.18.3";
const NUTSHELL: &str = "0.21.0";
/// nutshell asks for 0.17, which is no longer to be had; it is imported and not used.
const BREEZ_SDK_SPARK: &str = "0.18.0";

/// A header of libssl-dev.
const OPENSSL: &str = "/usr/include/openssl/ssl.h";

/// A program that must be on the search path.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// The Debian package that has it; `None` when Debian's is too old.
    pub package: Option<&'static str>,
    /// The path whose presence in the tree makes it needed; the root when it always is.
    pub needed_by: &'static str,
}

/// What the checks call.
pub const PROGRAMS: &[Program] = &[
    Program { name: "git", package: Some("git"), needed_by: "." },
    Program { name: "cc", package: Some("gcc"), needed_by: "." },
    Program { name: "protoc", package: Some("protobuf-compiler"), needed_by: "mint/Cargo.toml" },
    // For PostgreSQL's TLS, which is the system's; cdk's driver has no other.
    Program { name: "pkg-config", package: Some("pkg-config"), needed_by: "mint/Cargo.toml" },
    Program { name: "psql", package: Some("postgresql"), needed_by: "mint/Cargo.toml" },
    Program { name: "python3", package: Some("python3-venv"), needed_by: "." },
    Program { name: "node", package: None, needed_by: "daemon/clients/typescript/package.json" },
    Program { name: "npm", package: None, needed_by: "daemon/clients/typescript/package.json" },
    Program {
        name: "chromium",
        package: Some("chromium"),
        needed_by: "daemon/clients/typescript/package.json",
    },
    Program { name: "javac", package: Some("default-jdk-headless"), needed_by: "jvm/pom.xml" },
    Program { name: "mvn", package: Some("maven"), needed_by: "jvm/pom.xml" },
];

/// The programs that are needed and missing.
pub fn missing(workspace: &Workspace) -> Vec<&'static Program> {
    PROGRAMS
        .iter()
        .filter(|program| workspace.has(program.needed_by))
        .filter(|program| process::find(program.name).is_none())
        .collect()
}

/// Installs what a build of the daemon needs: the tools of the demo.
pub fn for_building(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<()> {
    let packages: Vec<&str> = missing(workspace)
        .iter()
        .filter(|program| matches!(program.name, "cc" | "protoc"))
        .filter_map(|program| program.package)
        .collect();
    install(workspace, &packages, output, deadline)
}

/// Installs everything.
pub fn everything(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<()> {
    packages(workspace, output, deadline)?;
    cargo_deny(workspace, output, deadline)?;
    typos(workspace, output, deadline)?;
    breez::library(workspace, output, deadline)?;
    Ok(())
}

fn packages(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<()> {
    let missing = missing(workspace);
    let mut packages: Vec<&str> = missing.iter().filter_map(|program| program.package).collect();
    // A library has no program to look for.
    if workspace.has("mint/Cargo.toml") && !Path::new(OPENSSL).exists() {
        packages.push("libssl-dev");
    }
    install(workspace, &packages, output, deadline)?;
    if let Some(program) = missing.iter().find(|program| program.package.is_none()) {
        bail!("{} is missing: install Node.js 20 or newer", program.name);
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
