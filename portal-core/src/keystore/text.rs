//! A secret key as text: hex, `nsec` (NIP-19) or `ncryptsec` (NIP-49).

use nostr::nips::nip19::{FromBech32, ToBech32};
use nostr::nips::nip49::{self, EncryptedSecretKey, KeySecurity};
use nostr::{SecretKey, secp256k1};
use zeroize::Zeroizing;

use super::{KeyStoreError, backend};
use crate::env::Env;
use crate::primitives::Secret;

/// The cost of a new encryption, as a power of two: 64 MiB and about a tenth of a second.
pub const LOG_N: u8 = 16;

/// The most that is decrypted: 1 GiB. The memory doubles with every step, and a text can name any.
const MOST_LOG_N: u8 = 20;

/// Longer than every form of a key.
const LONGEST: usize = 1024;

/// Whether the text is an encrypted key, for which [`open_key_text`] needs a password.
#[must_use]
pub fn is_encrypted(text: &str) -> bool {
    let text = text.trim_start().as_bytes();
    text.get(..10).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"ncryptsec1"))
}

/// Reads a secret key in any of its forms. White space around it does not matter.
///
/// An encrypted key takes a tenth of a second and much memory to open: call this off the async
/// workers.
///
/// # Errors
/// [`KeyStoreError::PasswordMissing`] and [`KeyStoreError::KeyLocked`] for an encrypted key,
/// [`KeyStoreError::Cost`] when it would take more than 1 GiB to open,
/// [`KeyStoreError::InvalidKey`] for everything that is not a key.
pub fn open_key_text(
    text: &str,
    password: Option<&Secret<String>>,
) -> Result<Secret<[u8; 32]>, KeyStoreError> {
    let text = text.trim();
    if text.len() > LONGEST {
        return Err(KeyStoreError::InvalidKey);
    }
    let key = if is_encrypted(text) {
        let password = password.ok_or(KeyStoreError::PasswordMissing)?;
        decrypt(text, password)?
    } else {
        SecretKey::parse(text).map_err(|_| KeyStoreError::InvalidKey)?
    };
    Ok(Secret::new(key.to_secret_bytes()))
}

/// Encrypts a secret key to its `ncryptsec` form. `log_n` is 16 ([`LOG_N`]) or more; each step
/// doubles time and memory. As slow as [`open_key_text`].
///
/// # Errors
/// [`KeyStoreError::InvalidKey`] when the bytes are no key, [`KeyStoreError::Cost`] when `log_n`
/// is below 16 or above 20.
pub fn seal_key_text(
    key: &Secret<[u8; 32]>,
    password: &Secret<String>,
    log_n: u8,
    env: &Env,
) -> Result<String, KeyStoreError> {
    if !(LOG_N..=MOST_LOG_N).contains(&log_n) {
        return Err(KeyStoreError::Cost { found: log_n, least: LOG_N, most: MOST_LOG_N });
    }
    let key = SecretKey::from_slice(key.expose()).map_err(|_| KeyStoreError::InvalidKey)?;
    let security = KeySecurity::Unknown;
    EncryptedSecretKey::new_with_rng(&mut EnvRng(env), &key, password.expose(), log_n, security)
        .map_err(backend)?
        .to_bech32()
        .map_err(backend)
}

fn decrypt(text: &str, password: &Secret<String>) -> Result<SecretKey, KeyStoreError> {
    let sealed = EncryptedSecretKey::from_bech32(text).map_err(|_| KeyStoreError::InvalidKey)?;
    sealed.decrypt_with_max_log_n(password.expose(), MOST_LOG_N).map_err(|error| match error {
        nip49::Error::ChaCha20Poly1305(_) => KeyStoreError::KeyLocked,
        nip49::Error::LogNTooBig { log_n, max_log_n } => {
            KeyStoreError::Cost { found: log_n, least: 1, most: max_log_n }
        }
        nip49::Error::Keys(_) | nip49::Error::InvalidScryptParams(_) => KeyStoreError::InvalidKey,
        other => backend(other),
    })
}

