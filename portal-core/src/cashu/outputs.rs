//! What is to be signed: secrets, their blinding, and what the signatures make of them.
//!
//! What the wallet keeps comes from its seed (NUT-13) and can be restored from it; what is locked
//! to somebody needs a random part. Either way everything that turns a signature into a proof is in
//! the journal before the mint is asked, so no answer of the mint can be lost for good.

use cdk_common::dhke::{blind_message, construct_proofs};
use cdk_common::nut10::Secret as LockedSecret;
use cdk_common::secret::Secret as ProofSecret;
use cdk_common::{Amount, BlindSignature, BlindedMessage, Id, Proof, PublicKey, SecretKey};
use nostr::PublicKey as NostrKey;
use serde::{Deserialize, Serialize};

use super::CashuError;
use super::keysets::{Keyset, Keysets};
use super::lock::Lock;
use crate::env::Env;
use crate::primitives::Secret;

/// One thing to be signed. Holds secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Output {
    pub(super) keyset: Id,
    pub(super) amount: u64,
    secret: ProofSecret,
    r: SecretKey,
    blinded: PublicKey,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("amount", &self.amount).finish_non_exhaustive()
    }
}

impl Output {
    fn new(keyset: Id, amount: u64, secret: ProofSecret, r: SecretKey) -> Result<Self, CashuError> {
        let (blinded, r) =
            blind_message(&secret.to_bytes(), Some(r)).map_err(CashuError::protocol)?;
        Ok(Self { keyset, amount, secret, r, blinded })
    }

    pub(super) fn message(&self) -> BlindedMessage {
        BlindedMessage::new(Amount::from(self.amount), self.keyset, self.blinded)
    }

    pub(super) const fn blinded(&self) -> &PublicKey {
        &self.blinded
    }

    /// The same, of the amount that the mint says it has signed; for restoring.
    pub(super) fn of_amount(&self, amount: u64) -> Self {
        Self { amount, ..self.clone() }
    }
}

/// Outputs of these amounts from the seed, with the numbers from `start`.
pub(super) fn from_seed(
    seed: &Secret<[u8; 64]>,
    keyset: Id,
    start: u32,
    amounts: &[u64],
) -> Result<Vec<Output>, CashuError> {
    (start..)
        .zip(amounts)
        .map(|(number, amount)| {
            let secret = ProofSecret::from_seed(seed.expose(), keyset, number)
                .map_err(CashuError::protocol)?;
            let r = SecretKey::from_seed(seed.expose(), keyset, number)
                .map_err(CashuError::protocol)?;
            Output::new(keyset, *amount, secret, r)
        })
        .collect()
}

/// Outputs whose secrets and blinding factors were derived elsewhere.
pub(super) fn from_parts(
    keyset: Id,
    secret: ProofSecret,
    r: SecretKey,
) -> Result<Output, CashuError> {
    Output::new(keyset, 0, secret, r)
}

/// Outputs of these amounts that only the holder of a key can spend.
pub(super) fn locked(
    env: &Env,
    lock: &Lock,
    own: &NostrKey,
    keyset: Id,
    amounts: &[u64],
) -> Result<Vec<Output>, CashuError> {
    let conditions = lock.conditions(own)?;
    amounts
        .iter()
        .map(|amount| {
            let secret =
                LockedSecret::try_from(conditions.clone()).map_err(CashuError::protocol)?;
            let secret = ProofSecret::try_from(secret).map_err(CashuError::protocol)?;
            Output::new(keyset, *amount, secret, random_key(env))
        })
        .collect()
}

fn random_key(env: &Env) -> SecretKey {
    loop {
        // All but one in 2^128 of the values are keys.
        let bytes = Secret::new(env.bytes::<32>());
        if let Ok(key) = SecretKey::from_slice(bytes.expose()) {
            return key;
        }
    }
}

/// Makes proofs of signatures, in the order of the outputs, after checking that each is for its
/// output, by the mint's own key.
///
/// `proven`: the mint promises proofs of its signatures (NUT-12), so one without is refused.
pub(super) fn unblind(
    outputs: &[Output],
    signatures: Vec<BlindSignature>,
    keysets: &Keysets,
    proven: bool,
) -> Result<Vec<Proof>, CashuError> {
    let wrong = |reason| CashuError::WrongSignature { reason };
    if signatures.len() != outputs.len() {
        return Err(wrong("there are more or fewer than asked for"));
    }
    let mut proofs = Vec::with_capacity(outputs.len());
    for (output, signature) in outputs.iter().zip(signatures) {
        if signature.keyset_id != output.keyset {
            return Err(wrong("one is of another keyset"));
        }
        if signature.amount.to_u64() != output.amount {
            return Err(wrong("one is of another amount"));
        }
        let keyset = keysets.get(output.keyset).ok_or(CashuError::UnknownKeyset)?;
        let key = key_of(keyset, output.amount)?;
        match &signature.dleq {
            Some(_) => signature
                .verify_dleq(key, output.blinded)
                .map_err(|_| wrong("one is not by the mint's key"))?,
            None if proven => return Err(wrong("one has no proof")),
            None => {}
        }
        let made = construct_proofs(
            vec![signature],
            vec![output.r.clone()],
            vec![output.secret.clone()],
            &keyset.keys,
        )
        .map_err(CashuError::protocol)?;
        proofs.extend(made);
    }
    Ok(proofs)
}

/// The mint's key for an amount.
pub(super) fn key_of(keyset: &Keyset, amount: u64) -> Result<PublicKey, CashuError> {
    keyset
        .keys
        .amount_key(Amount::from(amount))
        .ok_or(CashuError::WrongSignature { reason: "the mint has no key for this amount" })
}

/// How an amount is cut into proofs: as few as possible.
pub(super) fn split(keyset: &Keyset, amount: u64, most: usize) -> Result<Vec<u64>, CashuError> {
    let mut parts = Vec::new();
    let mut left = amount;
    for part in keyset.amounts().into_iter().rev() {
        let count = usize::try_from(left / part).unwrap_or(usize::MAX);
        if count > most.saturating_sub(parts.len()) {
            return Err(too_many(count.saturating_add(parts.len()), most));
        }
        parts.extend(std::iter::repeat_n(part, count));
        left %= part;
    }
    if left != 0 {
        return Err(CashuError::Amount { reason: "this unit has no proofs that add up to it" });
    }
    parts.reverse();
    Ok(parts)
}

/// One proof for each ticket.
pub(super) fn singly(keyset: &Keyset, amount: u64, most: usize) -> Result<Vec<u64>, CashuError> {
    if !keyset.amounts().contains(&1) {
        return split(keyset, amount, most);
    }
    match usize::try_from(amount) {
        Ok(count) if count <= most => Ok(vec![1; count]),
        Ok(count) => Err(too_many(count, most)),
        Err(_) => Err(too_many(usize::MAX, most)),
    }
}

const fn too_many(found: usize, most: usize) -> CashuError {
    CashuError::TooLarge { what: "one operation", found, most }
}
