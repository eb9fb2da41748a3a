//! Authentication: kinds 27000 and 27001.

use serde::{Deserialize, Serialize};

use super::subkey::SubkeyProof;
use crate::primitives::Timestamp;

/// Kind 27000: "prove that you hold this key". Kept until `expires_at`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthChallenge {
    /// Random text, echoed by the answer.
    pub challenge: String,
    /// When the challenge ends, by the clock of its author.
    pub expires_at: Timestamp,
    /// Permissions the service would like; deployed services ask for none.
    #[serde(default)]
    pub required_permissions: Vec<String>,
    /// The proof of the author, when it is a subkey.
    #[serde(default)]
    pub subkey_proof: Option<SubkeyProof>,
}

/// Kind 27001: the answer to a challenge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthResponse {
    /// The challenge that is answered.
    pub challenge: String,
    /// The proof of the author, when it is a subkey.
    #[serde(default)]
    pub subkey_proof: Option<SubkeyProof>,
    /// Yes or no.
    pub status: AuthStatus,
}

/// Yes or no to a challenge. The object carries its own member `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum AuthStatus {
    /// The person agreed.
    Approved {
        /// Permissions that were granted.
        #[serde(default)]
        granted_permissions: Vec<String>,
        /// Opaque to the protocol; wallets put a JWT for the service here.
        session_token: String,
    },
    /// The person said no.
    Declined {
        /// Why, if they said.
        #[serde(default)]
        reason: Option<String>,
    },
}