/// Randomness of the [`Env`] in the form the cryptography asks for.
struct EnvRng<'e>(&'e Env);

impl secp256k1::rand::RngCore for EnvRng<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let random = Zeroizing::new(self.0.bytes::<32>());
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), secp256k1::rand::Error> {
        self.fill_bytes(buffer);
        Ok(())
    }
}

impl secp256k1::rand::CryptoRng for EnvRng<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of NIP-49.
    const SEALED: &str = "ncryptsec1qgg9947rlpvqu76pj5ecreduf9jxhselq2nae2kghhvd5g7dgjtcxfqtd67p9m0w57lspw8gsq6yphnm8623nsl8xn9j4jdzz84zm3frztj3z7s35vpzmqf6ksu8r89qk5z2zxfmu5gv8th8wclt0h4p";
    const HEX: &str = "3501454135014541350145413501453fefb02227e449e57cf4d3a3ce05378683";
    const NSEC: &str = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
    const NSEC_HEX: &str = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa";

    fn password(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn opened(text: &str) -> String {
        hex::encode(open_key_text(text, None).expect("is a key").expose())
    }

    #[test]
    fn hex_and_nsec_are_read_with_space_around_them() {
        assert_eq!(opened(HEX), HEX);
        assert_eq!(opened(&HEX.to_uppercase()), HEX);
        assert_eq!(opened(&format!(" \n{NSEC}\r\n")), NSEC_HEX);
    }

    #[test]
    fn the_example_of_the_standard_opens_with_its_password_only() {
        assert!(is_encrypted(SEALED));
        let key = open_key_text(SEALED, Some(&password("nostr"))).expect("opens");
        assert_eq!(hex::encode(key.expose()), HEX);
        let wrong = open_key_text(SEALED, Some(&password("Nostr")));
        assert!(matches!(wrong, Err(KeyStoreError::KeyLocked)));
        let missing = open_key_text(SEALED, None);
        assert!(matches!(missing, Err(KeyStoreError::PasswordMissing)));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let zero = "00".repeat(32);
        let beyond = "ff".repeat(32);
        let short = &HEX[..62];
        let public = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
        let broken = format!("{}q", &SEALED[..SEALED.len() - 1]);
        let long = "a".repeat(100_000);
        for text in ["", "nsec1", "ncryptsec1", &zero, &beyond, short, public, &broken, &long] {
            let refused = open_key_text(text, Some(&password("nostr")));
            assert!(matches!(refused, Err(KeyStoreError::InvalidKey)), "{text}");
        }
    }

    #[test]
    fn costs_out_of_range_are_refused_without_paying_them() {
        let key = Secret::new([1; 32]);
        for log_n in [0, 15, 21, 255] {
            let refused = seal_key_text(&key, &password("x"), log_n, &Env::system());
            assert!(matches!(refused, Err(KeyStoreError::Cost { .. })), "{log_n}");
        }
        let mut bytes = EncryptedSecretKey::from_bech32(SEALED).expect("legal").as_vec();
        bytes[1] = 63;
        let costly = EncryptedSecretKey::from_slice(&bytes).expect("legal");
        let costly = costly.to_bech32().expect("encodes");
        let refused = open_key_text(&costly, Some(&password("nostr")));
        assert!(matches!(refused, Err(KeyStoreError::Cost { found: 63, .. })), "{refused:?}");
    }

    #[test]
    fn what_was_sealed_opens_and_never_looks_the_same() {
        let key = Secret::new([7; 32]);
        let seal = || seal_key_text(&key, &password("ü"), LOG_N, &Env::system()).expect("seals");
        let (first, second) = (seal(), seal());
        assert_ne!(first, second);
        // The password is compared in its normal form: u and two dots are ü.
        let reopened = open_key_text(&first, Some(&password("u\u{308}"))).expect("opens");
        assert_eq!(reopened.expose(), key.expose());
    }
}
