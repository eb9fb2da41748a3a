//! `[auth]`: who may use the daemon.

use std::collections::BTreeSet;

use portal_core::primitives::Secret;

use super::Flags;
use super::problem::{Problem, Warning};
use super::values::Values;

/// Who may use the daemon.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The one token. `None` only with `--dev`, which makes one.
    pub auth_token: Option<Secret<String>>,
}

/// Tokens that stand in published examples.
const PLACEHOLDERS: [&str; 2] = ["your-auth-token", "your-secret-auth-token-change-this"];

const MAX_LENGTH: usize = 4096;

impl AuthConfig {
    pub(super) fn take(values: &mut Values, flags: &Flags) -> Self {
        let name = values.name_of("auth.auth_token");
        let given = values.is_set("auth.auth_token");
        let auth_token = values.secret("auth.auth_token");
        match &auth_token {
            Some(token) if PLACEHOLDERS.contains(&token.expose().as_str()) => {
                values.problem(Problem::Placeholder { name });
            }
            Some(token) if token.expose().len() > MAX_LENGTH => {
                values.problem(Problem::WrongForm { name, expected: "at most 4096 bytes long" });
            }
            Some(token) => {
                if let Some(why) = weakness(token.expose()) {
                    values.warn(Warning::WeakToken { why });
                }
            }
            None if !given && !flags.dev => values.problem(Problem::Missing {
                key: "auth.auth_token",
                help: "set AUTH_TOKEN to a long random text, for instance from \
                       `openssl rand -hex 32`; your backend shows it when it connects",
            }),
            None => {}
        }
        Self { auth_token }
    }
}

/// In which way a token can be guessed.
fn weakness(token: &str) -> Option<&'static str> {
    let different: BTreeSet<char> = token.chars().collect();
    let lower = token.to_ascii_lowercase();
    if token.chars().count() < 16 {
        Some("shorter than 16 characters")
    } else if different.len() < 6 {
        Some("only a few different characters")
    } else if ["your-", "change", "example", "password", "secret", "test-token", "dev-token"]
        .iter()
        .any(|word| lower.contains(word))
    {
        Some("it contains a word of the examples")
    } else {
        None
    }
}
