//! The rules of ARCHITECTURE.md that no compiler checks, held against the tree.

#[path = "tidy/rules.rs"]
mod rules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rules::{Breach, EDGES, ROWS};

const SOURCES: &[&str] = &["rs", "ts", "kt", "swift", "py"];
/// Folders whose content is not written by hand.
const NOT_OURS: &[&str] =
    &["target", "node_modules", "dist", "build", "build-test", "generated", "__pycache__"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the workspace").to_path_buf()
}

/// Hand-written files below a folder, with their paths relative to it.
fn files(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if wanted(&path) {
                let relative = path.strip_prefix(folder).expect("it lies below").to_string_lossy();
                let text = std::fs::read_to_string(&path).expect("source is UTF-8");
                found.push((relative.into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn sources(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    files(&root().join(folder), |path| {
        let extension =
            path.extension().is_some_and(|own| extensions.iter().any(|one| own == *one));
        extension && !path.to_string_lossy().ends_with(".d.ts")
    })
}

fn manifest(folder: &str) -> (String, String) {
    let path = format!("{folder}/Cargo.toml");
    let text = std::fs::read_to_string(root().join(&path)).expect("every crate has one");
    (path, text)
}

fn check_core(rule: impl Fn(&str, &str) -> Vec<Breach>) {
    let sources = sources("portal-core/src", &["rs"]);
    assert!(sources.len() > 20, "portal-core/src was not found");
    let breaches = sources.iter().filter(|(path, _)| !rules::only_tests(path));
    report("portal-core/src/", breaches.flat_map(|(path, text)| rule(path, text)));
}

#[track_caller]
fn report(folder: &str, breaches: impl Iterator<Item = Breach>) {
    let lines: Vec<String> = breaches.map(|breach| format!("  {folder}{breach}")).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn modules_see_only_their_own_row_and_those_below() {
    check_core(rules::layers);
}

#[test]
fn only_the_driver_and_connections_start_tasks() {
    check_core(rules::spawns);
}

#[test]
fn only_env_reads_the_clock_and_makes_randomness() {
    check_core(rules::reads_the_world);
}

#[test]
fn machines_never_wait() {
    check_core(rules::machines_wait);
}

#[test]
fn modules_of_tests_do_not_ship() {
    check_core(rules::tests_are_gated);
}

#[test]
fn core_knows_no_edge_and_edges_do_not_know_each_other() {
    let (path, text) = manifest("portal-core");
    report("", rules::core_dependencies(&path, &text).into_iter());
    for (folder, own) in EDGES {
        let (path, text) = manifest(folder);
        report("", rules::edge_dependencies(&path, own, &text).into_iter());
    }
}

#[test]
fn exported_async_blocks_name_their_runtime() {
    let sources = sources("portal-ffi/src", &["rs"]);
    assert!(!sources.is_empty(), "portal-ffi/src was not found");
    let breaches =
        sources.iter().flat_map(|(path, text)| rules::exports_name_the_runtime(path, text));
    report("portal-ffi/src/", breaches);
}

#[test]
fn no_file_is_too_long() {
    let sizes = sources("", SOURCES).into_iter().map(|(path, text)| rules::size(&path, &text));
    let (notes, breaches): (Vec<_>, Vec<_>) = sizes.partition(Result::is_ok);
    for note in notes.into_iter().flatten().flatten() {
        eprintln!("note: {note}");
    }
    report("", breaches.into_iter().filter_map(Result::err));
}

#[test]
fn lock_files_of_npm_have_no_addresses() {
    let locks = files(&root(), |path| path.file_name().is_some_and(|n| n == "package-lock.json"));
    report("", locks.iter().flat_map(|(path, text)| rules::lock_without_addresses(path, text)));
}

#[test]
fn the_reference_lists_every_error_code() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("it is there");
    let reference = read("docs/src/websocket.md");
    for line in read("portal-core/src/primitives/error_codes.golden").lines() {
        let (number, word) = line.split_once(' ').expect("a number and a word");
        let row = format!("| `{word}` | {number} |");
        assert!(reference.contains(&row), "docs/src/websocket.md has no row {row}");
    }
}

#[test]
fn every_module_of_core_stands_in_exactly_one_row() {
    let modules: Vec<&str> = ROWS.iter().copied().flatten().copied().collect();
    let unique: BTreeSet<&str> = modules.iter().copied().collect();
    assert_eq!(unique.len(), modules.len());
}
