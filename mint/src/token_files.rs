//! The files that tokens are read from, and the task that reads them again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroize as _;

use crate::auth::{TokenError, TokenFile, Tokens};
use crate::config::{AuthConfig, is_token};
use crate::http::Shared;

/// How often the files are looked at. They are small.
const INTERVAL: Duration = Duration::from_secs(2);

/// Why tokens cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TokenFilesError {
    /// The file cannot be read.
    #[error("the file of tokens {path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it is wrong.
    #[error("the file of tokens {path} cannot be used")]
    Wrong {
        /// Which.
        path: PathBuf,
        /// Why.
        source: TokenError,
    },
    /// It holds no token.
    #[error("{path} must hold a token of 12 to 512 printable ASCII characters, and nothing else")]
    NotAToken {
        /// Which.
        path: PathBuf,
    },
}

/// All tokens as they stand in the configuration and its files now.
///
/// # Errors
/// When a file cannot be read or is wrong.
pub fn read(auth: &AuthConfig) -> Result<Tokens, TokenFilesError> {
    let mut tokens = Tokens::default();
    if let Some(token) = &auth.static_token {
        tokens.add_static(token.expose());
    }
    if let Some(path) = &auth.static_token_file {
        let mut text = content(path)?;
        let token = text.trim();
        let fits = is_token(token);
        if fits {
            tokens.add_static(token);
        }
        text.zeroize();
        if !fits {
            return Err(TokenFilesError::NotAToken { path: path.clone() });
        }
    }
    if let Some(path) = &auth.tokens_file {
        let wrong = |source| TokenFilesError::Wrong { path: path.clone(), source };
        let file = TokenFile::parse(&content(path)?).map_err(wrong)?;
        tokens.add(&file).map_err(wrong)?;
    }
    Ok(tokens)
}

fn content(path: &Path) -> Result<String, TokenFilesError> {
    std::fs::read_to_string(path)
        .map_err(|source| TokenFilesError::Unreadable { path: path.to_owned(), source })
}

/// Reads the files again when they change, until `stopping`. What cannot be read changes nothing.
pub(crate) async fn watch(auth: AuthConfig, shared: Arc<Shared>, stopping: CancellationToken) {
    let mut known = print(&auth);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let now = print(&auth);
        if now == known {
            continue;
        }
        known = now;
        match read(&auth) {
            Ok(tokens) => {
                tracing::info!(tokens = tokens.len(), "the tokens were read again");
                shared.door.replace(tokens);
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the tokens stay as they were");
            }
        }
    }
}

/// What the files hold, as a hash.
fn print(auth: &AuthConfig) -> [u8; 32] {
    let mut digest = Sha256::new();
    for path in [&auth.static_token_file, &auth.tokens_file].into_iter().flatten() {
        match std::fs::read(path) {
            Ok(content) => digest.update(Sha256::digest(content)),
            Err(_) => digest.update([0]),
        }
    }
    digest.finalize().into()
}
