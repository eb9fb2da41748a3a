//! Where the file and the data are. The choice is a pure function; [`read`] then reads.

use std::path::{Path, PathBuf};

use super::{ConfigError, Environment, Flags};

/// The configuration file that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// A place where the file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// Somebody named it, so it must be there.
    pub named: bool,
}

/// The places to look at, first one first.
#[must_use]
pub fn candidates(
    flag: Option<&Path>,
    environment: &Environment,
    home: Option<&Path>,
) -> Vec<Candidate> {
    if let Some(path) = flag {
        return vec![Candidate { path: path.to_owned(), named: true }];
    }
    if let Some(path) = set(environment, "PORTAL_CONFIG") {
        return vec![Candidate { path: path.into(), named: true }];
    }
    let mut places = Vec::new();
    if let Some(folder) = user_folder(environment, home, "XDG_CONFIG_HOME", ".config") {
        places.push(Candidate { path: folder.join("portal").join("daemon.toml"), named: false });
    }
    if let Some(home) = home {
        let older = home.join(".portal-rest").join("config.toml");
        places.push(Candidate { path: older, named: false });
    }
    places
}

/// The folder for the data.
#[must_use]
pub fn data_dir(environment: &Environment, home: Option<&Path>, flags: &Flags) -> Option<PathBuf> {
    flags
        .data_dir
        .clone()
        .or_else(|| set(environment, "PORTAL_DATA_DIR").map(PathBuf::from))
        .or_else(|| {
            if flags.dev {
                // What is only tried out goes where it disappears, unless a place is named.
                return None;
            }
            user_folder(environment, home, "XDG_DATA_HOME", ".local/share")
                .map(|folder| folder.join("portal"))
        })
}

/// Reads the first of the places that has a file.
///
/// # Errors
/// When a named file is not there, or a file cannot be read.
pub fn read(candidates: &[Candidate]) -> Result<Option<Found>, ConfigError> {
    for Candidate { path, named } in candidates {
        match std::fs::read_to_string(path) {
            Ok(text) => return Ok(Some(Found { path: path.clone(), text })),
            // Nobody said that it is there; in a folder that is closed to us it is not ours.
            Err(_) if !named && !matches!(path.try_exists(), Ok(true)) => {}
            Err(source) => return Err(ConfigError::Unreadable { path: path.clone(), source }),
        }
    }
    Ok(None)
}

/// A folder of the user: what the system's own variable says, else the usual place.
fn user_folder(
    environment: &Environment,
    home: Option<&Path>,
    xdg: &str,
    usual: &str,
) -> Option<PathBuf> {
    let named = if cfg!(windows) { set(environment, "APPDATA") } else { set(environment, xdg) };
    if let Some(folder) = named.map(PathBuf::from).filter(|folder| folder.is_absolute()) {
        return Some(folder);
    }
    let usual = if cfg!(target_os = "macos") { "Library/Application Support" } else { usual };
    home.map(|home| home.join(usual))
}

fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}
