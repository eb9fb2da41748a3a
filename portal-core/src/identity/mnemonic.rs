//! Twelve words that give all keys of a person (BIP-39, BIP-32, NIP-06).

use std::fmt;

use bip39::Language;
use hmac::{Hmac, Mac};
use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};
use sha2::Sha512;

use super::keypair::LocalKey;
use crate::env::Env;
use crate::primitives::Secret;

/// Longer than any mnemonic of 24 words.
const MAX_MNEMONIC_TEXT: usize = 512;

const HARDENED: u32 = 1 << 31;
/// m/44'/1237'/0'/0/0 (NIP-06).
const NOSTR_PATH: [u32; 5] = [44 | HARDENED, 1237 | HARDENED, HARDENED, 0, 0];
/// m/129372'/0' (NUT-13).
const CASHU_PATH: [u32; 2] = [129_372 | HARDENED, HARDENED];

/// English words of BIP-39, checked. No passphrase.
#[derive(Clone)]
pub struct Mnemonic {
    words: Secret<String>,
}

impl Mnemonic {
    /// Twelve new words.
    #[must_use]
    pub fn generate(env: &Env) -> Self {
        let entropy = Secret::new(env.bytes::<16>());
        let mnemonic = bip39::Mnemonic::from_entropy_in(Language::English, entropy.expose())
            .expect("16 bytes are the entropy of twelve words");
        Self { words: Secret::new(mnemonic.to_string()) }
    }

    /// Reads 12, 15, 18, 21 or 24 words. Capital letters and more space do no harm.
    ///
    /// # Errors
    /// When there is another number of words, a word is not of the list, or the checksum is
    /// wrong.
    pub fn parse(text: &str) -> Result<Self, MnemonicError> {
        if text.len() > MAX_MNEMONIC_TEXT {
            return Err(MnemonicError::WordCount);
        }
        let plain = Secret::new(text.to_ascii_lowercase());
        let words = plain.expose().split_whitespace().collect::<Vec<_>>().join(" ");
        let words = Secret::new(words);
        match bip39::Mnemonic::parse_in_normalized(Language::English, words.expose()) {
            Ok(_) => Ok(Self { words }),
            Err(bip39::Error::UnknownWord(place)) => Err(MnemonicError::UnknownWord { place }),
            Err(bip39::Error::InvalidChecksum) => Err(MnemonicError::Checksum),
            Err(
                bip39::Error::BadWordCount(_)
                | bip39::Error::BadEntropyBitCount(_)
                | bip39::Error::AmbiguousLanguages(_),
            ) => Err(MnemonicError::WordCount),
        }
    }

    /// The words, for the person who must write them down.
    #[must_use]
    pub const fn words(&self) -> &Secret<String> {
        &self.words
    }

    /// The Nostr key, by NIP-06.
    ///
    /// # Errors
    /// [`MnemonicError::Underivable`], which no mnemonic has ever been seen to give.
    pub fn keypair(&self) -> Result<LocalKey, MnemonicError> {
        LocalKey::from_secret_bytes(self.derive(&NOSTR_PATH)?.expose())
            .map_err(|_| MnemonicError::Underivable)
    }

    /// The seed of the Cashu wallet.
    ///
    /// # Errors
    /// [`MnemonicError::Underivable`], which no mnemonic has ever been seen to give.
    pub fn derive_cashu(&self) -> Result<Secret<[u8; 32]>, MnemonicError> {
        self.derive(&CASHU_PATH)
    }

    /// The seed of BIP-39, without a passphrase: 64 bytes.
    #[must_use]
    pub fn seed(&self) -> Secret<[u8; 64]> {
        let mnemonic = bip39::Mnemonic::parse_in_normalized(Language::English, self.words.expose())
            .expect("checked when it was made");
        Secret::new(mnemonic.to_seed_normalized(""))
    }

