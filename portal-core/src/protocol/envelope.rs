//! The Nostr event around a message: parsing, verifying, opening, and the way back.
//!
//! The types carry what was checked, so that no step can be forgotten:
//!
//! ```text
//! frame ──parse──▶ Incoming ──verify──▶ Verified ──open──▶ Opened (kind, author, plaintext)
//! plaintext ──seal──▶ Sealed (id, frame)
//! ```
//!
//! `Incoming` is cheap (no cryptography). `Verified` has the right id and signature (NIP-01).
//! `Opened` was NIP-44 ciphertext for our key where its kind must be sealed; plaintext there is
//! refused.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nostr::nips::nip44::v2::{self as nip44, ConversationKey};
use nostr::{EventId, PublicKey};
use secp256k1::{Message, SECP256K1, XOnlyPublicKey, schnorr};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::kinds;
use crate::env::Env;
use crate::identity::LocalKey;
use crate::primitives::Timestamp;

/// The largest frame that is looked at.
pub const MAX_FRAME_BYTES: usize = 128 * 1024;
/// The most tags an event may have.
pub const MAX_TAGS: usize = 128;
/// The longest plaintext that NIP-44 carries in the form deployed peers read.
pub const MAX_PLAINTEXT_BYTES: usize = 65_408;

/// Why an event from a relay was not used. Each reason is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// Not an `EVENT` frame, or one with members of the wrong type.
    #[error("the frame is not an event")]
    Malformed,
    /// Too long, or with too many tags.
    #[error("the event is too large")]
    TooLarge,
    /// Its kind was not asked for.
    #[error("the kind was not asked for")]
    WrongKind,
    /// No `p` tag names one of our keys.
    #[error("the event is not addressed to us")]
    NotAddressed,
    /// `created_at` is more than ten minutes off.
    #[error("the event is too old or from the future")]
    Stale,
    /// The id is not the hash of the event.
    #[error("the id is wrong")]
    WrongId,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    WrongSignature,
    /// Seen before.
    #[error("the event was seen before")]
    Duplicate,
    /// Plaintext where ciphertext belongs, or ciphertext for someone else.
    #[error("the content cannot be opened")]
    NotForUs,
    /// The message inside cannot be read.
    #[error("the message cannot be read")]
    BadMessage,
    /// No open conversation waits for it.
    #[error("nobody waits for this")]
    Unexpected,
    /// The author is not the one who was asked.
    #[error("the author is not the one who was asked")]
    WrongAuthor,
    /// A subkey proof does not hold.
    #[error("the subkey proof does not hold")]
    BadProof,
    /// The request ended before it came.
    #[error("the request has expired")]
    Expired,
    /// A limit on open requests is reached.
    #[error("too many open requests")]
    TooMany,
}

impl Refusal {
    /// All reasons, for counters.
    pub const ALL: &'static [Self] = &[
        Self::Malformed,
        Self::TooLarge,
        Self::WrongKind,
        Self::NotAddressed,
        Self::Stale,
        Self::WrongId,
        Self::WrongSignature,
        Self::Duplicate,
        Self::NotForUs,
        Self::BadMessage,
        Self::Unexpected,
        Self::WrongAuthor,
        Self::BadProof,
        Self::Expired,
        Self::TooMany,
    ];
}

/// Reads the id of an event out of its frame without parsing the rest, to drop duplicates cheaply.
///
/// A quote inside a JSON text is escaped, so `"id":"` can only be a member. A frame that lies here
/// can hide nothing but itself.
#[must_use]
pub fn peek_id(frame: &str) -> Option<[u8; 32]> {
    const MEMBER: &str = "\"id\":\"";
    let start = frame.find(MEMBER)?.checked_add(MEMBER.len())?;
    decode_hex(frame.as_bytes().get(start..start.checked_add(64)?)?)
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pubkey: std::borrow::Cow<'a, str>,
    created_at: u64,
    kind: u16,
    tags: Vec<Vec<String>>,
    #[serde(borrow)]
    content: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    sig: std::borrow::Cow<'a, str>,
}

/// An event as a relay sent it. Nothing but its form is known.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The subscription it came on, as the relay says.
    pub subscription: String,
    id: [u8; 32],
    author: [u8; 32],
    created_at: u64,
    kind: u16,
    tags: Vec<Vec<String>>,
    content: String,
    signature: [u8; 64],
}

