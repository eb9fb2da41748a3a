//! Where a person's keys and wallets are kept on this machine.

use std::path::{Path, PathBuf};

use nostr::PublicKey;

use crate::error::CliError;

/// The folder of Portal in the user's data directory, when there is one.
#[derive(Clone, Debug)]
pub struct Place(Option<PathBuf>);

impl Place {
    /// `--data-dir`, else `PORTAL_DATA_DIR`, else `portal` in the user's data directory.
    pub fn find(named: Option<PathBuf>) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Self(choose(
            named,
            variable("PORTAL_DATA_DIR").map(PathBuf::from),
            variable(if cfg!(windows) { "APPDATA" } else { "XDG_DATA_HOME" }).map(PathBuf::from),
            home.as_deref(),
        ))
    }

    /// The folder. It need not exist.
    ///
    /// # Errors
    /// When the system names no place for a user's data.
    pub fn folder(&self) -> Result<&Path, CliError> {
        self.0.as_deref().ok_or(CliError::NoDataDir)
    }

    /// The file of the person's key.
    ///
    /// # Errors
    /// As [`Place::folder`].
    pub fn key_file(&self) -> Result<PathBuf, CliError> {
        Ok(self.folder()?.join("key.ncryptsec"))
    }

    /// A file that belongs to one identity: what one key has open is none of another's business.
    ///
    /// # Errors
    /// As [`Place::folder`].
    pub fn wallet_file(&self, owner: PublicKey, ending: &str) -> Result<PathBuf, CliError> {
        let owner = owner.to_hex();
        let short = owner.get(..16).unwrap_or(&owner);
        Ok(self.folder()?.join(format!("wallet-{short}.{ending}")))
    }
}

/// Creates the folder for its owner alone, unless it is there.
///
/// # Errors
/// When it cannot be made.
pub fn create_folder(path: &Path) -> Result<(), CliError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        done: "made",
        source,
    })
}

fn choose(
    named: Option<PathBuf>,
    own: Option<PathBuf>,
    system: Option<PathBuf>,
    home: Option<&Path>,
) -> Option<PathBuf> {
    let usual =
        if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
    named.or(own).or_else(|| {
        let system = system.filter(|folder| folder.is_absolute());
        system.or_else(|| home.map(|home| home.join(usual))).map(|folder| folder.join("portal"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_named_goes_before_what_is_usual() {
        let path = |text: &str| Some(PathBuf::from(text));
        let home = Path::new("/people/a");
        assert_eq!(choose(path("x"), path("/y"), path("/z"), Some(home)), path("x"));
        assert_eq!(choose(None, path("/y"), path("/z"), Some(home)), path("/y"));
        assert_eq!(choose(None, None, path("/z"), Some(home)), path("/z/portal"));
        let usual = choose(None, None, path("not/absolute"), Some(home)).expect("a home");
        assert!(usual.starts_with(home) && usual.ends_with("portal"), "{}", usual.display());
        assert_eq!(choose(None, None, None, None), None);
    }
}
