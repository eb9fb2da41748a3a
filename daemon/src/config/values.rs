//! The settings before they have types: what the file says, overlaid with what the environment
//! says. Sections take their keys out; what is left at the end is unknown.

use std::collections::{BTreeMap, BTreeSet};

use portal_core::primitives::Secret;

use super::Environment;
use super::problem::{ConfigError, Problem, Warning};

/// Short variables of the first daemons, with the setting each stands for.
const SHORT_NAMES: [(&str, &str); 8] = [
    ("AUTH_TOKEN", "auth.auth_token"),
    ("NOSTR_KEY", "nostr.private_key"),
    ("NOSTR_RELAYS", "nostr.relays"),
    ("NOSTR_SUBKEY_PROOF", "nostr.subkey_proof"),
    ("NWC_URL", "wallet.nwc.url"),
    ("BREEZ_API_KEY", "wallet.breez.api_key"),
    ("BREEZ_MNEMONIC", "wallet.breez.mnemonic"),
    ("BREEZ_STORAGE_DIR", "wallet.breez.storage_dir"),
];

/// Names how a wallet was chosen by a short variable, which has no `ln_backend` of its own. The
/// last that is set counts: the built-in wallet, as it was in the first daemons, if there is one.
const SHORT_WALLETS: [(&str, &str); 2] = if cfg!(feature = "breez") {
    [("NWC_URL", "nwc"), ("BREEZ_MNEMONIC", "breez")]
} else {
    [("BREEZ_MNEMONIC", "breez"), ("NWC_URL", "nwc")]
};

const PREFIX: &str = "PORTAL__";

/// Longer texts than this are no settings.
const MAX_TEXT: usize = 64 * 1024;

/// All settings that are left to be taken.
pub(super) struct Values {
    entries: BTreeMap<String, Entry>,
    known: BTreeSet<&'static str>,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

struct Entry {
    value: Value,
    origin: Origin,
}

enum Value {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<String>),
    Other,
}

/// Where a setting was written: it is named that way when something is wrong with it.
#[derive(Clone)]
enum Origin {
    File,
    Variable(String),
}

