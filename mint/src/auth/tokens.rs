//! Tokens: their hashes, what each may do, and the file they are kept in.
//!
//! ```toml
//! [tokens.box-office]
//! sha256 = "…"                 # of the token; `portal-mint token new box-office` writes it
//! scopes = ["mint", "check_mint_quote"]
//! units = ["vip"]              # left out: all
//! expires_at = 1798675200      # left out: never
//! ```
//!
//! The file is read again when it changes: put the new token beside the old one, move its users,
//! take the old one out. A file that cannot be read leaves the tokens as they are.

use std::collections::BTreeMap;

use portal_core::env::Env;
use portal_core::primitives::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::endpoint::{Operation, Operations};

/// The most tokens in a file.
const MAX_TOKENS: usize = 256;

/// The largest file that is read.
const MAX_FILE: usize = 256 * 1024;

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The name it has in the file.
    pub name: String,
    /// What it may do.
    pub scopes: Operations,
    /// The units it may mint and burn; `None` for all.
    pub units: Option<Vec<String>>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl Grant {
    /// Whether this unit may be minted and burned with it.
    #[must_use]
    pub fn covers(&self, unit: &str) -> bool {
        self.units.as_ref().is_none_or(|units| units.iter().any(|one| one == unit))
    }
}

/// All tokens there are, as hashes.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<([u8; 32], Grant)>);

impl Tokens {
    /// Adds the token of the configuration, which may do all that wallets do.
    pub fn add_static(&mut self, token: &str) {
        let grant = Grant {
            name: "static".to_owned(),
            scopes: Operations::of_wallets(),
            units: None,
            expires_at: None,
        };
        self.0.push((hash(token), grant));
    }

    /// Adds the tokens of a file.
    pub fn add(&mut self, file: &TokenFile) -> Result<(), TokenError> {
        for (name, entry) in &file.tokens {
            self.0.push(entry.read(name)?);
        }
        Ok(())
    }

    /// What this token opens now. Takes equally long for every token that is not there.
    #[must_use]
    pub fn find(&self, token: &str, now: Timestamp) -> Option<&Grant> {
        let presented = hash(token);
        let mut found = u32::MAX;
        for (index, (stored, _)) in (0_u32..).zip(&self.0) {
            let same: Choice = stored.as_slice().ct_eq(presented.as_slice());
            found = u32::conditional_select(&found, &index, same);
        }
        let (_, grant) = self.0.get(usize::try_from(found).ok()?)?;
        grant.expires_at.is_none_or(|end| now < end).then_some(grant)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// SHA-256 of a token. Tokens are long and random, so that this needs no salt.
#[must_use]
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The file of tokens.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    #[serde(default)]
    tokens: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sha256: String,
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    units: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

impl Entry {
    fn read(&self, name: &str) -> Result<([u8; 32], Grant), TokenError> {
        let wrong = |what| TokenError::Wrong { name: name.chars().take(64).collect(), what };
        let mut stored = [0; 32];
        hex::decode_to_slice(&self.sha256, &mut stored)
            .map_err(|_| wrong("`sha256` is not 64 hex digits"))?;
        let mut scopes = Operations::default();
        for scope in &self.scopes {
            match (scope.as_str(), Operation::parse(scope)) {
                ("*", _) => Operation::ALL.into_iter().for_each(|one| scopes.set(one, true)),
                (_, Some(operation)) => scopes.set(operation, true),
                (_, None) => return Err(wrong("`scopes` has one that does not exist")),
            }
        }
        let grant = Grant {
            name: name.to_owned(),
            scopes,
            units: self.units.clone(),
            expires_at: self.expires_at.map(Timestamp::from_secs),
        };
        Ok((stored, grant))
    }
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The name it gets in the file.
    pub name: String,
    /// What it may do: names of operations, or `*`.
    pub scopes: Vec<String>,
    /// Only these units.
    pub units: Option<Vec<String>>,
    /// When it ends, in Unix time.
    pub expires_at: Option<u64>,
}

impl TokenFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not such a file, or one of its entries is wrong.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        if text.len() > MAX_FILE {
            return Err(TokenError::TooMany);
        }
        let file: Self = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count();
            TokenError::NotToml { line: line.saturating_add(1) }
        })?;
        if file.tokens.len() > MAX_TOKENS {
            return Err(TokenError::TooMany);
        }
        Tokens::default().add(&file)?;
        Ok(file)
    }

    /// The text to keep.
    ///
    /// # Errors
    /// Never for files that were parsed.
    pub fn to_text(&self) -> Result<String, TokenError> {
        toml::to_string(self).map_err(|_| TokenError::NotToml { line: 0 })
    }

    /// Makes a token, keeps its hash, and hands it out for the one time it can be seen.
    ///
    /// # Errors
    /// When the name is taken or wrong, or a scope does not exist.
    pub fn make(&mut self, new: NewToken, env: &Env) -> Result<Secret<String>, TokenError> {
        let NewToken { name, scopes, units, expires_at } = new;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(TokenError::BadName);
        }
        if self.tokens.contains_key(&name) {
            return Err(TokenError::Taken { name });
        }
        // 62^43 is more than 2^256.
        let token = Secret::new(env.alphanumeric(43));
        let sha256 = hex::encode(hash(token.expose()));
        let entry = Entry { sha256, scopes, units, expires_at };
        entry.read(&name)?;
        self.tokens.insert(name, entry);
        Ok(token)
    }

    /// Takes a token out; false when there is none of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.tokens.remove(name).is_some()
    }

    /// Names with what each may do, for people.
    pub fn list(&self) -> impl Iterator<Item = (&str, &[String], Option<u64>)> {
        self.tokens
            .iter()
            .map(|(name, entry)| (name.as_str(), entry.scopes.as_slice(), entry.expires_at))
    }
}

