//! What a machine must have, how it is told that it has it, and what to do when not.
//!
//! A habit needs what its [`Purpose`] says: the demo least, the checks most. `cargo xtask doctor`
//! and the set-up look at this one list.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::postgres;
use crate::process;
use crate::workspace::Workspace;

/// A header of libssl-dev.
const OPENSSL: &str = "/usr/include/openssl/ssl.h";

/// What something is needed for. Each needs what those before it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To build the daemon and the wallet.
    Demo,
    /// To build everything there is.
    Build,
    /// To check it.
    Checks,
}

/// Something that must be there.
pub struct Need {
    /// Its name.
    pub name: &'static str,
    probe: Probe,
    remedy: Remedy,
    purpose: Purpose,
    /// The path whose presence in the tree makes it needed; the root when it always is.
    needed_by: &'static str,
}

/// How it is told that something is there.
enum Probe {
    /// A program of that name on the search path.
    Program,
    /// The same, of this version or a newer one.
    AtLeast(u32),
    /// Something else, which says what it found.
    Other(fn() -> Result<String>),
}

/// What helps.
#[derive(Clone, Copy)]
pub enum Remedy {
    /// A package of Debian's.
    Package(&'static str),
    /// What a person has to do.
    Advice(&'static str),
}

const MINT: &str = "mint/Cargo.toml";
const CLIENT: &str = "daemon/clients/typescript/package.json";
const NODE: Remedy = Remedy::Advice("install Node.js 20 or newer, with npm");
const COMPONENTS: Remedy = Remedy::Advice("run: rustup component add rustfmt clippy");

/// All there is to need.
pub const NEEDS: &[Need] = {
    use Probe::{AtLeast, Other, Program};
    use Purpose::{Build, Checks, Demo};
    use Remedy::Package;
    &[
        need("cc", Program, Package("gcc"), Demo, "."),
        need("protoc", Program, Package("protobuf-compiler"), Demo, MINT),
        // For PostgreSQL's TLS, which is the system's; cdk's driver has no other.
        need("pkg-config", Program, Package("pkg-config"), Build, MINT),
        need("openssl", Other(openssl), Package("libssl-dev"), Build, MINT),
        need("git", Program, Package("git"), Checks, "."),
        need("ps", Program, Package("procps"), Checks, "."),
        need("rustfmt", Other(rustfmt), COMPONENTS, Checks, "."),
        need("clippy", Other(clippy), COMPONENTS, Checks, "."),
        need("postgresql", Other(server), Package("postgresql"), Checks, MINT),
        need("python3", Other(python), Package("python3-venv"), Checks, "."),
        need("node", AtLeast(20), NODE, Checks, CLIENT),
        need("npm", Program, NODE, Checks, CLIENT),
        need("chromium", Program, Package("chromium"), Checks, CLIENT),
        need("javac", AtLeast(17), Package("default-jdk-headless"), Checks, "jvm/pom.xml"),
        need("mvn", Program, Package("maven"), Checks, "jvm/pom.xml"),
    ]
};

const fn need(
    name: &'static str,
    probe: Probe,
    remedy: Remedy,
    purpose: Purpose,
    needed_by: &'static str,
) -> Need {
    Need { name, probe, remedy, purpose, needed_by }
}

impl Need {
    /// What was found.
    ///
    /// # Errors
    /// When it is not there, or not as it must be.
    pub fn look(&self) -> Result<String> {
        match self.probe {
            Probe::Program => {
                let path = process::find(self.name).context("missing")?;
                Ok(path.display().to_string())
            }
            Probe::AtLeast(least) => {
                let path = process::find(self.name).context("missing")?;
                let version = process::ask(Command::new(path).arg("--version"))?;
                at_least(least, &version)?;
                Ok(first_line(&version).to_owned())
            }
            Probe::Other(look) => look(),
        }
    }

    /// What helps when it is not there.
    pub fn advice(&self) -> String {
        match self.remedy {
            Remedy::Package(package) => format!("apt-get install {package}"),
            Remedy::Advice(advice) => advice.to_owned(),
        }
    }

    /// The package that has it.
    pub fn package(&self) -> Option<&'static str> {
        match self.remedy {
            Remedy::Package(package) => Some(package),
            Remedy::Advice(_) => None,
        }
    }
}

/// All that this tree needs for a purpose.
pub fn needed(workspace: &Workspace, purpose: Purpose) -> impl Iterator<Item = &'static Need> {
    let here = move |need: &&Need| need.purpose <= purpose && workspace.has(need.needed_by);
    NEEDS.iter().filter(here)
}

