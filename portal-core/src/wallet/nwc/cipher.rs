//! How NIP-47 messages are sealed: NIP-44, or NIP-04 for wallets that know nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::nips::nip04;
use nostr::nips::nip44::v2::{self, ConversationKey};
use nostr::{Event, JsonUtil, Keys, Kind, PublicKey, Tag, Timestamp, UnsignedEvent};
use secp256k1::SECP256K1;
use secp256k1::rand::{CryptoRng, Error as RandError, RngCore};

use crate::env::Env;

/// Largest text that NIP-44 can seal.
pub(super) const MAX_PLAINTEXT: usize = 65_535;
/// Largest sealed text that is looked at.
const MAX_SEALED: usize = 128 * 1024;

/// How messages are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// The current one.
    Nip44,
    /// The old one: the wallet must have said that it knows no other.
    Nip04,
}

impl Cipher {
    /// As in the `encryption` tags.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nip44 => "nip44_v2",
            Self::Nip04 => "nip04",
        }
    }
}

/// The text cannot be sealed or opened. Says no more, since what is inside is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message cannot be sealed or opened")]
pub(super) struct SealError;

/// The keys between two sides, derived once.
pub(super) struct Sealer {
    keys: Keys,
    peer: PublicKey,
    conversation: ConversationKey,
}

impl Sealer {
    pub(super) fn new(keys: Keys, peer: PublicKey) -> Result<Self, SealError> {
        let conversation =
            ConversationKey::derive(keys.secret_key(), &peer).map_err(|_| SealError)?;
        Ok(Self { keys, peer, conversation })
    }

    pub(super) fn seal(&self, cipher: Cipher, text: &str, env: &Env) -> Result<String, SealError> {
        if text.len() > MAX_PLAINTEXT {
            return Err(SealError);
        }
        match cipher {
            Cipher::Nip44 => {
                let bytes = text.as_bytes();
                v2::encrypt_to_bytes_with_rng(&mut EnvRng(env), &self.conversation, bytes)
                    .map(|sealed| STANDARD.encode(sealed))
                    .map_err(|_| SealError)
            }
            Cipher::Nip04 => {
                let key = self.keys.secret_key();
                nip04::encrypt_with_rng(&mut EnvRng(env), key, &self.peer, text)
                    .map_err(|_| SealError)
            }
        }
    }

    /// Opens either form; which one it was is visible in the text.
    pub(super) fn open(&self, sealed: &str) -> Result<(Cipher, String), SealError> {
        if sealed.len() > MAX_SEALED {
            return Err(SealError);
        }
        if sealed.contains("?iv=") {
            let text = nip04::decrypt(self.keys.secret_key(), &self.peer, sealed);
            return text.map(|text| (Cipher::Nip04, text)).map_err(|_| SealError);
        }
        let bytes = STANDARD.decode(sealed).map_err(|_| SealError)?;
        if bytes.first() != Some(&2) {
            return Err(SealError);
        }
        v2::decrypt_to_bytes(&self.conversation, &bytes)
            .ok()
            .and_then(|text| String::from_utf8(text).ok())
            .map(|text| (Cipher::Nip44, text))
            .ok_or(SealError)
    }
}

/// Makes a signed event with the time and the randomness of the [`Env`].
pub(super) fn sign(env: &Env, keys: &Keys, kind: u16, tags: Vec<Tag>, content: String) -> Event {
    let now = Timestamp::from_secs(env.now().as_secs());
    UnsignedEvent::new(keys.public_key(), now, Kind::from(kind), tags, content)
        .sign_with_ctx(SECP256K1, &mut EnvRng(env), keys)
        .expect("the author is the one who signs")
}

/// The whole frame that publishes an event.
pub(super) fn frame(event: &Event) -> String {
    format!("[\"EVENT\",{}]", event.as_json())
}

/// [`Env`] as the randomness that the cryptography crates ask for.
struct EnvRng<'a>(&'a Env);

impl RngCore for EnvRng<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let bytes = self.0.bytes::<32>();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), RandError> {
        self.fill_bytes(buffer);
        Ok(())
    }
}

impl CryptoRng for EnvRng<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::mock;
    use crate::primitives::Timestamp as Moment;

    fn pair() -> (Env, Sealer, Sealer) {
        let env = mock::env(Moment::from_secs(1_700_000_000), 3).0;
        let [one, two] = [7u8, 8]
            .map(|byte| Keys::new(nostr::SecretKey::from_slice(&[byte; 32]).expect("a valid key")));
        let (first, second) = (one.public_key(), two.public_key());
        (env, Sealer::new(one, second).expect("keys"), Sealer::new(two, first).expect("keys"))
    }

    #[test]
    fn both_sides_read_both_ciphers() {
        let (env, one, two) = pair();
        for cipher in [Cipher::Nip44, Cipher::Nip04] {
            let sealed = one.seal(cipher, "{\"a\":1}", &env).expect("sealed");
            assert_ne!(sealed, one.seal(cipher, "{\"a\":1}", &env).expect("another nonce"));
            assert_eq!(two.open(&sealed), Ok((cipher, "{\"a\":1}".to_owned())));
        }
        assert!(one.seal(Cipher::Nip44, &"x".repeat(MAX_PLAINTEXT + 1), &env).is_err());
    }

    #[test]
    fn what_is_not_sealed_for_us_is_refused() {
        let (env, one, two) = pair();
        let mut sealed = one.seal(Cipher::Nip44, "text", &env).expect("sealed");
        sealed.replace_range(60..61, if &sealed[60..61] == "A" { "B" } else { "A" });
        let short = STANDARD.encode([2u8; 66]);
        let one_byte = STANDARD.encode([2u8; 1 + 32 + 1 + 32]);
        let foreign = STANDARD.encode([1u8; 200]);
        for bad in ["", "{}", "?iv=", "AA==?iv=AA==", &sealed, &short, &one_byte, &foreign, "AgAA"]
        {
            assert_eq!(two.open(bad), Err(SealError), "{bad}");
        }
    }
}
