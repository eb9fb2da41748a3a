//! `portal-mint token`: make, list and remove tokens in `auth.tokens_file`. A mint that runs reads
//! the file again within seconds.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use portal_core::env::Env;
use portal_mint::auth::{NewToken, TokenFile};

use super::Place;

/// Makes a token and prints it, once.
pub fn make(place: &Place, file: Option<&Path>, new: NewToken) -> anyhow::Result<()> {
    let path = path(place, file)?;
    let mut tokens = read(&path)?;
    let token = tokens.make(new, &Env::system())?;
    write(&path, &tokens)?;
    let mut out = std::io::stdout().lock();
    if place.json {
        writeln!(out, "{}", serde_json::json!({ "token": token.expose(), "file": path }))?;
    } else {
        writeln!(out, "{}", token.expose())?;
    }
    Ok(())
}

/// Lists names and scopes.
pub fn list(place: &Place, file: Option<&Path>) -> anyhow::Result<()> {
    let tokens = read(&path(place, file)?)?;
    let mut out = std::io::stdout().lock();
    for (name, scopes, expires_at) in tokens.list() {
        if place.json {
            let line =
                serde_json::json!({ "name": name, "scopes": scopes, "expires_at": expires_at });
            writeln!(out, "{line}")?;
        } else {
            let end = expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string());
            writeln!(out, "{name:<20} ends {end:<12} {}", scopes.join(", "))?;
        }
    }
    Ok(())
}

/// Removes a token.
pub fn remove(place: &Place, file: Option<&Path>, name: &str) -> anyhow::Result<()> {
    let path = path(place, file)?;
    let mut tokens = read(&path)?;
    anyhow::ensure!(tokens.remove(name), "there is no token `{name}`");
    write(&path, &tokens)
}

fn path(place: &Place, file: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = file {
        return Ok(path.to_owned());
    }
    place
        .find()?
        .config
        .auth
        .tokens_file
        .context("set `auth.tokens_file` in the configuration, or name a file with --file")
}

fn read(path: &Path) -> anyhow::Result<TokenFile> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(TokenFile::parse(&text)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(TokenFile::default()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Beside it first, then in its place: a mint that reads meanwhile sees one or the other.
fn write(path: &Path, tokens: &TokenFile) -> anyhow::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", Env::system().alphanumeric(8)));
    let beside = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside).with_context(|| beside.display().to_string())?;
    file.write_all(tokens.to_text()?.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path).with_context(|| path.display().to_string())
}
