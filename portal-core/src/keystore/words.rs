//! The words of a wallet in a plain file of their own, for programs that hold small money and have
//! nobody to ask for a password. The file is its owner's alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::env::Env;
use crate::identity::Mnemonic;
use crate::primitives::Secret;
use crate::storage::private_file;

/// What is in the file.
pub struct KeptWords {
    /// The words, as they stand there.
    pub words: Secret<String>,
    /// They were made now: their owner should be told to keep a copy.
    pub new: bool,
}

/// The words in a file; made, and durable, when there are none yet.
///
/// # Errors
/// When the file cannot be read or written.
pub fn kept_words(path: &Path, env: &Env) -> io::Result<KeptWords> {
    match std::fs::read_to_string(path) {
        // An empty file is what a crash left before any words were used.
        Ok(text) if !text.trim().is_empty() => {
            let text = Secret::new(text);
            let words = Secret::new(text.expose().trim().to_owned());
            return Ok(KeptWords { words, new: false });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    private_file::create_parent(path)?;
    private_file::ensure(path)?;
    let words = Mnemonic::generate(env).words().clone();
    let mut file = OpenOptions::new().write(true).open(path)?;
    // Of two that start at once only one may make words.
    file.try_lock().map_err(|_| io::Error::from(io::ErrorKind::ResourceBusy))?;
    if file.metadata()?.len() > 0 {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    file.write_all(words.expose().as_bytes())?;
    file.sync_all()?;
    // The name is durable with its folder; not every system can do that.
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok())
        && let Err(error) = folder.sync_all()
    {
        tracing::debug!(%error, "the folder cannot be synced");
    }
    Ok(KeptWords { words, new: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_has_the_same_words_and_they_are_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below").join("words");
        let first = kept_words(&path, &Env::system()).expect("made");
        let second = kept_words(&path, &Env::system()).expect("read");
        assert_eq!(first.words.expose(), second.words.expose());
        assert!(first.new && !second.new);
        assert!(Mnemonic::parse(first.words.expose()).is_ok());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let file = std::fs::metadata(&path).expect("there");
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_a_crash_left_empty_is_written_and_what_holds_words_never_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("words");
        std::fs::write(&path, "").expect("written");
        assert!(kept_words(&path, &Env::system()).expect("made").new);
        std::fs::write(&path, "not words\n").expect("written");
        let kept = kept_words(&path, &Env::system()).expect("read");
        assert_eq!((kept.words.expose().as_str(), kept.new), ("not words", false));
    }
}
