//! `cargo xtask bindings`: the generated code of other languages, from the built `portal-ffi`.
//!
//! What lies in the tree is generated code as it came, never edited; `--check` generates it again
//! beside the tree and compares. Python's is only used by tests, so it never lies in the tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::needs::Purpose;
use crate::process::{self, Output};
use crate::setup;
use crate::workspace::Workspace;

const LIMIT: Duration = Duration::from_secs(1200);

/// A language whose generated code lies in the tree.
struct Language {
    /// As `uniffi-bindgen` calls it.
    name: &'static str,
    /// Where it lies.
    folder: &'static str,
    /// The file whose presence makes it wanted.
    needs: &'static str,
}

const LANGUAGES: &[Language] =
    &[Language { name: "kotlin", folder: "jvm/src/generated/kotlin", needs: "jvm/pom.xml" }];

/// Generates into the tree, or compares with it.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    setup::for_building(workspace, Purpose::Build)?;
    let deadline = Instant::now() + LIMIT;
    match arguments {
        [] => generate(workspace, &Output::Shown, deadline)?,
        [only] if only == "--check" => check(workspace, &Output::Shown, deadline)?,
        _ => bail!("bindings takes --check or nothing"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Generates into the tree.
fn generate(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<()> {
    process::run(workspace.build_programs(), output, deadline)?;
    for language in wanted(workspace) {
        let folder = workspace.root.join(language.folder);
        bindgen(workspace, language.name, &folder, output, deadline)?;
    }
    Ok(())
}

/// Fails when what lies in the tree is not what would be generated now.
pub fn check(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<()> {
    process::run(workspace.build_programs(), output, deadline)?;
    for language in wanted(workspace) {
        let fresh = workspace.target.join("xtask/bindings").join(language.name);
        bindgen(workspace, language.name, &fresh, output, deadline)?;
        let different = differences(&workspace.root.join(language.folder), &fresh)?;
        if !different.is_empty() {
            bail!(
                "{} is not what portal-ffi generates ({}): run `cargo xtask bindings`",
                language.folder,
                different.join(", ")
            );
        }
    }
    Ok(())
}

/// Python's module with the library beside it; returns their folder.
pub fn python(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<PathBuf> {
    process::run(workspace.build_programs(), output, deadline)?;
    let folder = workspace.target.join("xtask/bindings/python");
    bindgen(workspace, "python", &folder, output, deadline)?;
    let library = library();
    std::fs::copy(workspace.built(&library)?, folder.join(&library))?;
    Ok(folder)
}

fn wanted(workspace: &Workspace) -> impl Iterator<Item = &'static Language> {
    LANGUAGES.iter().filter(|language| workspace.has(language.needs))
}

fn library() -> String {
    format!("{}portal_ffi{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

fn bindgen(
    workspace: &Workspace,
    language: &str,
    folder: &Path,
    output: &Output,
    deadline: Instant,
) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let mut command = workspace.command(workspace.built("uniffi-bindgen")?, ".", &["generate"]);
    command
        .arg(workspace.built(&library())?)
        .args(["--language", language, "--no-format", "--out-dir"])
        .arg(folder);
    process::run(command, output, deadline)
}

/// The files that are in only one of two folders, or differ.
fn differences(one: &Path, other: &Path) -> Result<Vec<String>> {
    let (one, mut other) = (contents(one)?, contents(other)?);
    let mut different: Vec<String> = one
        .into_iter()
        .filter(|(path, bytes)| other.remove(path).as_ref() != Some(bytes))
        .map(|(path, _)| path)
        .collect();
    different.extend(other.into_keys());
    Ok(different)
}

fn contents(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        if !next.exists() {
            continue;
        }
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).context("it lies below")?;
                files.insert(name.display().to_string(), std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_new_and_a_lost_file_are_differences() {
        let base = std::env::temp_dir().join(format!("xtask-bindings-{}", std::process::id()));
        let (one, other) = (base.join("one"), base.join("other"));
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().expect("below the base")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        for side in [&one, &other] {
            write(side.join("deep/same.kt"), "same");
        }
        assert!(differences(&one, &other).expect("readable").is_empty());
        write(one.join("changed.kt"), "a");
        write(other.join("changed.kt"), "b");
        write(one.join("lost.kt"), "");
        write(other.join("new.kt"), "");
        let found = differences(&one, &other).expect("readable");
        std::fs::remove_dir_all(&base).expect("it is ours");
        assert_eq!(found, ["changed.kt", "lost.kt", "new.kt"]);
    }
}
