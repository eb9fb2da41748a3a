//! Locks: who may spend a proof (NUT-10, NUT-11).
//!
//! A ticket is locked to the Nostr key of its holder: the key is a point of the same curve and
//! signs in the same way, so whoever knows the person can lock a ticket to them without asking for
//! another key. A lock may have an end, after which the one who made it can take the ticket back.

use cdk_common::nut10::{Kind, Secret as LockedSecret};
use cdk_common::nut11::SigFlag;
use cdk_common::{Conditions, Proof, SecretKey, SpendingConditions};
use hmac::{Hmac, Mac};
use nostr::PublicKey;
use serde::{Deserialize, Serialize};
use sha2::Sha512;

use super::CashuError;
use crate::primitives::{Secret, Timestamp};

/// To whom a ticket is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The key of the holder.
    pub to: PublicKey,
    /// From then on whoever made the lock may take the ticket back, the end of the event for
    /// example. `None`: never.
    pub until: Option<Timestamp>,
}

/// A key as the curve library of the protocol writes it.
pub(super) fn point(key: &PublicKey) -> Result<cdk_common::PublicKey, CashuError> {
    let text = format!("02{}", key.to_hex());
    cdk_common::PublicKey::from_hex(text).map_err(CashuError::protocol)
}

impl Lock {
    /// The condition, with ourselves as those who may take it back.
    pub(super) fn conditions(&self, own: &PublicKey) -> Result<SpendingConditions, CashuError> {
        let conditions = match self.until {
            None => None,
            Some(until) => Some(Conditions {
                locktime: Some(until.as_secs()),
                refund_keys: Some(vec![point(own)?]),
                ..Conditions::default()
            }),
        };
        Ok(SpendingConditions::new_p2pk(point(&self.to)?, conditions))
    }
}

/// Who can spend a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Whoever has it: it has no lock, or its signatures are there.
    Anyone,
    /// We can, with a signature.
    Us {
        /// The signature must cover what it is swapped for.
        all: bool,
    },
    /// Somebody else.
    Other,
    /// Nobody knows: a lock of a kind that is not handled.
    Unknown,
}

/// The keys we can sign with.
#[derive(Clone)]
pub(super) struct KeyRing {
    own: SecretKey,
    keys: Vec<([u8; 32], SecretKey)>,
}

impl KeyRing {
    /// The wallet's own key comes from its seed; `more` are keys people know us by.
    pub(super) fn new(
        seed: &Secret<[u8; 64]>,
        more: &[Secret<[u8; 32]>],
    ) -> Result<Self, CashuError> {
        let mut mac = <Hmac<Sha512> as Mac>::new_from_slice(seed.expose())
            .expect("a key of any length will do");
        mac.update(b"portal: the ticket wallet's own key");
        let bytes = Secret::new(<[u8; 64]>::from(mac.finalize().into_bytes()));
        let own = SecretKey::from_slice(&bytes.expose()[..32]).map_err(CashuError::protocol)?;
        let mut ring = Self { own: own.clone(), keys: Vec::new() };
        ring.add(own);
        for key in more {
            ring.add(SecretKey::from_slice(key.expose()).map_err(CashuError::protocol)?);
        }
        Ok(ring)
    }

    fn add(&mut self, key: SecretKey) {
        self.keys.push((key.public_key().x_only_public_key().serialize(), key));
    }

    /// The wallet's own key: whoever locks to it locks to this wallet.
    pub(super) fn own(&self) -> PublicKey {
        PublicKey::from_byte_array(self.own.public_key().x_only_public_key().serialize())
    }

    fn find(&self, point: &cdk_common::PublicKey) -> Option<&SecretKey> {
        let name = point.x_only_public_key().serialize();
        self.keys.iter().find(|(known, _)| *known == name).map(|(_, key)| key)
    }

    fn all_of(&self, points: &[cdk_common::PublicKey]) -> Vec<&SecretKey> {
        points.iter().filter_map(|point| self.find(point)).collect()
    }

