//! `portal key`: makes a key, shows its public half, encrypts one that lies about in the clear.
//!
//! Keys are kept in files of NIP-49 (`ncryptsec`), mode 0600. The secret is printed only with
//! `--reveal`, and a file with a key in it is never overwritten.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use portal_core::env::Env;
use portal_core::identity::{LocalKey, Mnemonic};
use portal_core::keystore::KeyStoreError;
use portal_core::keystore::file::EncryptedFile;
use portal_core::keystore::text::{is_encrypted, open_key_text};
use portal_core::primitives::Secret;
use serde::Serialize;

use crate::error::CliError;
use crate::password::{Source, small_file};
use crate::place::Place;
use crate::terminal::{Style, Terminal, npub};

/// Longer than every key file, and than 24 words.
const LONGEST: u64 = 4096;

/// Make, show or encrypt a key.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make a new key and keep it in an encrypted file.
    New {
        /// Make a random key, without the twelve words it could be written down as.
        #[arg(long)]
        raw: bool,
        /// Print the secret: the twelve words, and the nsec.
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        file: KeyFile,
    },
    /// Show the public key.
    Show {
        /// Print the nsec too.
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        file: KeyFile,
    },
    /// Encrypt the key of a plain file (hex, nsec or twelve words).
    Encrypt {
        /// The plain file; it stays as it is.
        plain: PathBuf,
        #[command(flatten)]
        file: KeyFile,
    },
}

/// The encrypted file, and its password.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct KeyFile {
    /// The encrypted file [default: key.ncryptsec in the data directory].
    #[arg(long = "key-file", visible_alias = "file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Its password.
    #[command(flatten)]
    pub password: Source,
}

#[derive(Serialize)]
struct Record<'r> {
    r#type: &'static str,
    npub: String,
    hex: String,
    file: &'r std::path::Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nsec: Option<&'r str>,
}

