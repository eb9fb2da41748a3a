//! What cryptography with a peer needs, kept: deriving a conversation key (NIP-44) costs as much
//! as verifying a signature, and parsing a public key a sixth of that.

use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, Mac};
use nostr::PublicKey;
use nostr::nips::nip44::v2::ConversationKey;
use secp256k1::{Parity, XOnlyPublicKey, ecdh};
use sha2::Sha256;

use super::recent::Recent;
use crate::identity::LocalKey;

const CAPACITY: usize = 16_384;

/// The keys of one local key with its peers.
pub struct ConversationKeys {
    local: LocalKey,
    recent: Mutex<Recent<PublicKey, Shared>>,
}

#[derive(Clone)]
struct Shared {
    verifying: XOnlyPublicKey,
    /// `None` until there is something to say or to read.
    conversation: Option<ConversationKey>,
}

impl ConversationKeys {
    /// No keys derived yet.
    #[must_use]
    pub fn new(local: LocalKey) -> Self {
        Self { local, recent: Mutex::new(Recent::new(CAPACITY)) }
    }

    /// Whether theirs is a point of the curve. Nothing is derived: whoever asks is not who writes
    /// to them.
    pub fn is_key(&self, peer: &PublicKey) -> bool {
        if self.known(peer).is_some() {
            return true;
        }
        let Ok(verifying) = peer.xonly() else { return false };
        self.keep(peer, Shared { verifying, conversation: None });
        true
    }

    /// The key shared with this peer; `None` when theirs is not a point of the curve.
    pub fn with(&self, peer: &PublicKey) -> Option<ConversationKey> {
        match self.known(peer) {
            Some(Shared { conversation: Some(derived), .. }) => Some(derived),
            Some(Shared { verifying, conversation: None }) => Some(self.derive(peer, verifying)),
            None => Some(self.derive(peer, peer.xonly().ok()?)),
        }
    }

    /// The same for a peer whose key was parsed already.
    pub fn with_parsed(&self, peer: &PublicKey, parsed: XOnlyPublicKey) -> ConversationKey {
        match self.known(peer).and_then(|known| known.conversation) {
            Some(derived) => derived,
            None => self.derive(peer, parsed),
        }
    }

    /// The parsed key of a peer, when it was used lately.
    pub fn parsed(&self, peer: &PublicKey) -> Option<XOnlyPublicKey> {
        self.known(peer).map(|known| known.verifying)
    }

    fn known(&self, peer: &PublicKey) -> Option<Shared> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).get(peer)
    }

    /// Derived outside the lock: two readers may derive the same key, none waits for another.
    fn derive(&self, peer: &PublicKey, verifying: XOnlyPublicKey) -> ConversationKey {
        let conversation = conversation_key(&self.local, verifying);
        self.keep(peer, Shared { verifying, conversation: Some(conversation) });
        conversation
    }

    fn keep(&self, peer: &PublicKey, shared: Shared) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).insert(*peer, shared);
    }
}

/// [`ConversationKey::derive`] for a key that is parsed: HKDF-extract of the shared point's x.
fn conversation_key(local: &LocalKey, peer: XOnlyPublicKey) -> ConversationKey {
    let point = secp256k1::PublicKey::from_x_only_public_key(peer, Parity::Even);
    let shared = ecdh::shared_secret_point(&point, local.secret_key());
    let mut extract =
        <Hmac<Sha256> as Mac>::new_from_slice(b"nip44-v2").expect("HMAC takes keys of any length");
    extract.update(shared.get(..32).expect("a point has two coordinates of 32 bytes"));
    ConversationKey::new(extract.finalize().into_bytes().into())
}

impl std::fmt::Debug for ConversationKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConversationKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::mock;
    use crate::primitives::Timestamp;

    #[test]
    fn a_kept_key_is_the_one_that_nip44_derives() {
        let (env, _) = mock::env(Timestamp::from_secs(1), 1);
        for _ in 0..8 {
            let (own, peer) = (LocalKey::generate(&env), LocalKey::generate(&env));
            let keys = ConversationKeys::new(own.clone());
            assert!(keys.parsed(&peer.public_key()).is_none(), "not used yet");
            let derived = ConversationKey::derive(own.secret_key(), &peer.public_key());
            let derived = derived.expect("a point of the curve");
            assert!(keys.is_key(&peer.public_key()), "which derives nothing yet");
            assert_eq!(keys.parsed(&peer.public_key()), peer.public_key().xonly().ok());
            for _ in 0..2 {
                let key = keys.with(&peer.public_key()).expect("a point of the curve");
                assert_eq!(key.as_bytes(), derived.as_bytes());
            }
            assert_eq!(keys.parsed(&peer.public_key()), peer.public_key().xonly().ok());
        }
    }

    #[test]
    fn what_is_no_point_of_the_curve_has_no_key() {
        let (env, _) = mock::env(Timestamp::from_secs(1), 1);
        let keys = ConversationKeys::new(LocalKey::generate(&env));
        let none = PublicKey::from_byte_array([0xff; 32]);
        assert!(keys.with(&none).is_none() && !keys.is_key(&none));
    }
}
