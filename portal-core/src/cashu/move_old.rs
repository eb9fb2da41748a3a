//! Moving the tickets of an older app into this wallet.
//!
//! Earlier apps kept proofs on the phone and derived them from 32 bytes: sha256 of the Nostr secret
//! key and the word `cashu`, or the BIP-32 key at `m/129372'/0'` of the mnemonic. What they had on
//! the phone is moved by receiving it: proofs are proofs. What only the 32 bytes are left of is
//! searched for at the mint. How those apps went on from the 32 bytes is not written down anywhere;
//! [`DERIVATIONS`] are the ways that their library makes possible. A way that was not theirs finds
//! nothing and does no harm.

use cdk_common::bitcoin::Network;
use cdk_common::bitcoin::bip32::{ChainCode, ChildNumber, DerivationPath, Xpriv};
use cdk_common::nut02::KeySetVersion;
use cdk_common::secret::Secret as ProofSecret;
use cdk_common::{Id, SECP256K1, SecretKey};
use sha2::{Digest, Sha256};

use super::evidence::MintState;
use super::knowledge::Need;
use super::outputs::{self, Output};
use super::restore::Reach;
use super::token::{self, TicketToken};
use super::{CashuError, MintAddress, TicketWallet, Unit};
use crate::primitives::Secret;

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// What the wallet has more, in the base of the unit.
    pub amount: u64,
    /// How many proofs the old seed had there.
    pub proofs: usize,
}

/// The 32 bytes of an app that knew only a Nostr key.
#[must_use]
pub fn old_seed(nostr_secret: &Secret<[u8; 32]>) -> Secret<[u8; 32]> {
    let mut hasher = Sha256::new();
    hasher.update(nostr_secret.expose());
    hasher.update(b"cashu");
    Secret::new(hasher.finalize().into())
}

/// A way from 32 bytes to the secrets of a keyset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Derivation {
    /// The bytes are the seed of a BIP-32 tree; the whole path of NUT-13.
    Whole,
    /// The bytes are the seed of a tree that begins at `m/129372'/0'`.
    Below,
    /// The bytes are the key at `m/129372'/0'`, without a chain code.
    BareKey,
}

/// Those apps made few tickets at a time, and there are several ways to search.
const REACH: Reach = Reach { least: 0, gap: 500 };
const DERIVATIONS: [Derivation; 3] = [Derivation::Whole, Derivation::Below, Derivation::BareKey];

impl Derivation {
    fn root(self, seed: &Secret<[u8; 32]>, keyset: Id) -> Result<Xpriv, CashuError> {
        let hardened = |index| ChildNumber::from_hardened_idx(index).map_err(CashuError::protocol);
        let of_keyset = hardened(u32::from(keyset))?;
        let (root, path) = match self {
            Self::Whole => (
                Xpriv::new_master(Network::Bitcoin, seed.expose()).map_err(CashuError::protocol)?,
                vec![hardened(129_372)?, hardened(0)?, of_keyset],
            ),
            Self::Below => (
                Xpriv::new_master(Network::Bitcoin, seed.expose()).map_err(CashuError::protocol)?,
                vec![of_keyset],
            ),
            Self::BareKey => {
                let mut root = Xpriv::new_master(Network::Bitcoin, seed.expose())
                    .map_err(CashuError::protocol)?;
                root.private_key =
                    *SecretKey::from_slice(seed.expose()).map_err(CashuError::protocol)?;
                root.chain_code = ChainCode::from([0; 32]);
                (root, vec![of_keyset])
            }
        };
        root.derive_priv(&SECP256K1, &DerivationPath::from(path)).map_err(CashuError::protocol)
    }
}

fn outputs_of(root: &Xpriv, keyset: Id, start: u32, count: u32) -> Result<Vec<Output>, CashuError> {
    (start..start.saturating_add(count))
        .map(|number| {
            let at = |last| -> Result<Xpriv, CashuError> {
                let path = [
                    ChildNumber::from_hardened_idx(number).map_err(CashuError::protocol)?,
                    ChildNumber::from_normal_idx(last).map_err(CashuError::protocol)?,
                ];
                root.derive_priv(&SECP256K1, &path).map_err(CashuError::protocol)
            };
            let secret = Secret::new(hex::encode(at(0)?.private_key.secret_bytes()));
            let r = SecretKey::from(at(1)?.private_key);
            outputs::from_parts(keyset, ProofSecret::new(secret.expose().clone()), r)
        })
        .collect()
}

impl TicketWallet {
    /// Searches a mint for what an old seed had there, and swaps it into this wallet. Call it once
    /// for each mint and unit that the app knew.
    ///
    /// # Errors
    /// What the mint says. What was found is in the journal before it is spent; call it again.
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn move_old(
        &self,
        mint: &MintAddress,
        unit: &Unit,
        seed: &Secret<[u8; 32]>,
    ) -> Result<Moved, CashuError> {
        let need = Need { unit: Some(unit), every: true, anew: true, ..Need::default() };
        let keysets = self.0.keysets(mint, need).await?;
        let mut moved = Moved::default();
        // Older apps never saw the newer form of keysets.
        let of_unit = keysets.0.iter().filter(|keyset| {
            keyset.unit == *unit && keyset.id.get_version() == KeySetVersion::Version00
        });
        for keyset in of_unit {
            for derivation in DERIVATIONS {
                let root = derivation.root(seed, keyset.id)?;
                let found = self
                    .0
                    .scan(mint, &keysets, keyset, REACH, |start, count| {
                        outputs_of(&root, keyset.id, start, count)
                    })
                    .await?;
                if found.proofs.is_empty() {
                    continue;
                }
                let mut unspent = Vec::new();
                let names = found.proofs.iter().map(token::name).collect::<Result<Vec<_>, _>>()?;
                let states = self.0.states_at(mint, &names).await?;
                for (proof, y) in found.proofs.into_iter().zip(names) {
                    if states.get(&y) == Some(&MintState::Unspent) {
                        unspent.push((y, proof));
                    }
                }
                for some in unspent.chunks(token::MOST_MESSAGE_PROOFS) {
                    let proofs: Vec<_> = some.iter().map(|(_, proof)| proof.clone()).collect();
                    let mut hasher = Sha256::new();
                    some.iter().for_each(|(y, _)| hasher.update(y));
                    let key = format!("move:{}", hex::encode(hasher.finalize()));
                    moved.proofs += proofs.len();
                    let token = TicketToken::of(mint, unit, proofs, None)?.to_string();
                    let received = self.receive(&key, &token).await?;
                    moved.amount = moved.amount.saturating_add(received.amount);
                }
            }
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_seed_is_the_hash_of_key_and_word() {
        // sha256 of 32 bytes 0x01 and "cashu", computed with another program.
        let seed = old_seed(&Secret::new([1; 32]));
        let mut expected = [1_u8; 37];
        expected[32..].copy_from_slice(b"cashu");
        assert_eq!(seed.expose()[..], Sha256::digest(expected)[..]);
    }

    #[test]
    fn the_ways_lead_to_different_secrets() {
        let keyset: Id = "009a1f293253e41e".parse().expect("an id");
        let seed = Secret::new([7; 32]);
        let first = |way: Derivation| {
            let root = way.root(&seed, keyset).expect("a root");
            outputs_of(&root, keyset, 0, 1).expect("outputs")[0].blinded().to_bytes()
        };
        let all: std::collections::HashSet<_> = DERIVATIONS.into_iter().map(first).collect();
        assert_eq!(all.len(), DERIVATIONS.len());
    }
}