impl Incoming {
    /// Parses `["EVENT", subscription, event]`.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] or [`Refusal::TooLarge`].
    pub fn parse(frame: &str) -> Result<Self, Refusal> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(Refusal::TooLarge);
        }
        let (label, subscription, raw): (
            std::borrow::Cow<'_, str>,
            std::borrow::Cow<'_, str>,
            RawEvent<'_>,
        ) = serde_json::from_str(frame).map_err(|_| Refusal::Malformed)?;
        if label != "EVENT" {
            return Err(Refusal::Malformed);
        }
        if raw.tags.len() > MAX_TAGS {
            return Err(Refusal::TooLarge);
        }
        Ok(Self {
            subscription: subscription.into_owned(),
            id: decode_hex(raw.id.as_bytes()).ok_or(Refusal::Malformed)?,
            author: decode_hex(raw.pubkey.as_bytes()).ok_or(Refusal::Malformed)?,
            created_at: raw.created_at,
            kind: raw.kind,
            tags: raw.tags,
            content: raw.content.into_owned(),
            signature: decode_hex(raw.sig.as_bytes()).ok_or(Refusal::Malformed)?,
        })
    }

    /// The id it claims.
    #[must_use]
    pub const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The kind it claims.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        self.kind
    }

    /// Who claims to have signed it.
    #[must_use]
    pub fn author(&self) -> PublicKey {
        PublicKey::from_byte_array(self.author)
    }

    /// When it claims to have been made.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        Timestamp::from_secs(self.created_at)
    }

    /// Whether a `p` tag names this key.
    #[must_use]
    pub fn is_addressed_to(&self, key: &PublicKey) -> bool {
        self.tag_values("p").any(|value| decode_hex::<32>(value.as_bytes()) == Some(key.to_bytes()))
    }

    fn tag_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.tags
            .iter()
            .filter(move |tag| tag.first().is_some_and(|first| first == name))
            .filter_map(|tag| tag.get(1).map(String::as_str))
    }

    /// Checks id and signature (NIP-01).
    ///
    /// # Errors
    /// [`Refusal::WrongId`] or [`Refusal::WrongSignature`].
    pub fn verify(self) -> Result<Verified, Refusal> {
        self.verify_by(None)
    }

    /// The same, for an author whose key was parsed before; `parsed` must be that key.
    ///
    /// # Errors
    /// [`Refusal::WrongId`] or [`Refusal::WrongSignature`].
    pub fn verify_by(self, parsed: Option<XOnlyPublicKey>) -> Result<Verified, Refusal> {
        let id = event_id(&self.author, self.created_at, self.kind, &self.tags, &self.content);
        if id != self.id {
            return Err(Refusal::WrongId);
        }
        let key = match parsed {
            Some(key) => key,
            None => {
                XOnlyPublicKey::from_slice(&self.author).map_err(|_| Refusal::WrongSignature)?
            }
        };
        let signature =
            schnorr::Signature::from_slice(&self.signature).map_err(|_| Refusal::WrongSignature)?;
        SECP256K1
            .verify_schnorr(&signature, &Message::from_digest(id), &key)
            .map_err(|_| Refusal::WrongSignature)?;
        Ok(Verified { key, event: self })
    }
}

/// An event whose id and signature are right.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Of the author, parsed.
    key: XOnlyPublicKey,
    event: Incoming,
}

impl Verified {
    /// Who signed it.
    #[must_use]
    pub fn author(&self) -> PublicKey {
        self.event.author()
    }

    /// The key of whoever signed it, parsed.
    #[must_use]
    pub const fn parsed_author(&self) -> XOnlyPublicKey {
        self.key
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> EventId {
        EventId::from_byte_array(self.event.id)
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        self.event.kind
    }

    /// When its author says it was made.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.event.created_at()
    }

    /// Whether a `p` tag names this key.
    #[must_use]
    pub fn is_addressed_to(&self, key: &PublicKey) -> bool {
        self.event.is_addressed_to(key)
    }

    /// The content as it stands, for kinds that are public.
    #[must_use]
    pub fn public_content(&self) -> &str {
        &self.event.content
    }

    /// Decrypts the content (NIP-44 version 2).
    ///
    /// # Errors
    /// [`Refusal::NotForUs`] when it is not ciphertext for this key; plaintext is refused too.
    pub fn open(self, key: &ConversationKey) -> Result<Opened, Refusal> {
        debug_assert!(kinds::must_be_sealed(self.event.kind));
        let plaintext = BASE64
            .decode(self.event.content.as_bytes())
            .ok()
            .and_then(|payload| nip44_payload(&payload).then_some(payload))
            .and_then(|payload| nip44::decrypt_to_bytes(key, &payload).ok())
            .ok_or(Refusal::NotForUs)?;
        let in_answer_to =
            self.event.tag_values("e").find_map(|value| decode_hex(value.as_bytes()));
        Ok(Opened {
            id: self.id(),
            author: self.author(),
            kind: self.event.kind,
            created_at: self.event.created_at(),
            in_answer_to: in_answer_to.map(EventId::from_byte_array),
            plaintext,
        })
    }
}

/// Version 2 and long enough for a nonce, a padded byte and a MAC.
fn nip44_payload(payload: &[u8]) -> bool {
    payload.len() >= 99 && payload.first() == Some(&2)
}

