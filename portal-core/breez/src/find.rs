//! Where the library lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that names the library.
pub const VARIABLE: &str = "PORTAL_BREEZ_LIB";

/// What the official packages call it on this platform.
pub const FILE_NAME: &str = if cfg!(target_os = "windows") {
    "breez_sdk_spark_bindings.dll"
} else if cfg!(target_vendor = "apple") {
    "libbreez_sdk_spark_bindings.dylib"
} else {
    "libbreez_sdk_spark_bindings.so"
};

/// Where it was looked for: the named path, else [`VARIABLE`], else the places where a library of
/// this platform usually lies. A path that was named is taken even when nothing is there.
pub(crate) fn find(
    named: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    program: Option<&Path>,
) -> Result<PathBuf, Vec<PathBuf>> {
    if let Some(named) = named {
        return there(named.to_owned());
    }
    if let Some(path) = variable(VARIABLE).filter(|path| !path.is_empty()) {
        return there(PathBuf::from(path));
    }
    let (paths, usual): (&str, &[&str]) = if cfg!(target_os = "windows") {
        ("PATH", &[])
    } else if cfg!(target_vendor = "apple") {
        ("DYLD_LIBRARY_PATH", &["/usr/local/lib", "/opt/homebrew/lib"])
    } else {
        ("LD_LIBRARY_PATH", &["/usr/local/lib", "/usr/lib"])
    };
    let mut folders: Vec<PathBuf> =
        program.and_then(Path::parent).map(Path::to_owned).into_iter().collect();
    if let Some(listed) = variable(paths) {
        folders.extend(std::env::split_paths(&listed).filter(|path| path.is_absolute()));
    }
    folders.extend(usual.iter().map(PathBuf::from));
    let searched: Vec<PathBuf> = folders.iter().map(|folder| folder.join(FILE_NAME)).collect();
    match searched.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(searched),
    }
}

/// A folder stands for the library in it.
fn there(path: PathBuf) -> Result<PathBuf, Vec<PathBuf>> {
    let path = if path.is_dir() { path.join(FILE_NAME) } else { path };
    if path.is_file() { Ok(path) } else { Err(vec![path]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_path_wins_then_the_variable_then_the_usual_places() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| {
            let folder = folder.path().join(name);
            std::fs::create_dir(&folder).expect("made");
            std::fs::write(folder.join(FILE_NAME), "").expect("written");
            folder.join(FILE_NAME)
        };
        let (named, variable, beside) = (place("named"), place("variable"), place("beside"));
        let program = beside.parent().expect("a folder").join("program");
        let set = |name: &str| {
            (name == VARIABLE).then(|| OsString::from(variable.parent().expect("a folder")))
        };
        assert_eq!(find(Some(&named), set, Some(&program)), Ok(named));
        assert_eq!(find(None, set, Some(&program)), Ok(variable.clone()));
        assert_eq!(find(None, |_| None, Some(&program)), Ok(beside));
        let listed = |name: &str| {
            name.ends_with("PATH").then(|| OsString::from(variable.parent().expect("a folder")))
        };
        assert_eq!(find(None, listed, None), Ok(variable));
    }

    #[test]
    fn nothing_there_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = folder.path().join("none.so");
        assert_eq!(find(Some(&named), |_| None, None), Err(vec![named]));
        let program = folder.path().join("program");
        let searched = find(None, |_| None, Some(&program)).expect_err("nothing is there");
        assert_eq!(searched[0], folder.path().join(FILE_NAME));
    }
}