/// Does what `portal key` was asked for.
///
/// # Errors
/// When a file cannot be used, a password is missing or wrong, or a key would be overwritten.
pub fn run(arguments: Arguments, place: &Place, terminal: &Terminal) -> Result<ExitCode, CliError> {
    match arguments.task {
        Task::New { raw, reveal, file } => {
            let env = Env::system();
            let path = file.vacant(place)?;
            let words = if raw { None } else { Some(Mnemonic::generate(&env)) };
            let key = match &words {
                Some(words) => words.keypair()?,
                None => LocalKey::generate(&env),
            };
            seal(&file, path.clone(), &key)?;
            let words = words.filter(|_| reveal);
            report(terminal, &key, &path, words.as_ref(), reveal)?;
            if !reveal {
                terminal
                    .say("\nThe secret was not shown. Keep a copy of the file and its password;")?;
                terminal.say("`portal key show --reveal` prints the secret itself.")?;
            }
        }
        Task::Show { reveal, file } => {
            let (path, key) = file.open(place)?;
            report(terminal, &key, &path, None, reveal)?;
        }
        Task::Encrypt { plain, file } => {
            let path = file.vacant(place)?;
            let key = read_plain(&plain)?;
            seal(&file, path.clone(), &key)?;
            report(terminal, &key, &path, None, false)?;
            let plain = plain.display();
            terminal.say(&format!("\n{plain} still holds the bare key: delete it."))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl KeyFile {
    /// Where the key is, and the key.
    ///
    /// # Errors
    /// When there is no file, or it does not open with the password.
    pub fn open(&self, place: &Place) -> Result<(PathBuf, LocalKey), CliError> {
        let path = self.path(place)?;
        if !path.exists() {
            return Err(CliError::NoKey { path });
        }
        let text = small_file(&path, LONGEST)?;
        let password = if is_encrypted(&text) { Some(self.password.existing()?) } else { None };
        let opened = open_key_text(&text, password.as_ref());
        match opened {
            Ok(secret) => Ok((path, LocalKey::from_secret_bytes(secret.expose())?)),
            Err(source) => Err(CliError::BadKey { path, source }),
        }
    }

    /// Where the key is or would be.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn path(&self, place: &Place) -> Result<PathBuf, CliError> {
        match &self.file {
            Some(path) => Ok(path.clone()),
            None => place.key_file(),
        }
    }

    fn vacant(&self, place: &Place) -> Result<PathBuf, CliError> {
        let path = self.path(place)?;
        // Also a link that leads nowhere counts as something in the way.
        if path.symlink_metadata().is_ok() {
            return Err(CliError::KeyExists { path });
        }
        Ok(path)
    }
}

fn seal(file: &KeyFile, path: PathBuf, key: &LocalKey) -> Result<(), CliError> {
    let password = file.password.new_password()?;
    let secret = Secret::new(key.secret_key().to_secret_bytes());
    EncryptedFile::new(&path, password, Env::system())
        .write(&secret)
        .map_err(|source| CliError::BadKey { path, source })
}

/// A key in the clear: hex, nsec or the words of a mnemonic.
fn read_plain(path: &std::path::Path) -> Result<LocalKey, CliError> {
    let text = small_file(path, LONGEST)?;
    if is_encrypted(&text) {
        return Err(CliError::AlreadyEncrypted { path: path.to_owned() });
    }
    if text.split_whitespace().nth(1).is_some() {
        return Ok(Mnemonic::parse(&text)?.keypair()?);
    }
    let bad = |source: KeyStoreError| CliError::BadKey { path: path.to_owned(), source };
    let secret = open_key_text(&text, None).map_err(bad)?;
    Ok(LocalKey::from_secret_bytes(secret.expose())?)
}

fn report(
    terminal: &Terminal,
    key: &LocalKey,
    path: &std::path::Path,
    words: Option<&Mnemonic>,
    reveal: bool,
) -> Result<(), CliError> {
    let nsec = reveal.then(|| key.nsec());
    let record = Record {
        r#type: "key",
        npub: npub(&key.public_key()),
        hex: key.public_key().to_hex(),
        file: path,
        words: words.map(|words| words.words().expose().as_str()),
        nsec: nsec.as_ref().map(|nsec| nsec.expose().as_str()),
    };
    terminal.tell(&record, || {
        let mut lines = vec![
            ("npub", terminal.paint(Style::Bold, &record.npub)),
            ("hex", record.hex.clone()),
            ("file", path.display().to_string()),
        ];
        lines.extend(record.nsec.map(|nsec| ("nsec", nsec.to_owned())));
        lines.extend(record.words.map(|words| ("words", words.to_owned())));
        let lines = lines.iter().map(|(name, value)| format!("  {name:<6}{value}"));
        lines.collect::<Vec<_>>().join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_keys_come_in_three_forms() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plain");
        let words =
            "leader monkey parrot ring guide accident before fence cannon height naive bean";
        let nsec = "nsec10allq0gjx7fddtzef0ax00mdps9t2kmtrldkyjfs8l5xruwvh2dq0lhhkp";
        let hex = "7f7ff03d123792d6ac594bfa67bf6d0c0ab55b6b1fdb6249303fe861f1ccba9a";
        let npub_of = |text: &str| {
            std::fs::write(&path, text).expect("written");
            read_plain(&path).map(|key| npub(&key.public_key()))
        };
        let expected = "npub1zutzeysacnf9rru6zqwmxd54mud0k44tst6l70ja5mhv8jjumytsd2x7nu";
        for text in [words, nsec, &format!("{hex}\n")] {
            assert_eq!(npub_of(text).expect("a key"), expected);
        }
        assert!(matches!(npub_of("two words"), Err(CliError::BadWords(_))));
        assert!(matches!(npub_of("nonsense"), Err(CliError::BadKey { .. })));
        assert!(matches!(npub_of("ncryptsec1x"), Err(CliError::AlreadyEncrypted { .. })));
        let refused = npub_of("two words").expect_err("refused").chain();
        assert!(!refused.contains("two words"), "{refused}");
    }
}
