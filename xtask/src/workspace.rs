//! Where things are: the source tree, the build directory, the cache; and how cargo is called.
//!
//! Clippy, tests, documentation and the programs that other steps start all use
//! [`FEATURES`]: one set of features, so that every dependency is built once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Which packages and features every whole-workspace call of cargo uses.
pub const FEATURES: [&str; 2] = ["--workspace", "--all-features"];

/// A shared build directory above this size is thrown away: clones at other paths leave their
/// crates behind in it.
const BUILD_CACHE_LIMIT_KIB: u64 = 24 << 20;

/// The source tree and what belongs to it.
pub struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
    /// Tools and other things that outlive a clone.
    pub cache: PathBuf,
    /// Whether this runs in CI.
    pub ci: bool,
}

impl Workspace {
    /// Finds everything. In CI, without `CARGO_TARGET_DIR`, builds go to the user's cache, so that
    /// the next clean checkout starts warm.
    pub fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in a folder of the workspace")?
            .to_path_buf();
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        let cache = user_cache()?.join("portal");
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(given) if !given.is_empty() => root.join(given),
            _ if ci => cache.join("target"),
            _ => root.join("target"),
        };
        Ok(Self { root, target, cache, ci })
    }

    /// Whether the tree has this path.
    pub fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// `cargo` in the root, building into [`Workspace::target`].
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo, ".", arguments);
        if self.ci {
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    }

    /// Any program, in a folder of the tree, with nothing on its standard input.
    pub fn command(
        &self,
        program: impl AsRef<std::ffi::OsStr>,
        folder: &str,
        arguments: &[&str],
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.root.join(folder))
            .stdin(std::process::Stdio::null())
            .env("CARGO_TARGET_DIR", &self.target);
        // `cargo run` describes xtask to us in these. Build scripts that watch them would run, and
        // all that depends on them be built, again at each change between `cargo` and `cargo xtask`.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(describes_a_package) {
                command.env_remove(name);
            }
        }
        command
    }

    /// A program of ours as the development profile built it.
    pub fn built(&self, name: &str) -> Result<PathBuf> {
        let path = self.target.join("debug").join(name);
        if !path.exists() {
            bail!("{name} is not in {}: it was not built", path.display());
        }
        Ok(path)
    }

    /// Arguments that build every program and library of ours exactly as the tests use them: with
    /// `--tests`, because the features of development dependencies count only then.
    pub fn build_programs(&self) -> Command {
        let mut command = self.cargo(&["build", "--lib", "--bins", "--tests"]);
        command.args(FEATURES);
        command
    }

    /// Throws the shared build directory away when it has grown beyond its limit.
    pub fn bound_build_cache(&self) -> Result<()> {
        if !self.target.starts_with(&self.cache) || !self.target.exists() {
            return Ok(());
        }
        let output = Command::new("du").arg("-sk").arg(&self.target).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let used: u64 = text.split_whitespace().next().unwrap_or("0").parse()?;
        if used > BUILD_CACHE_LIMIT_KIB {
            std::fs::remove_dir_all(&self.target)?;
        }
        Ok(())
    }
}

fn describes_a_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

fn user_cache() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        return Ok(cache.into());
    }
    let home = std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cache"))
}