/// An event that was signed by its author and sealed for us.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its id.
    pub id: EventId,
    /// Who signed it.
    pub author: PublicKey,
    /// Its kind.
    pub kind: u16,
    /// When its author says it was made.
    pub created_at: Timestamp,
    /// The event of ours that its first `e` tag names.
    pub in_answer_to: Option<EventId>,
    /// The message, JSON.
    pub plaintext: Vec<u8>,
}

impl Opened {
    /// Reads the message.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is not of this shape.
    pub fn message<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.plaintext).map_err(|_| Refusal::BadMessage)
    }
}

/// An event that is ready for the wire.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Its id.
    pub id: EventId,
    /// The whole frame `["EVENT",{…}]`.
    pub frame: Arc<str>,
}

/// What goes around a message on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The kind.
    pub kind: u16,
    /// When.
    pub created_at: Timestamp,
    /// The keys to name in `p` tags; our own is left out.
    pub to: &'a [PublicKey],
    /// The event this answers.
    pub in_answer_to: Option<EventId>,
}

/// The message is longer than NIP-44 can carry, or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is empty or longer than {MAX_PLAINTEXT_BYTES} bytes")]
pub struct UnsealableLength;

/// Encrypts, wraps and signs a message.
///
/// The signature is not verified again: it was made here, from a key we hold.
///
/// # Errors
/// When the message has a length that cannot be encrypted.
pub fn seal(
    env: &Env,
    local: &LocalKey,
    key: &ConversationKey,
    header: Header<'_>,
    plaintext: &[u8],
) -> Result<Sealed, UnsealableLength> {
    if plaintext.is_empty() || plaintext.len() > MAX_PLAINTEXT_BYTES {
        return Err(UnsealableLength);
    }
    let payload = nip44::encrypt_to_bytes_with_rng(&mut EnvRng(env), key, plaintext)
        .map_err(|_| UnsealableLength)?;
    Ok(sign(env, local, header, &BASE64.encode(payload), "EVENT", &[]))
}

/// Wraps and signs content that is public: a profile, an authentication to a relay.
#[must_use]
pub fn sign(
    env: &Env,
    local: &LocalKey,
    header: Header<'_>,
    content: &str,
    label: &str,
    more_tags: &[Vec<String>],
) -> Sealed {
    let own = local.public_key();
    let mut tags: Vec<Vec<String>> = header
        .to
        .iter()
        .filter(|key| **key != own)
        .map(|key| vec!["p".to_owned(), key.to_hex()])
        .collect();
    tags.extend(header.in_answer_to.map(|id| vec!["e".to_owned(), id.to_hex()]));
    tags.extend(more_tags.iter().cloned());
    let created_at = header.created_at.as_secs();
    let id = event_id(own.as_bytes(), created_at, header.kind, &tags, content);
    let signature = local.sign_schnorr(&id, &env.bytes());
    let event = OutgoingEvent {
        id: &hex::encode(id),
        pubkey: &own.to_hex(),
        created_at,
        kind: header.kind,
        tags: &tags,
        content,
        sig: &hex::encode(signature),
    };
    let frame = serde_json::to_string(&(label, event)).expect("strings and numbers serialise");
    Sealed { id: EventId::from_byte_array(id), frame: frame.into() }
}

#[derive(Serialize)]
struct OutgoingEvent<'a> {
    id: &'a str,
    pubkey: &'a str,
    created_at: u64,
    kind: u16,
    tags: &'a [Vec<String>],
    content: &'a str,
    sig: &'a str,
}

/// SHA-256 of `[0, author, created_at, kind, tags, content]` (NIP-01).
fn event_id(
    author: &[u8; 32],
    created_at: u64,
    kind: u16,
    tags: &[Vec<String>],
    content: &str,
) -> [u8; 32] {
    struct HashWriter(Sha256);
    impl std::io::Write for HashWriter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut author_hex = [0; 64];
    hex::encode_to_slice(author, &mut author_hex).expect("64 digits for 32 bytes");
    let author_hex = std::str::from_utf8(&author_hex).expect("hex digits are ASCII");
    let mut writer = std::io::BufWriter::with_capacity(1024, HashWriter(Sha256::new()));
    serde_json::to_writer(&mut writer, &(0, author_hex, created_at, kind, tags, content))
        .expect("hashing does not fail");
    writer
        .into_inner()
        .unwrap_or_else(|_| unreachable!("hashing does not fail"))
        .0
        .finalize()
        .into()
}

fn decode_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// Lends an [`Env`] to code that wants a `rand` generator.
struct EnvRng<'a>(&'a Env);

impl secp256k1::rand::RngCore for EnvRng<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let bytes: [u8; 32] = self.0.bytes();
            chunk.copy_from_slice(bytes.get(..chunk.len()).expect("chunks have at most 32 bytes"));
        }
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), secp256k1::rand::Error> {
        self.fill_bytes(buffer);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
