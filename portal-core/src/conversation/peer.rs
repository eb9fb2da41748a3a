//! Who is on the other side: a main key, its proven subkeys, the relays it listens on.

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use crate::primitives::Timestamp;
use crate::protocol::subkey::{SubkeyPermission, SubkeyProof};

/// The most subkeys of one peer that are kept.
pub const MAX_SUBKEYS: usize = 8;
/// The most relays of one peer that are used.
pub const MAX_RELAYS: usize = 3;

/// Another party, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The main key.
    pub main_key: PublicKey,
    /// Keys that proved to be its subkeys, at most eight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subkeys: Vec<PublicKey>,
    /// Relays it named, at most three; not checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<String>,
}

/// What a valid proof changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// A new subkey of the main key: it must get the request too.
    Subkey(PublicKey),
    /// What was taken for the main key is a subkey: the real main key must get the request too.
    MainKey(PublicKey),
}

impl Peer {
    /// A peer of which only the main key is known.
    #[must_use]
    pub const fn new(main_key: PublicKey) -> Self {
        Self { main_key, subkeys: Vec::new(), relays: Vec::new() }
    }

    /// The same peer with these subkeys, without repetitions and within the bound.
    #[must_use]
    pub fn with_subkeys(mut self, subkeys: impl IntoIterator<Item = PublicKey>) -> Self {
        for key in subkeys {
            if self.subkeys.len() < MAX_SUBKEYS && !self.knows(&key) {
                self.subkeys.push(key);
            }
        }
        self
    }

    /// The same peer with these relays, within the bounds of number and length.
    #[must_use]
    pub fn with_relays<T: Into<String>>(mut self, relays: impl IntoIterator<Item = T>) -> Self {
        for relay in relays.into_iter().map(Into::into) {
            if self.relays.len() < MAX_RELAYS && relay.len() <= 512 && !self.relays.contains(&relay)
            {
                self.relays.push(relay);
            }
        }
        self
    }

    /// All keys, the main key first.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        std::iter::once(self.main_key).chain(self.subkeys.iter().copied()).collect()
    }

    /// Whether this is one of its keys.
    #[must_use]
    pub fn knows(&self, key: &PublicKey) -> bool {
        self.main_key == *key || self.subkeys.contains(key)
    }

    /// Takes a proof that `author` sent (protocol section 1.6). `None` when it proves nothing new,
    /// does not hold, or speaks of somebody else.
    pub fn learn(
        &mut self,
        author: PublicKey,
        proof: &SubkeyProof,
        now: Timestamp,
        permission: SubkeyPermission,
    ) -> Option<Learned> {
        if author == proof.main_key
            || crate::identity::subkey::verify(proof, &author, now, Some(permission)).is_err()
        {
            return None;
        }
        if proof.main_key == self.main_key {
            if self.knows(&author) || self.subkeys.len() >= MAX_SUBKEYS {
                return None;
            }
            self.subkeys.push(author);
            return Some(Learned::Subkey(author));
        }
        // Only the key that was addressed may say that it is a subkey of another one, and only
        // once: what it says next would contradict it.
        if author == self.main_key && self.subkeys.len() < MAX_SUBKEYS {
            self.subkeys.push(author);
            self.main_key = proof.main_key;
            return Some(Learned::MainKey(proof.main_key));
        }
        None
    }
}
