//! The Nostr secret key in a file, encrypted with a password (NIP-49).
//!
//! The file holds one line of text, `ncryptsec1…`, that other programs read too. It keeps no
//! other secret: a store of more is the platform's business.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::text::{LOG_N, open_key_text, seal_key_text};
use super::{KeyStore, KeyStoreError, NOSTR, backend};
use crate::env::Env;
use crate::primitives::Secret;
use crate::storage::private_file;

/// Longer than every key file.
const LONGEST: usize = 4096;

/// The Nostr secret key in an encrypted file of mode 0600.
///
/// [`EncryptedFile::read`], [`EncryptedFile::write`] and [`EncryptedFile::delete`] block, for a
/// tenth of a second and more; as a [`KeyStore`] it does the same work on a thread of its own.
#[derive(Clone)]
pub struct EncryptedFile {
    path: PathBuf,
    password: Secret<String>,
    log_n: u8,
    env: Env,
}

impl EncryptedFile {
    /// The file at this path; it need not exist.
    pub fn new(path: impl Into<PathBuf>, password: Secret<String>, env: Env) -> Self {
        Self { path: path.into(), password, log_n: LOG_N, env }
    }

    /// Encrypts at a higher cost than 2^16; each step doubles time and memory, up to 20.
    #[must_use]
    pub const fn with_log_n(mut self, log_n: u8) -> Self {
        self.log_n = log_n;
        self
    }

    /// The key; `None` when there is no file.
    ///
    /// # Errors
    /// [`KeyStoreError::KeyLocked`] when the password is wrong, [`KeyStoreError::InvalidKey`] when
    /// the file holds something else, [`KeyStoreError::Backend`] when it cannot be read.
    pub fn read(&self) -> Result<Option<Secret<[u8; 32]>>, KeyStoreError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(backend(error)),
        };
        let text = read_text(file)?;
        open_key_text(text.expose(), Some(&self.password)).map(Some)
    }

    /// Writes the key in the place of the old one: the file holds the one or the other at any
    /// moment, also when the power fails.
    ///
    /// # Errors
    /// [`KeyStoreError::InvalidKey`] when the bytes are no key, [`KeyStoreError::Backend`] when
    /// the file cannot be written.
    pub fn write(&self, key: &Secret<[u8; 32]>) -> Result<(), KeyStoreError> {
        let sealed = seal_key_text(key, &self.password, self.log_n, &self.env)?;
        private_file::create_parent(&self.path).map_err(backend)?;
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{}.new", self.env.alphanumeric(12)));
        let fresh = PathBuf::from(name);
        let written = write_through(&fresh, &sealed).and_then(|()| {
            fs::rename(&fresh, &self.path)?;
            sync_folder(&self.path)
        });
        if written.is_err()
            && let Err(error) = fs::remove_file(&fresh)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a half-written key file stays behind");
        }
        written.map_err(backend)
    }

    /// Deletes the file. No error when it is not there.
    ///
    /// # Errors
    /// [`KeyStoreError::Backend`] when it cannot be deleted.
    pub fn delete(&self) -> Result<(), KeyStoreError> {
        match fs::remove_file(&self.path) {
            Ok(()) => sync_folder(&self.path).map_err(backend),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(backend(error)),
        }
    }

    /// Runs the work on a thread of its own that ends with it: no async worker waits.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let (reply, answer) = oneshot::channel();
        let this = self.clone();
        std::thread::Builder::new()
            .name("portal-keystore".to_owned())
            .spawn(move || {
                // Whoever asked may have gone.
                drop(reply.send(work(&this)));
            })
            .map_err(backend)?;
        answer.await.map_err(backend)?
    }
}

impl std::fmt::Debug for EncryptedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EncryptedFile(..)")
    }
}

