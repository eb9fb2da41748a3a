//! Tickets as Cashu tokens: kinds 29500, 29501 and 29502.

use serde::{Deserialize, Serialize};

use super::invoice::Echo;
use crate::primitives::{RequestId, Timestamp};

/// Kind 29500: "give me a token of this mint and unit".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CashuRequest {
    /// Echoed by the answer.
    pub request_id: RequestId,
    /// The mint.
    pub mint_url: String,
    /// The unit of the mint.
    pub unit: String,
    /// In the base of `unit` (not in millisatoshi).
    pub amount: u64,
    /// When the request ends, by the clock of its author.
    pub expires_at: Timestamp,
}

/// Kind 29501: the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CashuResponse {
    /// The request that is answered.
    pub request: Echo<CashuRequest>,
    /// The token, or why there is none.
    pub status: CashuStatus,
}

/// The token, or why there is none. The object carries its own member `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum CashuStatus {
    /// Here it is.
    Success {
        /// `cashuB…` (NUT-00).
        token: String,
    },
    /// The person has not enough of this unit.
    InsufficientFunds,
    /// The person said no.
    Rejected {
        /// Why, if they said.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// Kind 29502: a token, unasked. No id, no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CashuDirect {
    /// `cashuB…` (NUT-00).
    pub token: String,
}
