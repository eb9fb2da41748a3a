//! The seed of all keys: words from the environment or a file, or made at the first start.
//!
//! Whoever has the words can make tickets. Words that are lost cannot be made again, and a mint
//! without them could not even tell its own tickets: so they are made only where there is no
//! database yet, and never beside one.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bip39::Mnemonic;
use portal_core::env::Env;
use portal_core::primitives::Secret;
use zeroize::Zeroize as _;

use crate::store::{create_folder, private, sqlite_path};

/// The file that is made when there are no words.
pub const FILE: &str = "mnemonic.txt";

/// 64 bytes that all keys come from.
pub type Seed = Secret<[u8; 64]>;

/// Why there is no seed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The words are not words of BIP-39.
    #[error("the mnemonic is not one: 12 to 24 English words of BIP-39 are needed")]
    NotWords,
    /// The file cannot be read or written.
    #[error("the mnemonic file {path} cannot be used")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a database, and the words to it are gone.
    #[error(
        "there is a database in {folder}, but no mnemonic: set MNEMONIC_FILE or CDK_MINTD_MNEMONIC"
    )]
    Lost {
        /// Where.
        folder: PathBuf,
    },
}

/// The words to seed a mint with.
///
/// # Errors
/// When there are none that can be used.
pub fn load(
    words: Option<&Secret<String>>,
    file: Option<&Path>,
    folder: &Path,
    may_make: bool,
    env: &Env,
) -> Result<Seed, SeedError> {
    if let Some(words) = words {
        return parse(words.expose());
    }
    if let Some(path) = file {
        return read(path);
    }
    let path = folder.join(FILE);
    match read(&path) {
        Err(SeedError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            if sqlite_path(folder).exists() || !may_make {
                return Err(SeedError::Lost { folder: folder.to_owned() });
            }
            make(&path, env)
        }
        other => other,
    }
}

fn read(path: &Path) -> Result<Seed, SeedError> {
    let mut words = std::fs::read_to_string(path)
        .map_err(|source| SeedError::File { path: path.to_owned(), source })?;
    let seed = parse(&words);
    words.zeroize();
    seed
}

fn parse(words: &str) -> Result<Seed, SeedError> {
    let mnemonic = Mnemonic::parse_normalized(words.trim()).map_err(|_| SeedError::NotWords)?;
    Ok(Secret::new(mnemonic.to_seed_normalized("")))
}

fn make(path: &Path, env: &Env) -> Result<Seed, SeedError> {
    let mut entropy: [u8; 16] = env.bytes();
    let mnemonic = Mnemonic::from_entropy(&entropy).map_err(|_| SeedError::NotWords)?;
    entropy.zeroize();
    let write = || {
        if let Some(folder) = path.parent() {
            create_folder(folder)?;
        }
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(path)?;
        let mut words = mnemonic.to_string();
        words.push('\n');
        let written = file.write_all(words.as_bytes()).and_then(|()| file.sync_all());
        words.zeroize();
        written
    };
    write().map_err(|source| SeedError::File { path: path.to_owned(), source })?;
    tracing::warn!(path = %path.display(), "a mnemonic was made: back it up, all keys come from it");
    Ok(Secret::new(mnemonic.to_seed_normalized("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon about";

    #[test]
    fn words_are_made_once_and_are_their_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let env = Env::system();
        let one = load(None, None, folder.path(), true, &env).expect("made");
        let two = load(None, None, folder.path(), true, &env).expect("read");
        assert_eq!(one.expose(), two.expose());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let file = std::fs::metadata(folder.path().join(FILE)).expect("there");
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn no_words_are_made_beside_a_database() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(sqlite_path(folder.path()), "").expect("written");
        let lost = load(None, None, folder.path(), true, &Env::system());
        assert!(matches!(lost, Err(SeedError::Lost { .. })));
        assert!(!folder.path().join(FILE).exists());
    }

    #[test]
    fn named_words_win_and_wrong_ones_are_not_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        let words = Secret::new(format!("  {WORDS}\n"));
        assert!(load(Some(&words), None, folder.path(), false, &Env::system()).is_ok());
        let wrong = Secret::new("hunter2 hunter2".to_owned());
        let error =
            load(Some(&wrong), None, folder.path(), true, &Env::system()).expect_err("refused");
        assert!(!error.to_string().contains("hunter2"));
        let missing = folder.path().join("nothing");
        assert!(load(None, Some(&missing), folder.path(), true, &Env::system()).is_err());
    }
}