    /// The private key at a BIP-32 path.
    fn derive(&self, path: &[u32]) -> Result<Secret<[u8; 32]>, MnemonicError> {
        let mnemonic = bip39::Mnemonic::parse_in_normalized(Language::English, self.words.expose())
            .expect("checked when it was made");
        let seed = Secret::new(mnemonic.to_seed_normalized(""));
        let (mut key, mut chain) = split(hmac_sha512(b"Bitcoin seed", &[seed.expose()]))?;
        for index in path {
            let number = index.to_be_bytes();
            let halves = if index & HARDENED == 0 {
                let public = PublicKey::from_secret_key(SECP256K1, &key).serialize();
                hmac_sha512(chain.expose(), &[&public, &number])
            } else {
                hmac_sha512(chain.expose(), &[&[0], key.as_ref(), &number])
            };
            let (tweak, next_chain) = split(halves)?;
            let mut parent = key;
            key = parent.add_tweak(&Scalar::from(tweak)).map_err(|_| MnemonicError::Underivable)?;
            parent.non_secure_erase();
            chain = next_chain;
        }
        let bytes = Secret::new(key.secret_bytes());
        key.non_secure_erase();
        Ok(bytes)
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mnemonic(..)")
    }
}

fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> Secret<[u8; 64]> {
    let mut mac = <Hmac<Sha512> as Mac>::new_from_slice(key).expect("a key of any length will do");
    for part in parts {
        mac.update(part);
    }
    Secret::new(mac.finalize().into_bytes().into())
}

/// The key and the chain code of 64 bytes.
fn split(bytes: Secret<[u8; 64]>) -> Result<(SecretKey, Secret<[u8; 32]>), MnemonicError> {
    let (key, chain) = bytes.expose().split_at(32);
    let key = SecretKey::from_slice(key).map_err(|_| MnemonicError::Underivable)?;
    let mut code = [0; 32];
    code.copy_from_slice(chain);
    Ok((key, Secret::new(code)))
}

/// Why a text is not a mnemonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    /// Not 12, 15, 18, 21 or 24 words.
    #[error("a mnemonic has 12, 15, 18, 21 or 24 words")]
    WordCount,
    /// A word is not of the English list.
    #[error("word number {} is not a word of the list", .place + 1)]
    UnknownWord {
        /// Which word, counted from zero.
        place: usize,
    },
    /// The words are of the list and do not belong together.
    #[error("the words do not belong together: one is wrong or misplaced")]
    Checksum,
    /// The words give no key; one in 2^127 does.
    #[error("the words give no key")]
    Underivable,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::mock;
    use crate::primitives::Timestamp;

    #[test]
    fn twelve_new_words_read_back_to_the_same_keys() {
        let env = mock::env(Timestamp::from_secs(0), 3).0;
        let made = Mnemonic::generate(&env);
        assert_eq!(made.words().expose().split(' ').count(), 12);
        let text = format!("  {} \n", made.words().expose().to_uppercase().replace(' ', "  "));
        let read = Mnemonic::parse(&text).expect("legal");
        let keys = [&made, &read].map(|words| words.keypair().expect("a key").public_key());
        assert_eq!(keys[0], keys[1]);
        assert_eq!(format!("{made:?}"), "Mnemonic(..)");
        assert_ne!(Mnemonic::generate(&env).words().expose(), made.words().expose());
    }

    #[test]
    fn it_is_said_what_is_wrong() {
        let good = "leader monkey parrot ring guide accident before fence cannon height naive bean";
        assert!(Mnemonic::parse(good).is_ok());
        let refused = |text: &str| Mnemonic::parse(text).err();
        assert_eq!(refused(""), Some(MnemonicError::WordCount));
        assert_eq!(refused(&good.replace(" bean", "")), Some(MnemonicError::WordCount));
        assert_eq!(refused(&good.repeat(9)), Some(MnemonicError::WordCount));
        let place = MnemonicError::UnknownWord { place: 1 };
        assert_eq!(refused(&good.replace("monkey", "monkez")), Some(place));
        assert_eq!(place.to_string(), "word number 2 is not a word of the list");
        let swapped = good.replace("leader monkey", "monkey leader");
        assert_eq!(refused(&swapped), Some(MnemonicError::Checksum));
    }
}