/// What of it is not there, and why not.
pub fn missing(workspace: &Workspace, purpose: Purpose) -> Vec<(&'static Need, anyhow::Error)> {
    needed(workspace, purpose).filter_map(|need| Some((need, need.look().err()?))).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

/// Whether a program's words about its version name this one or a newer one.
fn at_least(least: u32, version: &str) -> Result<()> {
    let line = first_line(version);
    let digits = line.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match digits[..end].parse::<u32>() {
        Ok(number) if number >= least => Ok(()),
        Ok(_) => bail!("too old ({line}): version {least} or newer is needed"),
        Err(_) => bail!("does not tell its version"),
    }
}

/// Of the toolchain itself: rustup's stand-ins are there whether it has them or not.
fn rustfmt() -> Result<String> {
    process::ask(Command::new("cargo").args(["fmt", "--version"]))
        .map_err(|_| anyhow::anyhow!("missing from the toolchain"))
}

fn clippy() -> Result<String> {
    process::ask(Command::new("cargo").args(["clippy", "--version"]))
        .map_err(|_| anyhow::anyhow!("missing from the toolchain"))
}

/// Debian has it in a package apart from the interpreter.
fn python() -> Result<String> {
    let path = process::find("python3").context("missing")?;
    let question = "import ensurepip, sys, venv; print('Python', sys.version.split()[0])";
    process::ask(Command::new(path).args(["-c", question]))
        .map_err(|_| anyhow::anyhow!("python3 is there, but not its module venv"))
}

/// The server: a client alone, which has `psql` too, would not do.
fn server() -> Result<String> {
    Ok(postgres::programs()?.display().to_string())
}

/// A library has no program to look for.
fn openssl() -> Result<String> {
    if Path::new(OPENSSL).exists() {
        return Ok(OPENSSL.to_owned());
    }
    let path = process::find("pkg-config").context("missing")?;
    process::ask(Command::new(path).args(["--modversion", "openssl"]))
        .map_err(|_| anyhow::anyhow!("the headers of OpenSSL are missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        for fit in ["v20.11.0", "v22.0.0\n", "javac 17.0.15", "javac 21"] {
            let least = if fit.starts_with('v') { 20 } else { 17 };
            assert!(at_least(least, fit).is_ok(), "{fit}");
        }
        let old = at_least(20, "v18.19.0").expect_err("Debian's is too old").to_string();
        assert!(old.contains("too old (v18.19.0): version 20"), "{old}");
        assert!(at_least(17, "javac 1.8.0_392").is_err());
        assert!(at_least(20, "").is_err());
    }

    #[test]
    fn a_purpose_needs_what_lesser_ones_need() {
        let workspace = Workspace::open().expect("this tree");
        let names =
            |purpose| -> Vec<&str> { needed(&workspace, purpose).map(|need| need.name).collect() };
        assert_eq!(names(Purpose::Demo), ["cc", "protoc"]);
        assert_eq!(names(Purpose::Build), ["cc", "protoc", "pkg-config", "openssl"]);
        assert_eq!(names(Purpose::Checks).len(), NEEDS.len());
    }

    #[test]
    fn what_is_not_there_is_told_with_what_helps() {
        let absent = need(
            "no-such-program-anywhere",
            Probe::Program,
            Remedy::Package("nothing"),
            Purpose::Checks,
            ".",
        );
        assert_eq!(absent.look().expect_err("absent").to_string(), "missing");
        assert_eq!(absent.advice(), "apt-get install nothing");
        let wrong = Need { name: "cc", probe: Probe::AtLeast(u32::MAX), ..absent };
        assert!(wrong.look().is_err());
    }
}