impl Values {
    /// Reads the file and lays the environment over it.
    pub(super) fn read(file: Option<&str>, environment: &Environment) -> Result<Self, ConfigError> {
        let mut values = Self {
            entries: BTreeMap::new(),
            known: BTreeSet::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        if let Some(text) = file {
            values.read_file(text)?;
        }
        values.read_environment(environment);
        Ok(values)
    }

    fn read_file(&mut self, text: &str) -> Result<(), ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count();
            ConfigError::NotToml { line: line.saturating_add(1), message: error.message().into() }
        })?;
        self.flatten("", table);
        Ok(())
    }

    fn flatten(&mut self, prefix: &str, table: toml::Table) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            let value = match value {
                toml::Value::Table(inner) => {
                    self.flatten(&key, inner);
                    continue;
                }
                toml::Value::String(text) => Value::Text(text),
                toml::Value::Integer(number) => Value::Integer(number),
                toml::Value::Boolean(flag) => Value::Flag(flag),
                toml::Value::Array(items) => items
                    .into_iter()
                    .map(|item| match item {
                        toml::Value::String(text) => Some(text),
                        _ => None,
                    })
                    .collect::<Option<Vec<_>>>()
                    .map_or(Value::Other, Value::List),
                toml::Value::Float(_) | toml::Value::Datetime(_) => Value::Other,
            };
            self.entries.insert(key, Entry { value, origin: Origin::File });
        }
    }

    /// Short names first, then the long ones, which win.
    fn read_environment(&mut self, environment: &Environment) {
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        for (name, backend) in SHORT_WALLETS {
            if set(name).is_some() {
                self.insert("wallet.ln_backend".into(), backend.into(), name);
            }
        }
        for (name, key) in SHORT_NAMES {
            if let Some(value) = set(name) {
                self.insert(key.into(), value.clone(), name);
            }
        }
        for (name, value) in environment {
            let Some(path) = name.strip_prefix(PREFIX) else { continue };
            if value.is_empty() {
                continue;
            }
            let key = path.to_ascii_lowercase().replace("__", ".");
            if let Some(Entry { origin: Origin::Variable(loser), .. }) = self.entries.get(&key)
                && key != "wallet.ln_backend"
            {
                self.warnings.push(Warning::Twice { winner: name.clone(), loser: loser.clone() });
            }
            self.insert(key, value.clone(), name);
        }
        if set("FAKE_PAYMENTS").is_some() {
            self.warnings.push(Warning::NoEffect {
                name: "FAKE_PAYMENTS".into(),
                why: "only a wallet says that money has come; `--dev` has a simulated one",
            });
        }
    }

    fn insert(&mut self, key: String, value: String, variable: &str) {
        let origin = Origin::Variable(variable.to_owned());
        self.entries.insert(key, Entry { value: Value::Text(value), origin });
    }

    /// Takes a text. Empty is `None`.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let (value, name) = self.take(key)?;
        match value {
            Value::Text(text) if text.len() > MAX_TEXT => {
                self.wrong(name, "a text of at most 64 KiB")
            }
            Value::Text(text) if text.is_empty() => None,
            Value::Text(text) => Some(text),
            Value::Integer(_) | Value::Flag(_) | Value::List(_) | Value::Other => {
                self.wrong(name, "a text in quotes")
            }
        }
    }

    /// Takes a text that nobody may see.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret<String>> {
        self.text(key).map(Secret::new)
    }

    /// Takes a whole number that fits `N`.
    pub(super) fn number<N>(&mut self, key: &'static str, expected: &'static str) -> Option<N>
    where
        N: TryFrom<i64> + std::str::FromStr,
    {
        let (value, name) = self.take(key)?;
        let number = match value {
            Value::Text(text) if text.is_empty() => return None,
            Value::Text(text) => text.parse().ok(),
            Value::Integer(number) => N::try_from(number).ok(),
            Value::Flag(_) | Value::List(_) | Value::Other => None,
        };
        number.or_else(|| self.wrong(name, expected))
    }

    /// Takes a yes or no.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let (value, name) = self.take(key)?;
        match value {
            Value::Flag(flag) => Some(flag),
            Value::Text(text) => match text.as_str() {
                "" => None,
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => self.wrong(name, "true or false"),
            },
            Value::Integer(_) | Value::List(_) | Value::Other => self.wrong(name, "true or false"),
        }
    }

    /// Takes a list: an array of the file, or texts with commas between them. Empty parts are
    /// dropped, and a list of nothing is `None`.
    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<String>> {
        let (value, name) = self.take(key)?;
        let items = match value {
            Value::Text(text) => text.split(',').map(str::to_owned).collect(),
            Value::List(items) => items,
            Value::Integer(_) | Value::Flag(_) | Value::Other => {
                return self.wrong(name, "a list of texts");
            }
        };
        let items: Vec<String> = items
            .into_iter()
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect();
        (!items.is_empty()).then_some(items)
    }

    /// Where a key that is still there was written, for a sentence about it.
    pub(super) fn name_of(&self, key: &'static str) -> String {
        self.entries.get(key).map_or_else(|| format!("`{key}`"), |entry| entry.name(key))
    }

    /// Whether a key is there and not an empty text.
    pub(super) fn is_set(&self, key: &'static str) -> bool {
        self.entries
            .get(key)
            .is_some_and(|entry| !matches!(&entry.value, Value::Text(text) if text.is_empty()))
    }

    /// Notes something that is wrong.
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Notes a wrong value; `None`, so that it can end an expression.
    pub(super) fn wrong<T>(&mut self, name: String, expected: &'static str) -> Option<T> {
        self.problems.push(Problem::WrongForm { name, expected });
        None
    }

    /// Notes something that is odd.
    pub(super) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// Ends the reading: everything nobody took is unknown.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, ConfigError> {
        for (key, entry) in &self.entries {
            let hint = nearest(key, &self.known).map(|known| entry.origin.spell(known));
            self.problems.push(Problem::Unknown { name: entry.name(key), hint });
        }
        if self.problems.is_empty() {
            Ok(self.warnings)
        } else {
            Err(ConfigError::Invalid { problems: self.problems })
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(Value, String)> {
        self.known.insert(key);
        let entry = self.entries.remove(key)?;
        let name = entry.name(key);
        Some((entry.value, name))
    }
}

impl Entry {
    fn name(&self, key: &str) -> String {
        match &self.origin {
            Origin::File => format!("`{key}`"),
            Origin::Variable(name) => name.clone(),
        }
    }
}

impl Origin {
    /// The name of a known key in the form this origin uses.
    fn spell(&self, key: &str) -> String {
        match self {
            Self::File => format!("`{key}`"),
            Self::Variable(_) => {
                format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
            }
        }
    }
}

/// The known key most like this one: by spelling, or by its last part in another section.
fn nearest<'a>(key: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
    let key: String = key.chars().take(128).collect();
    let last = key.rsplit('.').next().unwrap_or(&key);
    known
        .iter()
        .map(|candidate| {
            let tail = candidate.rsplit('.').next().unwrap_or(candidate);
            let whole = strsim::normalized_damerau_levenshtein(&key, candidate);
            let part = strsim::normalized_damerau_levenshtein(last, tail) - 0.1;
            (candidate, whole.max(part))
        })
        .filter(|(_, likeness)| *likeness > 0.6)
        .max_by(|left, right| left.1.total_cmp(&right.1))
        .map(|(candidate, _)| *candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::is_set_up;

    #[test]
    fn every_variable_that_is_read_is_known_as_somebodys_set_up() {
        let read = SHORT_NAMES.iter().map(|(name, _)| *name);
        let read = read.chain(SHORT_WALLETS.iter().map(|(name, _)| *name));
        for name in read.chain([PREFIX, "PORTAL_CONFIG", "PORTAL_DATA_DIR"]) {
            assert!(is_set_up(name), "{name}");
        }
        for name in ["PATH", "HOME", "RUST_LOG", "NO_COLOR"] {
            assert!(!is_set_up(name), "{name}");
        }
    }
}
