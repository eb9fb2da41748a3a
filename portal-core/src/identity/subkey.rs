//! Subkeys: keys that a main key derives for a device or an app, with a public proof.
//!
//! A subkey is the main key plus a hash of the proof's metadata. Two hashes are in use: the
//! current one, which we write, and an older one; both are accepted. What a message with a
//! proof may bring about is for [`crate::conversation`].
//!
//! The proof is public, and who has it *and* the secret of the subkey can compute the secret of
//! the main key. A subkey must be guarded like the main key.

use std::time::Duration;

use nostr::PublicKey;
use secp256k1::{Parity, SECP256K1, Scalar};
use sha2::{Digest, Sha256};

use super::keypair::LocalKey;
use crate::primitives::{Secret, Timestamp};
use crate::protocol::subkey::{SubkeyMetadata, SubkeyPermission, SubkeyProof};

/// How far the clock of whoever made a proof may be off.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(600);

const TAG: &[u8] = b"Portal/Subkey";

/// Derives a subkey of `main`, with its proof. It is not checked to be valid today.
///
/// # Errors
/// When `main` is a subkey itself, or the metadata cannot be hashed or give no key.
pub fn derive(main: &LocalKey, metadata: SubkeyMetadata) -> Result<LocalKey, SubkeyError> {
    if main.is_subkey() {
        return Err(SubkeyError::NotAMainKey);
    }
    derive_with(main, metadata, current_tweak)
}

fn derive_with(
    main: &LocalKey,
    metadata: SubkeyMetadata,
    tweak: fn(&SubkeyMetadata) -> Result<Scalar, SubkeyError>,
) -> Result<LocalKey, SubkeyError> {
    let mut even = even_secret(main);
    let subkey = even.add_tweak(&tweak(&metadata)?).map_err(|_| SubkeyError::Underivable);
    even.non_secure_erase();
    let mut subkey = subkey?;
    let bytes = Secret::new(subkey.secret_bytes());
    subkey.non_secure_erase();
    let key = LocalKey::from_secret_bytes(bytes.expose()).map_err(|_| SubkeyError::Underivable)?;
    Ok(key.with_checked_proof(SubkeyProof { main_key: main.public_key(), metadata }))
}

/// Checks that `proof` is for `subkey`, valid at `now` (give or take [`CLOCK_TOLERANCE`]), and
/// gives `permission` when one is asked for.
///
/// # Errors
/// What of this is not so.
pub fn verify(
    proof: &SubkeyProof,
    subkey: &PublicKey,
    now: Timestamp,
    permission: Option<SubkeyPermission>,
) -> Result<(), SubkeyError> {
    let metadata = &proof.metadata;
    // The cheap checks first: strangers send proofs.
    if now.saturating_add(CLOCK_TOLERANCE) < metadata.valid_from {
        return Err(SubkeyError::NotYetValid);
    }
    if now.saturating_sub(CLOCK_TOLERANCE) > metadata.expires_at {
        return Err(SubkeyError::Expired);
    }
    if permission.is_some_and(|permission| !metadata.permissions.contains(&permission)) {
        return Err(SubkeyError::NotPermitted);
    }
    let main = proof.main_key.xonly().map_err(|_| SubkeyError::InvalidMainKey)?;
    let fits = |tweak: &Scalar| {
        main.add_tweak(SECP256K1, tweak)
            .is_ok_and(|(point, _)| point.serialize() == *subkey.as_bytes())
    };
    // A hash that is no scalar fits no key, and the other one may still.
    if current_tweak(metadata).is_ok_and(|tweak| fits(&tweak))
        || legacy_tweak(metadata).is_ok_and(|tweak| fits(&tweak))
    {
        Ok(())
    } else {
        Err(SubkeyError::WrongKey)
    }
}

/// The bytes that the current hash is over.
fn canonical(metadata: &SubkeyMetadata) -> Result<Vec<u8>, SubkeyError> {
    let name = metadata.name.as_bytes();
    let length = u16::try_from(name.len()).map_err(|_| SubkeyError::NameTooLong)?;
    let mut permissions = 0;
    for permission in &metadata.permissions {
        permissions |= match permission {
            SubkeyPermission::Auth => 1,
            SubkeyPermission::Payment => 2,
        };
    }
    let mut bytes = vec![metadata.version];
    bytes.extend(length.to_le_bytes());
    bytes.extend(name);
    bytes.extend(metadata.nonce);
    bytes.extend(metadata.valid_from.as_secs().to_le_bytes());
    bytes.extend(metadata.expires_at.as_secs().to_le_bytes());
    bytes.push(permissions);
    Ok(bytes)
}

/// A tagged hash of the canonical bytes.
fn current_tweak(metadata: &SubkeyMetadata) -> Result<Scalar, SubkeyError> {
    let tag = Sha256::digest(TAG);
    let mut hasher = Sha256::new();
    hasher.update(tag);
    hasher.update(tag);
    hasher.update(canonical(metadata)?);
    Scalar::from_be_bytes(hasher.finalize().into()).map_err(|_| SubkeyError::Underivable)
}

/// A plain hash of the JSON. The order of its members is that of the struct.
fn legacy_tweak(metadata: &SubkeyMetadata) -> Result<Scalar, SubkeyError> {
    let json = serde_json::to_vec(metadata).expect("plain members always serialise");
    Scalar::from_be_bytes(Sha256::digest(json).into()).map_err(|_| SubkeyError::Underivable)
}

