//! Public profiles: kind 0 (NIP-01, NIP-05).

use serde::{Deserialize, Serialize};

/// What a profile says. Absent members are left out when written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// A short name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The address of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// An identifier `name@domain` (NIP-05); `None` once its check has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nip05: Option<String>,
}
