//! Who may do what: the token of the file, the file of tokens, and where a token is needed.

use std::path::PathBuf;

use portal_core::primitives::Secret;

use super::Problems;
use super::file::{Auth, AuthRules};
use super::problem::Problem;
use crate::auth::{Operation, Operations};

/// Examples that must not become somebody's token.
const PLACEHOLDERS: [&str; 6] = [
    "your-secure-static-token",
    "your-secure-static-token-here",
    "your-secret-token",
    "your-static-token",
    "new-secure-token",
    "changeme",
];

/// The shortest token that is taken. Those that `portal-mint token new` makes have 43 characters.
const MIN_TOKEN: usize = 12;

/// The longest.
const MAX_TOKEN: usize = 512;

/// `[auth]` and `[operations]`.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The token of `[auth.method.Static]`, which may do everything but read metrics.
    pub static_token: Option<Secret<String>>,
    /// The same, in a file that is read again when it changes.
    pub static_token_file: Option<PathBuf>,
    /// Tokens with names and scopes, read again when the file changes.
    pub tokens_file: Option<PathBuf>,
    /// Where a token is needed.
    pub guarded: Operations,
    /// What nobody may do.
    pub disabled: Operations,
    /// Whether tickets are given to anybody who asks: play money only.
    pub open: bool,
    /// The most quotes in one batch.
    pub max_batch: u64,
}

impl AuthConfig {
    /// Whether any token exists.
    #[must_use]
    pub const fn has_tokens(&self) -> bool {
        self.static_token.is_some()
            || self.static_token_file.is_some()
            || self.tokens_file.is_some()
    }

    pub(super) fn read(
        auth: Auth,
        disabled: Vec<String>,
        environment: Option<Secret<String>>,
        problems: &mut Problems,
    ) -> Self {
        let Auth { method, tokens_file, open, rules } = auth;
        let fixed = method.fixed.unwrap_or_default();
        unknown("auth", &rules, problems);
        unknown("auth.method.Static", &fixed.rules, problems);
        let rules = merge(fixed.rules, rules, problems);
        let static_token = environment.or(fixed.token);
        if let Some(token) = &static_token {
            check_token("the static token", token.expose(), problems);
        }
        let mut config = Self {
            static_token,
            static_token_file: fixed.token_file,
            tokens_file,
            guarded: Operations::default(),
            disabled: Operations::default(),
            open,
            max_batch: rules.mint_max_bat.unwrap_or(50),
        };
        // With tokens, a token is needed wherever the file does not say otherwise.
        let usual = config.has_tokens();
        let rule = |set: Option<bool>| set.unwrap_or(usual);
        for (operation, guarded) in [
            (Operation::Mint, rule(rules.enabled_mint)),
            (Operation::Melt, rule(rules.enabled_melt)),
            (Operation::Swap, rule(rules.enabled_swap)),
            (Operation::Restore, rule(rules.enabled_restore)),
            (Operation::CheckMintQuote, rule(rules.enabled_check_mint_quote)),
            (Operation::CheckMeltQuote, rule(rules.enabled_check_melt_quote)),
            (Operation::CheckProofState, rule(rules.enabled_check_proof_state)),
        ] {
            config.guarded.set(operation, guarded);
        }
        if !usual && config.guarded != Operations::default() {
            problems.add(Problem::Missing {
                name: "`auth.method.Static.token`",
                why: "operations need a token, and there is none",
            });
        }
        config.guarded.set(Operation::Metrics, usual);
        for name in disabled {
            match Operation::parse(&name) {
                Some(operation) => config.disabled.set(operation, true),
                None => problems.add(Problem::WrongForm {
                    name: "`operations.disabled`".into(),
                    expected: "a list of mint, melt, swap, restore, check_mint_quote, \
                               check_melt_quote, check_proof_state, metrics",
                }),
            }
        }
        config
    }
}

/// Refuses what is too short, too long, or not a token at all.
pub(super) fn check_token(name: &str, token: &str, problems: &mut Problems) {
    if PLACEHOLDERS.contains(&token) {
        problems.add(Problem::Placeholder { name: name.to_owned() });
    } else if !is_token(token) {
        problems.add(Problem::WrongForm {
            name: name.to_owned(),
            expected: "12 to 512 printable ASCII characters without spaces",
        });
    }
}

/// Whether a text can be a token: it must fit a header.
pub(crate) fn is_token(token: &str) -> bool {
    (MIN_TOKEN..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
}

fn unknown(section: &str, rules: &AuthRules, problems: &mut Problems) {
    for key in rules.unknown.keys() {
        problems.add(Problem::Unknown { name: format!("`{section}.{key}`") });
    }
}

/// The rules stand in `[auth.method.Static]`, where the documentation has them, or in `[auth]`.
fn merge(fixed: AuthRules, outer: AuthRules, problems: &mut Problems) -> AuthRules {
    let mut one = |name: &str, fixed: Option<bool>, outer: Option<bool>| {
        if fixed.is_some() && outer.is_some() {
            problems.add(Problem::Conflict {
                name: format!("`auth.{name}`"),
                why: "is in `auth` and in `auth.method.Static`",
            });
        }
        fixed.or(outer)
    };
    AuthRules {
        enabled_mint: one("enabled_mint", fixed.enabled_mint, outer.enabled_mint),
        enabled_melt: one("enabled_melt", fixed.enabled_melt, outer.enabled_melt),
        enabled_swap: one("enabled_swap", fixed.enabled_swap, outer.enabled_swap),
        enabled_restore: one("enabled_restore", fixed.enabled_restore, outer.enabled_restore),
        enabled_check_mint_quote: one(
            "enabled_check_mint_quote",
            fixed.enabled_check_mint_quote,
            outer.enabled_check_mint_quote,
        ),
        enabled_check_melt_quote: one(
            "enabled_check_melt_quote",
            fixed.enabled_check_melt_quote,
            outer.enabled_check_melt_quote,
        ),
        enabled_check_proof_state: one(
            "enabled_check_proof_state",
            fixed.enabled_check_proof_state,
            outer.enabled_check_proof_state,
        ),
        mint_max_bat: fixed.mint_max_bat.or(outer.mint_max_bat),
        unknown: std::collections::BTreeMap::new(),
    }
}
