//! The rules: each reads one file's path and text and names the places that break it.
//!
//! They read text, not syntax: code that hides from a rule on purpose can; code that forgets one
//! cannot.

use std::fmt;

/// The rows of portal-core, from the roof down. A module sees its own row and those below it.
pub const ROWS: &[&[&str]] = &[
    &["lib", "error"],
    &["client", "service"],
    &["driver"],
    &["payments", "subscriptions", "cashu"],
    &["relay", "storage", "keystore", "wallet", "rates"],
    &["conversation"],
    &["protocol", "identity", "event", "primitives", "env"],
];

/// The row that answers to the world outside.
const FACADE: usize = 1;

/// What portal-core must not depend on; a name covers those that begin with it and a dash.
const FORBIDDEN_IN_CORE: &[&str] = &["uniffi", "napi", "axum", "anyhow"];

/// Folder and crate of each edge.
pub const EDGES: &[(&str, &str)] =
    &[("portal-ffi", "portal-ffi"), ("portal-napi", "portal-napi"), ("daemon", "portal-daemon")];

/// Below portal-core/src: who may start tasks and threads.
///
/// Besides the driver: ports that own connections or files. The keystore's threads end with the one
/// call they are for.
const MAY_SPAWN: &[&str] = &["driver/", "relay/", "wallet/", "storage/sqlite", "keystore/file"];

/// What reads the clock or makes randomness. Traits of randomness may be named, sources not.
const WORLD: &[&str] = &[
    "SystemTime::now",
    "Utc::now",
    "Local::now",
    "Timestamp::now(",
    "rand::random",
    "rand::rng(",
    "thread_rng(",
    "ThreadRng",
    "OsRng",
    "from_entropy",
    "getrandom::",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "Keys::generate(",
];

const LINES_ASK: usize = 500;
const LINES_END: usize = 800;
/// A place that breaks a rule.
#[derive(Debug, PartialEq)]
pub struct Breach {
    file: String,
    line: usize,
    rule: String,
}

impl Breach {
    fn new(file: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, rule: rule.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// The lines before the unit tests, numbered from 1.
fn production(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].starts_with("#[cfg(test)]") && pair[1].trim_start().starts_with("mod ")
    });
    let end = tests.unwrap_or(lines.len());
    lines.into_iter().take(end).enumerate().map(|(index, line)| (index + 1, line))
}

/// The part of a line before a comment.
fn code(line: &str) -> &str {
    match line.find("//") {
        // A URL in a string is not a comment.
        Some(at) if !line[..at].ends_with(':') => &line[..at],
        _ => line,
    }
}

/// Whether the text has this word or path, not as a part of a longer name.
fn names(text: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let bounded_end = word.ends_with(part_of_name);
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let inside = before.is_some_and(part_of_name);
        !(inside || bounded_end && after.is_some_and(part_of_name))
    })
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

fn row_of(module: &str) -> Option<usize> {
    // The root gives these two another name.
    let module = if matches!(module, "Error" | "Result") { "error" } else { module };
    ROWS.iter().position(|row| row.contains(&module))
}

/// Files that hold nothing but tests: their names say so, and [`tests_are_gated`] holds them to it.
pub fn only_tests(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "suite" | "suite.rs"))
}

/// A module with the name of tests is not compiled into what ships.
pub fn tests_are_gated(path: &str, text: &str) -> Vec<Breach> {
    let mut gate = false;
    let mut breaches = Vec::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        let declared = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        if let Some((_, name)) = declared
            && only_tests(name)
            && !gate
        {
            let rule = format!("`mod {name}` needs #[cfg(test)] or the feature `testing`");
            breaches.push(Breach::new(path, index + 1, rule));
        }
        gate = line.starts_with("#[cfg(") && (names(line, "test") || line.contains("\"testing\""))
            || gate && line.starts_with("#[");
    }
    breaches
}

/// `path` is relative to portal-core/src.
pub fn layers(path: &str, text: &str) -> Vec<Breach> {
    let first = path.split('/').next().unwrap_or(path);
    let module = first.strip_suffix(".rs").unwrap_or(first);
    let Some(own) = row_of(module) else {
        return vec![Breach::new(
            path,
            1,
            format!("module `{module}` stands in no row: give it one"),
        )];
    };
    let mut breaches = Vec::new();
    for (line, target) in crate_references(text) {
        match row_of(&target) {
            Some(row) if row >= own => {}
            // The façade returns the umbrella over all errors.
            Some(0) if own == FACADE && matches!(target.as_str(), "error" | "Error" | "Result") => {
            }
            Some(_) => breaches.push(Breach::new(
                path,
                line,
                format!("`{module}` must not see `{target}`, which stands in a row above it"),
            )),
            // Re-exports and macros of the root: only the roof has them.
            None if own == 0 => {}
            None => breaches.push(Breach::new(
                path,
                line,
                format!("`crate::{target}` is of the roof: name the module it comes from"),
            )),
        }
    }
    breaches
}

