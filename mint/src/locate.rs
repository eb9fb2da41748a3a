//! Where the file and the data are, by the variables that deployed mints use.

use std::path::{Path, PathBuf};

use crate::config::{ConfigError, Environment};

/// Where a container has its configuration.
const CONTAINER: &str = "/config.toml";

/// The configuration file: the one that was named, or the first that is there.
///
/// # Errors
/// When a named file is not there, or one cannot be read.
pub fn config(
    flag: Option<&Path>,
    environment: &Environment,
    home: Option<&Path>,
) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let named = flag
        .map(Path::to_owned)
        .or_else(|| set(environment, "CONFIG_PATH").map(PathBuf::from))
        .or_else(|| set(environment, "MINT_CONFIG").map(PathBuf::from));
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(ConfigError::Unreadable { path, source }),
    };
    if let Some(path) = named {
        return read(path).map(Some);
    }
    let own = user_folder(environment, home, "XDG_CONFIG_HOME", ".config")
        .map(|folder| folder.join("portal").join("mint.toml"));
    own.into_iter()
        .chain([PathBuf::from(CONTAINER)])
        .find(|path| path.is_file())
        .map(read)
        .transpose()
}

/// The folder for the data.
#[must_use]
pub fn data(
    flag: Option<&Path>,
    environment: &Environment,
    home: Option<&Path>,
) -> Option<PathBuf> {
    flag.map(Path::to_owned)
        .or_else(|| set(environment, "DATA_DIR").map(PathBuf::from))
        .or_else(|| set(environment, "CDK_MINTD_WORK_DIR").map(PathBuf::from))
        .or_else(|| {
            user_folder(environment, home, "XDG_DATA_HOME", ".local/share")
                .map(|folder| folder.join("portal-mint"))
        })
}

fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn user_folder(
    environment: &Environment,
    home: Option<&Path>,
    variable: &str,
    below: &str,
) -> Option<PathBuf> {
    set(environment, variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| home.join(below)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_deployed_mints_are_understood() {
        let home = Path::new("/home/x");
        let environment = |pairs: &[(&str, &str)]| -> Environment {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let folder = |pairs: &[(&str, &str)]| data(None, &environment(pairs), Some(home));
        assert_eq!(folder(&[]), Some("/home/x/.local/share/portal-mint".into()));
        assert_eq!(folder(&[("XDG_DATA_HOME", "/d")]), Some("/d/portal-mint".into()));
        assert_eq!(folder(&[("CDK_MINTD_WORK_DIR", "/w")]), Some("/w".into()));
        let both = [("CDK_MINTD_WORK_DIR", "/w"), ("DATA_DIR", "/data")];
        assert_eq!(folder(&both), Some("/data".into()));
        assert_eq!(data(Some(Path::new("/f")), &environment(&both), None), Some("/f".into()));
    }

    #[test]
    fn a_named_file_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        let name = path.to_str().expect("text").to_owned();
        for variable in ["CONFIG_PATH", "MINT_CONFIG"] {
            let environment = Environment::from([(variable.to_owned(), name.clone())]);
            assert!(config(None, &environment, None).is_err());
        }
        std::fs::write(&path, "# empty").expect("written");
        let environment = Environment::from([("CONFIG_PATH".to_owned(), name)]);
        let found = config(None, &environment, None).expect("readable");
        assert_eq!(found, Some((path, "# empty".to_owned())));
    }
}