    /// Who can spend a proof at this moment.
    pub(super) fn holder(&self, proof: &Proof, now: u64) -> Holder {
        let Some(lock) = read(proof) else {
            return if looks_locked(proof) { Holder::Unknown } else { Holder::Anyone };
        };
        if lock.kind != Kind::P2PK {
            return Holder::Unknown;
        }
        if !lock.all && proof.verify_p2pk().is_ok() {
            return Holder::Anyone;
        }
        let enough = |points: &[cdk_common::PublicKey], needed: u64| {
            self.all_of(points).len() as u64 >= needed
        };
        if enough(&lock.primary, lock.needed) {
            return Holder::Us { all: lock.all };
        }
        let over = lock.locktime.is_some_and(|locktime| locktime < now);
        if over && (lock.refund.is_empty() || enough(&lock.refund, lock.needed_refund)) {
            return if lock.refund.is_empty() {
                Holder::Anyone
            } else {
                Holder::Us { all: lock.all }
            };
        }
        Holder::Other
    }

    /// Whether nobody but us can have spent a proof until now: no other key, and no end of the
    /// lock that has passed.
    pub(super) fn only_us(&self, proof: &Proof, now: u64) -> bool {
        self.holder(proof, now) == (Holder::Us { all: false })
            && read(proof).is_some_and(|lock| {
                self.all_of(&lock.primary).len() == lock.primary.len()
                    && lock.locktime.is_none_or(|locktime| locktime >= now)
            })
    }

    /// Whether the holders of a lock that has not ended have signed a proof. What anybody can spend,
    /// because its lock has ended, is not signed.
    pub(super) fn is_signed(proof: &Proof, now: u64) -> bool {
        read(proof).is_some_and(|lock| {
            lock.kind == Kind::P2PK
                && !lock.all
                && lock.locktime.is_none_or(|locktime| locktime >= now)
        }) && proof.verify_p2pk().is_ok()
    }

    /// Signs a proof with every key of ours that its lock names.
    pub(super) fn sign(&self, proof: &mut Proof) -> Result<(), CashuError> {
        let Some(lock) = read(proof) else { return Ok(()) };
        if lock.all || proof.verify_p2pk().is_ok() {
            return Ok(());
        }
        let points: Vec<_> = lock.primary.iter().chain(&lock.refund).copied().collect();
        for key in self.all_of(&points) {
            proof.sign_p2pk(key.clone()).map_err(CashuError::protocol)?;
        }
        Ok(())
    }

    /// The keys that must sign a whole swap of this proof.
    pub(super) fn signers_of_all(&self, proof: &Proof) -> Vec<SecretKey> {
        let Some(lock) = read(proof).filter(|lock| lock.all) else { return Vec::new() };
        self.all_of(&lock.primary).into_iter().cloned().collect()
    }
}

impl Drop for KeyRing {
    fn drop(&mut self) {
        // Each key of the library overwrites itself.
        self.keys.clear();
    }
}

/// A lock, taken apart.
struct Taken {
    kind: Kind,
    primary: Vec<cdk_common::PublicKey>,
    needed: u64,
    locktime: Option<u64>,
    refund: Vec<cdk_common::PublicKey>,
    needed_refund: u64,
    all: bool,
}

fn read(proof: &Proof) -> Option<Taken> {
    let secret = LockedSecret::try_from(&proof.secret).ok()?;
    let kind = secret.kind();
    let tags = secret.secret_data().tags().cloned().unwrap_or_default();
    let conditions = Conditions::try_from(tags).ok()?;
    let mut primary = conditions.pubkeys.unwrap_or_default();
    if kind == Kind::P2PK {
        primary.insert(0, secret.secret_data().data().parse().ok()?);
    }
    Some(Taken {
        kind,
        primary,
        needed: conditions.num_sigs.unwrap_or(1).max(1),
        locktime: conditions.locktime,
        refund: conditions.refund_keys.unwrap_or_default(),
        needed_refund: conditions.num_sigs_refund.unwrap_or(1).max(1),
        all: conditions.sig_flag == SigFlag::SigAll,
    })
}