/// Every `crate::module` in production code, also those in `use crate::{a, b::c}`.
fn crate_references(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let lines: Vec<(usize, &str)> =
        production(text).map(|(number, line)| (number, code(line))).collect();
    for (index, (number, line)) in lines.iter().enumerate() {
        for (at, _) in line.match_indices("crate::") {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &line[at + "crate::".len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let more = lines[index + 1..].iter().map(|(_, line)| *line);
                let group = std::iter::once(group).chain(more).collect::<Vec<_>>().join(" ");
                found.extend(first_level(&group).map(|name| (*number, name)));
            } else {
                let name = identifier(rest);
                // A macro lives at the root whoever it is from; what it names is checked there.
                if !rest[name.len()..].starts_with('!') {
                    found.push((*number, name.to_owned()));
                }
            }
        }
    }
    found
}

/// The names on the first level of `a::b, c::{d, e}}`.
fn first_level(group: &str) -> impl Iterator<Item = String> {
    let mut depth = 0_usize;
    let mut names = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            _ if depth == 0 => names.last_mut().expect("it begins with one").push(c),
            _ => {}
        }
    }
    names
        .into_iter()
        .map(|name| identifier(name.trim()).to_owned())
        .filter(|name| !name.is_empty() && name != "self")
}

/// Names of the crates in the dependency tables of a Cargo.toml, with their lines.
fn dependencies(manifest: &str, with_dev: bool) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            let (head, name) = match table.rsplit_once("dependencies.") {
                Some((head, name)) => (format!("{head}dependencies"), Some(name)),
                None => (table.to_owned(), None),
            };
            inside =
                head.ends_with("dependencies") && (with_dev || !head.ends_with("dev-dependencies"));
            if let Some(name) = name.filter(|_| inside) {
                found.push((index + 1, name));
                inside = false;
            }
        } else if inside && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or("").trim_matches('"');
            if !name.is_empty() {
                found.push((index + 1, name));
            }
        }
    }
    found
}

