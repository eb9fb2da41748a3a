//! The secrets that `--dev` makes up. They are kept in the data folder, so that a restart in the
//! same folder is the same daemon.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use portal_core::env::Env;
use portal_core::identity::LocalKey;
use portal_core::primitives::Secret;

const FILE: &str = "dev-secrets.json";

/// The secrets that `--dev` makes up.
pub struct Secrets {
    /// The key of the service, 64 hex digits.
    pub private_key: Secret<String>,
    /// The token.
    pub token: Secret<String>,
    /// The key of the person's wallet.
    pub person_wallet_key: Secret<[u8; 32]>,
    /// The secret in the link to that wallet.
    pub person_secret: Secret<[u8; 32]>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct OnDisk {
    private_key: String,
    token: String,
    #[serde(with = "hex::serde")]
    person_wallet_key: [u8; 32],
    #[serde(with = "hex::serde")]
    person_secret: [u8; 32],
}

impl Secrets {
    /// Reads them from the folder, or makes and keeps them there.
    ///
    /// # Errors
    /// When the folder cannot be used, or what is in it was not written by us.
    pub fn load(folder: &Path, env: &Env) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str::<OnDisk>(&text)
                .map(Self::from)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not our secrets")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = || LocalKey::generate(env).secret_key().to_secret_bytes();
                let made = OnDisk {
                    private_key: hex::encode(secret()),
                    token: env.alphanumeric(32),
                    person_wallet_key: secret(),
                    person_secret: secret(),
                };
                let mut options = OpenOptions::new();
                options.write(true).create_new(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(&path)?;
                file.write_all(serde_json::to_string(&made)?.as_bytes())?;
                file.sync_all()?;
                Ok(made.into())
            }
            Err(error) => Err(error),
        }
    }
}

impl From<OnDisk> for Secrets {
    fn from(found: OnDisk) -> Self {
        let OnDisk { private_key, token, person_wallet_key, person_secret } = found;
        Self {
            private_key: Secret::new(private_key),
            token: Secret::new(token),
            person_wallet_key: Secret::new(person_wallet_key),
            person_secret: Secret::new(person_secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_folder_has_the_same_secrets() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = Secrets::load(folder.path(), &Env::system()).expect("made");
        let two = Secrets::load(folder.path(), &Env::system()).expect("read");
        assert_eq!(one.private_key.expose(), two.private_key.expose());
        assert_eq!(one.token.expose(), two.token.expose());
        assert_eq!(one.person_secret.expose(), two.person_secret.expose());
        let other = tempfile::tempdir().expect("a folder");
        let three = Secrets::load(other.path(), &Env::system()).expect("made");
        assert_ne!(one.token.expose(), three.token.expose());
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), "hunter2").expect("written");
        let error = Secrets::load(folder.path(), &Env::system()).err().expect("refused");
        assert!(!error.to_string().contains("hunter2"));
    }
}
