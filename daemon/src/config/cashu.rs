//! `[cashu]`: the ticket wallet.

use std::path::PathBuf;

use portal_core::primitives::Secret;

use super::values::Values;

/// The ticket wallet.
#[derive(Clone, Debug)]
pub struct CashuConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// The words its proofs can be restored from. Without them the daemon makes some, and keeps
    /// them beside its data.
    pub mnemonic: Option<Secret<String>>,
    /// Its file, within the folder for data.
    pub file: PathBuf,
}

impl CashuConfig {
    pub(super) fn take(values: &mut Values) -> Self {
        let enabled = values.flag("cashu.enabled").unwrap_or(true);
        let name = values.name_of("cashu.mnemonic");
        let mnemonic = values.secret("cashu.mnemonic").and_then(|words| {
            match portal_core::identity::Mnemonic::parse(words.expose()) {
                Ok(_) => Some(words),
                Err(_) => values.wrong(name, "12 to 24 words of BIP-39"),
            }
        });
        let file =
            values.text("cashu.path").map_or_else(|| PathBuf::from("tickets.db"), PathBuf::from);
        Self { enabled, mnemonic, file }
    }
}
