//! Proof that a key is a subkey of a main key: kind 30000, and inside kinds 27000 and 27001.
//!
//! Only the shape. [`crate::identity::subkey`] derives subkeys and verifies proofs.

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use crate::primitives::Timestamp;

/// Kind 30000: names the main key and what the subkey was derived with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubkeyProof {
    /// The main key.
    pub main_key: PublicKey,
    /// What the subkey was derived with.
    pub metadata: SubkeyMetadata,
}

/// What a subkey was derived with, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubkeyMetadata {
    /// For people.
    pub name: String,
    /// 32 random bytes, 64 hex digits on the wire.
    #[serde(with = "hex::serde")]
    pub nonce: [u8; 32],
    /// Not valid before.
    pub valid_from: Timestamp,
    /// Not valid after.
    pub expires_at: Timestamp,
    /// What it may do; the order matters for the older hash.
    pub permissions: Vec<SubkeyPermission>,
    /// Written into the hash; does not select the algorithm.
    pub version: u8,
}

/// What a subkey may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubkeyPermission {
    /// Answer and ask for authentication.
    Auth,
    /// Answer and ask for payments, invoices and tickets.
    Payment,
}