#[async_trait]
impl KeyStore for EncryptedFile {
    async fn load(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>, KeyStoreError> {
        if name != NOSTR {
            return Ok(None);
        }
        let key = self.on_thread(Self::read).await?;
        Ok(key.map(|key| Secret::new(key.expose().to_vec())))
    }

    async fn store(&self, name: &str, secret: Secret<Vec<u8>>) -> Result<(), KeyStoreError> {
        if name != NOSTR {
            return Err(KeyStoreError::NotKept);
        }
        let key: [u8; 32] =
            secret.expose().as_slice().try_into().map_err(|_| KeyStoreError::InvalidKey)?;
        let key = Secret::new(key);
        self.on_thread(move |this| this.write(&key)).await
    }

    async fn remove(&self, name: &str) -> Result<(), KeyStoreError> {
        if name != NOSTR {
            return Ok(());
        }
        self.on_thread(Self::delete).await
    }
}

/// Someone may have put a bare key there by hand: what was read is wiped in any case.
fn read_text(file: File) -> Result<Secret<String>, KeyStoreError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST));
    file.take(LONGEST as u64).read_to_end(&mut bytes).map_err(backend)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| KeyStoreError::InvalidKey)?;
    Ok(Secret::new(text.to_owned()))
}

fn write_through(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private_file::create_new(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

/// Makes the rename itself durable.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::keystore::{MNEMONIC, suite};

    fn at(path: &Path, password: &str) -> EncryptedFile {
        EncryptedFile::new(path, Secret::new(password.to_owned()), Env::system())
    }

    #[tokio::test]
    async fn keeps_its_word_as_a_keystore() {
        let folder = TempDir::new().expect("a folder");
        suite::one_name(&at(&folder.path().join("key"), "password"), NOSTR).await;
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 0, "nothing stays behind");
    }

    #[tokio::test]
    async fn keeps_nothing_but_a_nostr_key() {
        let folder = TempDir::new().expect("a folder");
        let store = at(&folder.path().join("key"), "password");
        let other = store.store(MNEMONIC, Secret::new(vec![1; 32])).await;
        assert!(matches!(other, Err(KeyStoreError::NotKept)));
        assert!(store.load(MNEMONIC).await.expect("loads").is_none());
        store.remove(MNEMONIC).await.expect("nothing to remove");
        for no_key in [vec![], vec![1; 31], vec![1; 33], vec![0; 32]] {
            let refused = store.store(NOSTR, Secret::new(no_key)).await;
            assert!(matches!(refused, Err(KeyStoreError::InvalidKey)));
        }
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 0);
    }

    #[test]
    fn a_wrong_password_opens_nothing_and_harms_nothing() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("deep/down/key");
        let key = Secret::new([9; 32]);
        at(&path, "right").write(&key).expect("writes");
        assert!(matches!(at(&path, "wrong").read(), Err(KeyStoreError::KeyLocked)));
        let read = at(&path, "right").read().expect("opens").expect("is there");
        assert_eq!(read.expose(), key.expose());
        let text = fs::read_to_string(&path).expect("reads");
        assert!(text.starts_with("ncryptsec1") && text.ends_with('\n'), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone_also_after_a_replacement() {
        use std::os::unix::fs::PermissionsExt;

        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("new/key");
        fs::create_dir(folder.path().join("new")).expect("creates");
        fs::write(&path, "old").expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets");
        at(&path, "password").write(&Secret::new([9; 32])).expect("writes");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("key");
        for content in [&b""[..], b"\xff\xfe", b"a letter", &[b'a'; 100_000]] {
            fs::write(&path, content).expect("writes");
            assert!(matches!(at(&path, "x").read(), Err(KeyStoreError::InvalidKey)));
        }
        let folder_in_its_place = at(folder.path(), "x").read();
        assert!(matches!(folder_in_its_place, Err(KeyStoreError::Backend(_))));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("key");
        fs::create_dir(&path).expect("creates");
        fs::write(path.join("kept"), "x").expect("writes");
        let failed = at(&path, "password").write(&Secret::new([9; 32]));
        assert!(matches!(failed, Err(KeyStoreError::Backend(_))));
        assert!(path.join("kept").exists());
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    }
}