/// The secret whose point has the public key and an even Y.
pub(super) fn even_secret(key: &LocalKey) -> secp256k1::SecretKey {
    let secret = key.keypair().secret_key();
    match key.keypair().x_only_public_key().1 {
        Parity::Even => secret,
        Parity::Odd => secret.negate(),
    }
}

/// Why a subkey or its proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubkeyError {
    /// The proof is not for this key.
    #[error("the subkey proof does not fit the key")]
    WrongKey,
    /// The main key that the proof names is no key.
    #[error("the subkey proof names an invalid main key")]
    InvalidMainKey,
    /// The proof begins in the future.
    #[error("the subkey proof is not valid yet")]
    NotYetValid,
    /// The proof has ended.
    #[error("the subkey proof has expired")]
    Expired,
    /// The proof does not give the permission that is needed.
    #[error("the subkey proof lacks the permission")]
    NotPermitted,
    /// The name does not fit the hash.
    #[error("the name of the subkey is longer than 65535 bytes")]
    NameTooLong,
    /// Subkeys are derived from main keys only.
    #[error("a subkey cannot have subkeys")]
    NotAMainKey,
    /// The metadata give no key; one in 2^127 does.
    #[error("the metadata give no key")]
    Underivable,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn main_key() -> LocalKey {
        LocalKey::from_secret_bytes(&[6; 32]).expect("a key")
    }

    fn metadata() -> SubkeyMetadata {
        SubkeyMetadata {
            name: "phone".to_owned(),
            nonce: [9; 32],
            valid_from: Timestamp::from_secs(10 * DAY),
            expires_at: Timestamp::from_secs(20 * DAY),
            permissions: vec![SubkeyPermission::Auth],
            version: 2,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn both_hashes_verify() {
        for tweak in [current_tweak, legacy_tweak] {
            let subkey = derive_with(&main_key(), metadata(), tweak).expect("derives");
            let proof = subkey.proof().expect("has a proof").clone();
            assert_eq!(proof.main_key, main_key().public_key());
            assert_eq!(subkey.main_key(), main_key().public_key());
            assert_eq!(verify(&proof, &subkey.public_key(), at(15 * DAY), None), Ok(()));

            let bare = LocalKey::parse(subkey.nsec().expose()).expect("a key");
            assert!(!bare.is_subkey());
            assert!(bare.with_proof(proof.clone(), at(15 * DAY)).expect("fits").is_subkey());
            let stranger = main_key().with_proof(proof, at(15 * DAY)).err();
            assert_eq!(stranger, Some(SubkeyError::WrongKey));
        }
    }

    #[test]
    fn any_change_of_the_metadata_breaks_the_proof() {
        let subkey = derive(&main_key(), metadata()).expect("derives");
        let proof = subkey.proof().expect("has a proof");
        let changes: [fn(&mut SubkeyMetadata); 6] = [
            |data| data.name.push('x'),
            |data| data.nonce[31] ^= 1,
            |data| data.valid_from = at(DAY),
            |data| data.expires_at = at(30 * DAY),
            |data| data.permissions.push(SubkeyPermission::Payment),
            |data| data.version = 1,
        ];
        for change in changes {
            let mut forged = proof.clone();
            change(&mut forged.metadata);
            let verdict = verify(&forged, &subkey.public_key(), at(15 * DAY), None);
            assert_eq!(verdict, Err(SubkeyError::WrongKey));
        }
        let mut forged = proof.clone();
        forged.main_key = PublicKey::from_byte_array([0xff; 32]);
        let verdict = verify(&forged, &subkey.public_key(), at(15 * DAY), None);
        assert_eq!(verdict, Err(SubkeyError::InvalidMainKey));
    }

    #[test]
    fn validity_and_permissions_are_enforced() {
        let subkey = derive(&main_key(), metadata()).expect("derives");
        let proof = subkey.proof().expect("has a proof");
        let verdict = |now, wanted| verify(proof, &subkey.public_key(), at(now), wanted);
        assert_eq!(verdict(10 * DAY - 601, None), Err(SubkeyError::NotYetValid));
        assert_eq!(verdict(10 * DAY - 600, None), Ok(()));
        assert_eq!(verdict(20 * DAY + 600, None), Ok(()));
        assert_eq!(verdict(20 * DAY + 601, None), Err(SubkeyError::Expired));
        assert_eq!(verdict(u64::MAX, None), Err(SubkeyError::Expired));
        assert_eq!(verdict(15 * DAY, Some(SubkeyPermission::Auth)), Ok(()));
        let payment = verdict(15 * DAY, Some(SubkeyPermission::Payment));
        assert_eq!(payment, Err(SubkeyError::NotPermitted));
    }

    #[test]
    fn a_subkey_has_no_subkeys_and_names_are_bounded() {
        let subkey = derive(&main_key(), metadata()).expect("derives");
        assert_eq!(derive(&subkey, metadata()).err(), Some(SubkeyError::NotAMainKey));
        let long = SubkeyMetadata { name: "x".repeat(65_536), ..metadata() };
        assert_eq!(derive(&main_key(), long).err(), Some(SubkeyError::NameTooLong));
    }
}
