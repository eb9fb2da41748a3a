//! Can the data folder be written to, is it private, and is the person's key safe in it?

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use portal_core::keystore::text::{is_encrypted, open_key_text};

use super::Finding;
use crate::password::small_file;
use crate::place::Place;

const DATA: &str = "data";
const KEY: &str = "key";

/// Looks at the data folder.
pub(super) fn data_folder(place: &Place) -> Vec<Finding> {
    let path = match place.folder() {
        Ok(path) => path,
        Err(error) => {
            return vec![Finding::bad(DATA, error.to_string(), advice_or_none(error.advice()))];
        }
    };
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            let message = format!("{shown} is not a folder");
            return vec![Finding::bad(DATA, message, "move it away, or use another --data-dir")];
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![Finding::ok(DATA, format!("{shown} does not exist yet; it will be made"))];
        }
        Err(error) => {
            let message = format!("{shown} cannot be looked at: {error}");
            return vec![Finding::bad(DATA, message, "check who owns the folders above it")];
        }
    };
    let mut findings = Vec::new();
    match tempfile::NamedTempFile::new_in(path) {
        Ok(probe) => {
            drop(probe);
            findings.push(Finding::ok(DATA, format!("{shown} can be written to")));
        }
        Err(error) => findings.push(Finding::bad(
            DATA,
            format!("{shown} cannot be written to: {error}"),
            "give it to the user who runs Portal (chown), and check that the disk has space",
        )),
    }
    if let Some(mode) = too_open(&metadata) {
        findings.push(Finding::warn(
            DATA,
            format!("{shown} is open to other users (mode {mode:o})"),
            format!("chmod 700 {shown}"),
        ));
    }
    findings
}

/// Looks at the person's key, without opening it.
pub(super) fn key(place: &Place, named: Option<PathBuf>) -> Vec<Finding> {
    let wanted = named.is_some();
    let path = match named.map_or_else(|| place.key_file(), Ok) {
        Ok(path) => path,
        // The data folder has said so.
        Err(_) => return Vec::new(),
    };
    let shown = path.display();
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("there is no key in {shown}");
            let advice = "make one with `portal key new`; a daemon needs none of these";
            return vec![Finding::bad_if(wanted, KEY, message, advice)];
        }
        Err(error) => return vec![unreadable(&path, &error.to_string())],
    };
    let mut findings = Vec::new();
    let text = match small_file(&path, 4096) {
        Ok(text) => text,
        Err(error) => return vec![unreadable(&path, &error.chain())],
    };
    if is_encrypted(&text) {
        findings.push(Finding::ok(KEY, format!("{shown} is encrypted")));
    } else if open_key_text(&text, None).is_ok() {
        findings.push(Finding::warn(
            KEY,
            format!("{shown} holds a bare key: whoever reads it is you"),
            format!("portal key encrypt {shown} --key-file NEW, then delete it"),
        ));
    } else {
        findings.push(Finding::bad(
            KEY,
            format!("{shown} holds no key that can be read"),
            "put your backup of it in its place, or move it away and run `portal key new`",
        ));
    }
    if let Some(mode) = too_open(&metadata) {
        findings.push(Finding::warn(
            KEY,
            format!("{shown} is open to other users (mode {mode:o})"),
            format!("chmod 600 {shown}"),
        ));
    }
    findings
}

fn unreadable(path: &Path, reason: &str) -> Finding {
    let message = format!("{} cannot be read: {reason}", path.display());
    Finding::bad(KEY, message, "give it to the user who runs Portal (chown, chmod 600)")
}

fn advice_or_none(advice: Option<String>) -> String {
    advice.unwrap_or_else(|| "give --data-dir".to_owned())
}

#[cfg(unix)]
fn too_open(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn too_open(_metadata: &Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn level(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_read_is_told() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::find(Some(folder.path().to_owned()));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("set");
        assert_eq!(level(&data_folder(&place)), [Level::Ok]);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
        assert_eq!(level(&data_folder(&place)), [Level::Ok, Level::Warn]);
        let missing = Place::find(Some(folder.path().join("missing")));
        assert_eq!(level(&data_folder(&missing)), [Level::Ok]);
        let file = folder.path().join("file");
        fs::write(&file, "x").expect("written");
        assert_eq!(level(&data_folder(&Place::find(Some(file)))), [Level::Bad]);
    }

    #[test]
    fn a_bare_key_is_told_and_never_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::find(Some(folder.path().to_owned()));
        assert_eq!(level(&key(&place, None)), [Level::Warn]);
        assert_eq!(level(&key(&place, Some(folder.path().join("named")))), [Level::Bad]);
        let path = place.key_file().expect("a place");
        let hex = "11".repeat(32);
        fs::write(&path, &hex).expect("written");
        let findings = key(&place, None);
        assert_eq!(findings[0].level, Level::Warn);
        assert!(!format!("{findings:?}").contains(&hex));
        fs::write(&path, "a letter").expect("written");
        assert_eq!(key(&place, None)[0].level, Level::Bad);
    }
}
