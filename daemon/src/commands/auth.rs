//! `Auth`: shows the token. The transport checks it, since it knows the address; here is only the
//! shape.

use portal_core::primitives::Secret;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The token of the configuration.
    #[serde(deserialize_with = "super::input::secret")]
    pub token: Secret<String>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// For people.
    pub message: &'static str,
}

impl Default for Reply {
    fn default() -> Self {
        Self { message: "Authenticated successfully" }
    }
}
