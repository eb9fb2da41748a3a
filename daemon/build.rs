//! Puts the commit into the binary, for `GET /version`. Builds without git say `unknown`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=PORTAL_GIT_COMMIT");
    if let Some(head) = git(&["rev-parse", "--git-path", "HEAD"]) {
        println!("cargo::rerun-if-changed={head}");
    }
    let commit = std::env::var("PORTAL_GIT_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty())
        .or_else(|| git(&["describe", "--always", "--exclude=*", "--abbrev=8", "--dirty"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=PORTAL_GIT_COMMIT={commit}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