pub fn core_dependencies(path: &str, manifest: &str) -> Vec<Breach> {
    let forbidden = |name: &str| {
        FORBIDDEN_IN_CORE.iter().any(|word| {
            name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    dependencies(manifest, true)
        .into_iter()
        .filter(|(_, name)| forbidden(name))
        .map(|(line, name)| Breach::new(path, line, format!("portal-core must not know `{name}`")))
        .collect()
}

pub fn edge_dependencies(path: &str, own: &str, manifest: &str) -> Vec<Breach> {
    dependencies(manifest, false)
        .into_iter()
        .filter(|(_, name)| *name != own && EDGES.iter().any(|(_, edge)| edge == name))
        .map(|(line, name)| {
            Breach::new(path, line, format!("an edge must not see the edge `{name}`"))
        })
        .collect()
}

/// `path` is relative to portal-core/src.
pub fn spawns(path: &str, text: &str) -> Vec<Breach> {
    if MAY_SPAWN.iter().any(|allowed| path.starts_with(allowed)) {
        return Vec::new();
    }
    let calls = ["spawn(", "spawn_blocking(", "spawn_local(", "spawn_on(", "spawn_scoped("];
    production(text)
        // The driver's own tracker is what owns tasks: whoever has it may hand it one.
        .map(|(line, text)| (line, code(text).replace("tasks().spawn(", "")))
        .filter(|(_, text)| calls.iter().any(|call| names(text, call)))
        .map(|(line, _)| {
            Breach::new(
                path,
                line,
                "only the driver and ports that own connections or files start tasks",
            )
        })
        .collect()
}

/// `path` is relative to portal-core/src.
pub fn reads_the_world(path: &str, text: &str) -> Vec<Breach> {
    if path == "env.rs" {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for (line, text) in production(text) {
        for word in WORLD.iter().filter(|word| names(code(text), word)) {
            let rule = format!("`{word}` belongs to env.rs: take time and randomness from Env");
            breaches.push(Breach::new(path, line, rule));
        }
    }
    breaches
}

/// `path` is relative to portal-core/src.
pub fn machines_wait(path: &str, text: &str) -> Vec<Breach> {
    if !path.starts_with("conversation") {
        return Vec::new();
    }
    production(text)
        .filter(|(_, line)| names(code(line), "async") || names(code(line), "await"))
        .map(|(line, _)| Breach::new(path, line, "a machine never waits: no `async`, no `await`"))
        .collect()
}

/// An exported block with an `async fn` must name the runtime, or it panics on the phone.
pub fn exports_name_the_runtime(path: &str, text: &str) -> Vec<Breach> {
    let lines: Vec<(usize, &str)> =
        production(text).map(|(number, line)| (number, code(line))).collect();
    let mut breaches = Vec::new();
    for (index, (number, line)) in lines.iter().enumerate() {
        if !line.trim_start().starts_with("#[uniffi::export") {
            continue;
        }
        let rest: String = lines[index..].iter().map(|(_, line)| format!("{line}\n")).collect();
        let attribute = &rest[..rest.find(']').unwrap_or(rest.len())];
        let item = after_attributes(&rest);
        let exported = ["impl", "fn", "async"].iter().any(|word| {
            let item = item.strip_prefix("pub ").unwrap_or(item);
            names(identifier(item), word)
        });
        if exported
            && block(item).contains("async fn")
            && !attribute.contains("async_runtime = \"tokio\"")
        {
            let rule = "an exported block with `async fn` needs `async_runtime = \"tokio\"`";
            breaches.push(Breach::new(path, *number, rule));
        }
    }
    breaches
}

fn after_attributes(text: &str) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with("#[") {
        let mut depth = 0_usize;
        let end = rest.char_indices().find_map(|(at, c)| {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            (c == ']' && depth == 0).then_some(at + 1)
        });
        rest = rest[end.unwrap_or(rest.len())..].trim_start();
    }
    rest
}

/// From the start of an item to the end of its braces.
fn block(item: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return &item[..at],
            '}' => depth -= 1,
            _ => {}
        }
    }
    item
}

pub fn size(path: &str, text: &str) -> Result<Option<String>, Breach> {
    match production(text).count() {
        lines if lines > LINES_END => {
            let rule = format!("{lines} lines, {LINES_END} is the end: split it by capability");
            Err(Breach::new(path, LINES_END + 1, rule))
        }
        lines if lines > LINES_ASK => Ok(Some(format!("{path}: {lines} lines, why?"))),
        _ => Ok(None),
    }
}

/// Lock files name packages, not where one machine got them.
pub fn lock_without_addresses(path: &str, text: &str) -> Vec<Breach> {
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains("\"resolved\": \"http"));
    lines
        .map(|(index, _)| {
            Breach::new(path, index + 1, "an address: omit-lockfile-registry-resolved")
        })
        .take(1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(breaches: Vec<Breach>) -> Vec<usize> {
        breaches.into_iter().map(|breach| breach.line).collect()
    }

    #[test]
    fn layers_finds_what_looks_up() {
        let text = "//! See [`crate::service`].\nuse crate::driver::Timers;\nuse crate::event::X;\n\
                    use crate::{\n    primitives::{Timestamp, service},\n    client,\n};\n\
                    fn f() { crate::Error::new() } // crate::service\n\
                    #[cfg(test)]\nmod tests {\n    use crate::service::Service;\n}\n";
        assert_eq!(lines(layers("wallet/nwc/mod.rs", text)), [2, 4, 8]);
        assert_eq!(lines(layers("driver/mod.rs", text)), [4, 8]);
        assert_eq!(lines(layers("lib.rs", text)), []);
        assert_eq!(lines(layers("helpers.rs", "")), [1], "an unknown module");
        let breach = &layers("env.rs", "use crate::relay::RelayPool;")[0];
        assert!(breach.to_string().starts_with("env.rs:1: `env` must not see `relay`"), "{breach}");
    }

    #[test]
    fn the_facade_alone_may_see_the_umbrella_error() {
        assert_eq!(
            lines(layers("service/mod.rs", "use crate::Error;\nuse crate::error::Error;")),
            []
        );
        assert_eq!(lines(layers("driver/mod.rs", "use crate::Error;")), [1]);
        assert_eq!(lines(layers("service/mod.rs", "use crate::Nowhere;")), [1]);
    }

    #[test]
    fn tests_are_gated_finds_tests_that_ship() {
        let gated = "#[cfg(test)]\nmod tests;\n#[cfg(feature = \"testing\")]\n#[doc(hidden)]\npub mod suite;\n";
        assert_eq!(lines(tests_are_gated("mod.rs", gated)), []);
        let loose = "#[cfg(unix)]\nmod tests;\npub mod suite;\nmod contests;\n";
        assert_eq!(lines(tests_are_gated("mod.rs", loose)), [2, 3]);
    }

    #[test]
    fn references_to_other_crates_are_not_ours() {
        assert_eq!(
            lines(layers(
                "env.rs",
                "use my_crate::service::X;\n$crate::service!();\ncrate::service_suite!(x);"
            )),
            []
        );
    }

    #[test]
    fn dependencies_finds_forbidden_crates_in_every_table() {
        let text = "[package]\nname = \"axum\"\n[dependencies]\nserde = \"1\"\nnapi-derive = \"3\"\n\
                    # axum = \"1\"\n[target.'cfg(unix)'.dependencies.uniffi]\nversion = \"1\"\n\
                    [dev-dependencies]\nanyhow.workspace = true\nanyhow2 = \"1\"\n\
                    [features]\naxum = []\n";
        assert_eq!(lines(core_dependencies("Cargo.toml", text)), [5, 7, 10]);
    }

    #[test]
    fn edges_finds_an_edge_among_dependencies_but_not_among_those_of_tests() {
        let text = "[dependencies]\nportal-core.workspace = true\nportal-daemon.workspace = true\n\
                    [dev-dependencies]\nportal-napi.workspace = true\n";
        assert_eq!(lines(edge_dependencies("Cargo.toml", "portal-ffi", text)), [3]);
        assert_eq!(lines(edge_dependencies("Cargo.toml", "portal-daemon", text)), []);
    }

    #[test]
    fn spawns_finds_tasks_where_nobody_owns_them() {
        let text = "tokio::spawn(x);\nset.spawn(y);\nhandle.spawn_blocking(z);\n// spawn(a)\n\
                    respawn(b);\nspawned();\n\
                    node.tasks().spawn(c);\n";
        assert_eq!(lines(spawns("service/mod.rs", text)), [1, 2, 3]);
        assert_eq!(lines(spawns("storage/memory.rs", text)), [1, 2, 3]);
        assert_eq!(lines(spawns("storage/sqlite/writer.rs", text)), []);
        assert_eq!(lines(spawns("driver/tasks.rs", text)), []);
    }

    #[test]
    fn reads_the_world_finds_clocks_and_dice() {
        let text = "let a = SystemTime::now();\nlet b = secp256k1::rand::random();\nuse rand::RngCore;\n\
                    let url = \"ws://x\"; let c = Uuid::new_v4();\nlet d = env.now();\n\
                    #[cfg(test)]\nmod tests {\n    fn f() { OsRng }\n}\n";
        assert_eq!(lines(reads_the_world("relay/mod.rs", text)), [1, 2, 4]);
        assert_eq!(lines(reads_the_world("env.rs", text)), []);
    }

    #[test]
    fn machines_wait_finds_waiting_machines_only() {
        let text = "async fn f() {}\nx.await;\nlet asynchronous = 1;\n// await\n";
        assert_eq!(lines(machines_wait("conversation/auth/mod.rs", text)), [1, 2]);
        assert_eq!(lines(machines_wait("driver/mod.rs", text)), []);
    }

    #[test]
    fn exports_finds_a_block_without_a_runtime() {
        let bare = "#[uniffi::export]\nimpl A {\n    pub fn a(&self) {}\n    pub async fn b(&self) {}\n}\n";
        assert_eq!(lines(exports_name_the_runtime("a.rs", bare)), [1]);
        let function = "\n#[uniffi::export]\n#[must_use]\npub async fn b() {}\n";
        assert_eq!(lines(exports_name_the_runtime("a.rs", function)), [2]);
        let named = bare.replace("export]", "export(\n    async_runtime = \"tokio\"\n)]");
        assert_eq!(lines(exports_name_the_runtime("a.rs", &named)), []);
        let quiet = "#[uniffi::export]\nimpl A {\n    pub fn a(&self) {}\n}\nimpl A {\n async fn b() {}\n}\n";
        assert_eq!(lines(exports_name_the_runtime("a.rs", quiet)), []);
        let foreign = "#[uniffi::export(with_foreign)]\n#[async_trait]\npub trait W {\n    async fn b();\n}\n";
        assert_eq!(
            lines(exports_name_the_runtime("a.rs", foreign)),
            [],
            "the foreign side runs it"
        );
    }

    #[test]
    fn size_counts_production_lines() {
        let long = "x\n".repeat(LINES_END + 1);
        assert!(size("a.rs", &long).is_err());
        assert_eq!(size("a.rs", &"x\n".repeat(LINES_ASK)), Ok(None));
        assert!(size("a.rs", &"x\n".repeat(LINES_ASK + 1)).is_ok_and(|note| note.is_some()));
        let tested = format!("x\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(size("a.rs", &tested), Ok(None));
        let hidden = format!("#[cfg(test)]\nuse a::b;\n{long}");
        assert!(size("a.rs", &hidden).is_err(), "an attribute alone does not end production code");
    }

    #[test]
    fn lock_finds_an_address() {
        let clean = "{\n  \"resolved\": \"packages/a\"\n}";
        assert_eq!(lines(lock_without_addresses("package-lock.json", clean)), []);
        let named = "{\n  \"resolved\": \"https://example.com/a.tgz\"\n}";
        assert_eq!(lines(lock_without_addresses("package-lock.json", named)), [2]);
    }
}
