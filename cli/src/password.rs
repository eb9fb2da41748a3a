//! Where the password of a key comes from: a file, the environment, or the person at the
//! terminal. Never from an argument, which every other user of the machine can read.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use portal_core::primitives::Secret;
use zeroize::Zeroizing;

use crate::error::CliError;

/// The variable that may hold the password.
const VARIABLE: &str = "PORTAL_KEY_PASSWORD";
/// Longer than any password.
const LONGEST: u64 = 4096;

/// How to get at the password of a key.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Source {
    /// Read the password of the key from the first line of this file [default:
    /// PORTAL_KEY_PASSWORD, else you are asked].
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Source {
    /// The password of a key that exists.
    ///
    /// # Errors
    /// When there is none and nobody can be asked.
    pub fn existing(&self) -> Result<Secret<String>, CliError> {
        match self.given()? {
            Some(password) => Ok(password),
            None => ask("Password of the key: "),
        }
    }

    /// A new password; a person has to give it twice.
    ///
    /// # Errors
    /// When there is none, it is empty, or the two differ.
    pub fn new_password(&self) -> Result<Secret<String>, CliError> {
        let password = match self.given()? {
            Some(password) => password,
            None => {
                let first = ask("New password for the key: ")?;
                if first.expose().is_empty() {
                    return Err(CliError::EmptyPassword);
                }
                let second = ask("The same again: ")?;
                if !first.matches(second.expose()) {
                    return Err(CliError::PasswordsDiffer);
                }
                first
            }
        };
        if password.expose().is_empty() { Err(CliError::EmptyPassword) } else { Ok(password) }
    }

    fn given(&self) -> Result<Option<Secret<String>>, CliError> {
        if let Some(path) = &self.password_file {
            return read(path).map(Some);
        }
        let variable = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        Ok(variable.map(Secret::new))
    }
}

fn read(path: &Path) -> Result<Secret<String>, CliError> {
    let text = small_file(path, LONGEST)?;
    Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// The text of a small file that may hold a secret: what was read is wiped afterwards.
///
/// # Errors
/// When it cannot be read, is not text, or is longer than that.
pub fn small_file(path: &Path, longest: u64) -> Result<Zeroizing<String>, CliError> {
    let refuse = |source| CliError::File { path: path.to_owned(), done: "read", source };
    let length = std::fs::metadata(path).map_err(refuse)?.len();
    if length > longest {
        let reason = io::Error::new(io::ErrorKind::InvalidData, "it is too long");
        return Err(refuse(reason));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(refuse)
}

fn ask(prompt: &str) -> Result<Secret<String>, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::NoPassword);
    }
    rpassword::prompt_password(prompt).map(Secret::new).map_err(|_| CliError::NoPassword)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_file_is_the_password() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, " pass word \r\nnot this\n").expect("written");
        let source = Source { password_file: Some(path.clone()) };
        assert_eq!(source.existing().expect("read").expose(), " pass word ");
        std::fs::write(&path, "\n").expect("written");
        assert!(matches!(source.new_password(), Err(CliError::EmptyPassword)));
        std::fs::write(&path, "x".repeat(5000)).expect("written");
        assert!(matches!(source.existing(), Err(CliError::File { .. })));
        std::fs::remove_file(&path).expect("removed");
        assert!(matches!(source.existing(), Err(CliError::File { .. })));
    }
}