/// A secret in the form of a condition that could not be read as one.
fn looks_locked(proof: &Proof) -> bool {
    proof.secret.as_bytes().first() == Some(&b'[')
}

/// Whether a proof has any lock.
pub(super) fn is_locked(proof: &Proof) -> bool {
    looks_locked(proof)
}

#[cfg(test)]
mod tests {
    use cdk_common::Amount;
    use cdk_common::secret::Secret as ProofSecret;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(number: u8) -> SecretKey {
        SecretKey::from_slice(&[number; 32]).expect("a key")
    }

    fn ring() -> KeyRing {
        KeyRing::new(&Secret::new([1; 64]), &[Secret::new([2; 32])]).expect("keys")
    }

    /// A proof locked to `primary`, one signature is enough.
    fn locked(primary: &[&SecretKey], locktime: Option<u64>, refund: &[&SecretKey]) -> Proof {
        let publics = |keys: &[&SecretKey]| -> Option<Vec<_>> {
            (!keys.is_empty()).then(|| keys.iter().map(|key| key.public_key()).collect())
        };
        let conditions = Conditions {
            locktime,
            pubkeys: publics(&primary[1..]),
            refund_keys: publics(refund),
            ..Conditions::default()
        };
        let lock = SpendingConditions::new_p2pk(primary[0].public_key(), Some(conditions));
        let secret = LockedSecret::try_from(lock).expect("a lock");
        proof(ProofSecret::try_from(secret).expect("a secret"))
    }

    fn proof(secret: ProofSecret) -> Proof {
        let keyset = "009a1f293253e41e".parse().expect("an id");
        Proof::new(Amount::from(1), keyset, secret, key(9).public_key())
    }

    #[test]
    fn only_we_can_have_spent_what_has_no_other_way_out() {
        let (ring, ours, other) = (ring(), key(2), key(3));
        let own = ring.own.clone();
        for (name, proof) in [
            ("ours", locked(&[&ours], None, &[])),
            ("the wallet's own", locked(&[&own], None, &[])),
            ("two of ours", locked(&[&ours, &own], None, &[])),
            ("theirs only later", locked(&[&ours], Some(NOW), &[&other])),
        ] {
            assert!(ring.only_us(&proof, NOW), "{name}");
        }
        for (name, proof) in [
            ("theirs", locked(&[&other], None, &[])),
            ("either of us", locked(&[&ours, &other], None, &[])),
            ("either of us, the other first", locked(&[&other, &ours], None, &[])),
            ("theirs since a moment", locked(&[&ours], Some(NOW - 1), &[&other])),
            ("everybody's since a moment", locked(&[&ours], Some(NOW - 1), &[])),
            ("nobody's", proof(ProofSecret::new("0a0b"))),
            ("no lock at all", proof(ProofSecret::new("[\"P2PK\",{}]"))),
        ] {
            assert!(!ring.only_us(&proof, NOW), "{name}");
        }
        // We can spend it, and so can somebody else: that is what tells the two questions apart.
        let either = locked(&[&ours, &other], None, &[]);
        assert_eq!(ring.holder(&either, NOW), Holder::Us { all: false });
    }

    #[test]
    fn a_lock_that_has_ended_is_not_signed_by_its_holder() {
        let (ring, holder) = (ring(), key(3));
        let mut signed = locked(&[&holder], Some(NOW), &[]);
        assert!(!KeyRing::is_signed(&signed, NOW), "nobody has signed");
        signed.sign_p2pk(holder.clone()).expect("signs");
        assert!(KeyRing::is_signed(&signed, NOW));
        assert_eq!(ring.holder(&signed, NOW), Holder::Anyone);

        let over = locked(&[&holder], Some(NOW - 1), &[]);
        assert_eq!(ring.holder(&over, NOW), Holder::Anyone, "whoever has it");
        assert!(!KeyRing::is_signed(&over, NOW), "which is no signature");
        assert!(!KeyRing::is_signed(&proof(ProofSecret::new("0a0b")), NOW));
    }
}