/// Why a file of tokens cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not TOML, or with keys nobody knows.
    #[error("the file of tokens is wrong in line {line}")]
    NotToml {
        /// Counted from one.
        line: usize,
    },
    /// An entry is wrong.
    #[error("the token `{name}` is wrong: {what}")]
    Wrong {
        /// Its name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// More than anybody needs.
    #[error("the file of tokens is too large")]
    TooMany,
    /// It exists.
    #[error("there is a token `{name}` already")]
    Taken {
        /// Its name.
        name: String,
    },
    /// Not a name.
    #[error("a token's name has 1 to 64 letters, digits, _ and -")]
    BadName,
}

#[cfg(test)]
mod tests {
    use portal_core::env::mock;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn new(name: &str, scopes: &[&str]) -> NewToken {
        NewToken {
            name: name.into(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            units: None,
            expires_at: None,
        }
    }

    #[test]
    fn a_token_opens_its_scopes_and_no_other_token_does() {
        let (env, _) = mock::env(NOW, 1);
        let mut file = TokenFile::default();
        let office = file.make(new("office", &["mint"]), &env).expect("made");
        let gate = file.make(new("gate", &["melt", "swap"]), &env).expect("made");
        let text = file.to_text().expect("text");
        assert!(!text.contains(office.expose().as_str()), "only the hash is kept");
        let mut tokens = Tokens::default();
        tokens.add(&TokenFile::parse(&text).expect("what we wrote")).expect("right");
        let grant = tokens.find(office.expose(), NOW).expect("known");
        assert!(grant.scopes.has(Operation::Mint) && !grant.scopes.has(Operation::Melt));
        assert_eq!(tokens.find(gate.expose(), NOW).expect("known").name, "gate");
        assert_eq!(tokens.find("another token of some length", NOW), None);
        assert_eq!(tokens.find("", NOW), None);
    }

    #[test]
    fn a_token_ends_when_it_is_due() {
        let (env, _) = mock::env(NOW, 1);
        let mut file = TokenFile::default();
        let due = NewToken { expires_at: Some(NOW.as_secs()), ..new("due", &["*"]) };
        let token = file.make(due, &env).expect("made");
        let mut tokens = Tokens::default();
        tokens.add(&file).expect("right");
        assert_eq!(tokens.find(token.expose(), NOW), None);
        let before = Timestamp::from_secs(NOW.as_secs() - 1);
        assert!(tokens.find(token.expose(), before).is_some());
    }

    #[test]
    fn names_and_scopes_that_make_no_sense_are_refused() {
        let (env, _) = mock::env(NOW, 1);
        let mut file = TokenFile::default();
        file.make(new("one", &["mint"]), &env).expect("made");
        assert!(matches!(file.make(new("one", &["mint"]), &env), Err(TokenError::Taken { .. })));
        assert!(file.make(new("two", &["stamp"]), &env).is_err());
        assert!(file.make(new("t w o", &["mint"]), &env).is_err());
        for text in [
            "[tokens.x]\nsha256 = \"00\"\nscopes = []",
            "[tokens.x]\nscopes = []",
            "[tokens.x]\ntoken = \"in the clear\"",
            "[other]",
        ] {
            assert!(TokenFile::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_grant_covers_its_units_only() {
        let mut grant = Grant {
            name: "x".into(),
            scopes: Operations::default(),
            units: None,
            expires_at: None,
        };
        assert!(grant.covers("vip"));
        grant.units = Some(vec!["vip".into()]);
        assert!(grant.covers("vip") && !grant.covers("general"));
    }
}
