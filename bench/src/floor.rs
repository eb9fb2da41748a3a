//! What cannot be avoided, measured in the same run: the cryptography of a login, a round trip
//! over a WebSocket, a commit to disk.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use nostr::PublicKey;
use nostr::nips::nip44::v2::{self as nip44, ConversationKey};
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};
use portal_core::storage::{Write, commit};
use secp256k1::rand::{RngCore, SeedableRng, rngs::StdRng};
use secp256k1::{Keypair, Message, SECP256K1, XOnlyPublicKey, schnorr};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite;

use crate::gauge::{Samples, thread_cpu};
use crate::people;

/// Everything that is needed to repeat the cryptography of one login of a new person.
struct Sample {
    author: [u8; 32],
    handshake: ([u8; 32], schnorr::Signature, Vec<u8>),
    answer: ([u8; 32], schnorr::Signature, Vec<u8>),
}

/// The cryptography of logins of new people, by the raw calls of secp256k1 and NIP-44.
pub struct LoginFloor {
    own: Keypair,
    secret: nostr::SecretKey,
    challenge: String,
    random: StdRng,
    samples: Vec<Sample>,
}

impl LoginFloor {
    /// Prepares messages as long as real ones.
    pub fn prepare() -> Result<Self> {
        let mut random = StdRng::seed_from_u64(1);
        let own = Keypair::new(SECP256K1, &mut random);
        let secret: nostr::SecretKey = own.secret_key().into();
        let public: PublicKey = own.x_only_public_key().0.into();
        let relay = "ws://127.0.0.1:12345/";
        let handshake = format!(
            "{{\"token\":\"{0}\",\"client_info\":{{\"name\":\"Bench\",\"version\":\"1\"}},\
             \"preferred_relays\":[\"{relay}\"]}}",
            "x".repeat(32)
        );
        let answer = format!(
            "{{\"challenge\":\"{0}\",\"subkey_proof\":null,\"status\":{{\"status\":\"approved\",\
             \"granted_permissions\":[],\"session_token\":\"{1}\"}}}}",
            "x".repeat(32),
            people::token_prefix(10_000) + people::TOKEN_TAIL
        );
        let challenge = format!(
            "{{\"challenge\":\"{0}\",\"expires_at\":\"1790000000\",\"required_permissions\":[],\
             \"subkey_proof\":null}}",
            "x".repeat(32)
        );
        let mut samples = Vec::new();
        for number in 0..512 {
            let person = people::key_of(&[7; 32], number);
            let keypair =
                Keypair::from_seckey_slice(SECP256K1, person.secret_key().as_secret_bytes())?;
            let shared = ConversationKey::derive(person.secret_key(), &public)?;
            let mut message = |plaintext: &str| -> Result<_> {
                let sealed =
                    nip44::encrypt_to_bytes_with_rng(&mut random, &shared, plaintext.as_bytes())?;
                let mut id = [0; 32];
                random.fill_bytes(&mut id);
                let signature = keypair.sign_schnorr(Message::from_digest(id));
                Ok((id, signature, sealed))
            };
            samples.push(Sample {
                author: person.public_key().to_bytes(),
                handshake: message(&handshake)?,
                answer: message(&answer)?,
            });
        }
        Ok(Self { own, secret, challenge, random, samples })
    }

    /// CPU time of one login, measured on this thread for about as long as asked.
    pub fn measure(&mut self, duration: Duration) -> Result<Duration> {
        let began = thread_cpu();
        let mut logins: u32 = 0;
        while thread_cpu().saturating_sub(began) < duration {
            for sample in &self.samples {
                let (id, signature, sealed) = &sample.handshake;
                verify(&sample.author, id, signature)?;
                let author = PublicKey::from_slice(&sample.author)?;
                let shared = ConversationKey::derive(&self.secret, &author)?;
                black_box(nip44::decrypt_to_bytes(&shared, sealed)?);
                black_box(nip44::encrypt_to_bytes_with_rng(
                    &mut self.random,
                    &shared,
                    self.challenge.as_bytes(),
                )?);
                let mut aux = [0; 32];
                self.random.fill_bytes(&mut aux);
                let digest = Message::from_digest(*id);
                black_box(SECP256K1.sign_schnorr_with_aux_rand(&digest, &self.own, &aux));
                let (id, signature, sealed) = &sample.answer;
                verify(&sample.author, id, signature)?;
                black_box(nip44::decrypt_to_bytes(&shared, sealed)?);
                logins += 1;
            }
        }
        Ok(thread_cpu().saturating_sub(began) / logins.max(1))
    }
}

fn verify(author: &[u8; 32], id: &[u8; 32], signature: &schnorr::Signature) -> Result<()> {
    let author = XOnlyPublicKey::from_slice(author)?;
    Ok(SECP256K1.verify_schnorr(signature, &Message::from_digest(*id), &author)?)
}

/// Round trips of a frame as long as a command over a WebSocket on loopback, one after another.
pub async fn websocket_round_trips(count: usize) -> Result<Samples> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let echo = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut socket = tokio_tungstenite::accept_async(stream).await?;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await?;
            }
        }
        anyhow::Ok(())
    });
    let (mut socket, _) = tokio_tungstenite::connect_async_with_config(url, None, true).await?;
    let mut samples = Samples::default();
    let frame = "x".repeat(400);
    for _ in 0..count {
        let began = Instant::now();
        socket.send(tungstenite::Message::text(frame.clone())).await?;
        socket.next().await.context("an echo")??;
        samples.add(began.elapsed());
    }
    drop(socket);
    // The echo ends with the connection; how does not matter.
    drop(echo.await?);
    Ok(samples)
}

/// Commits to a store like the daemon's, beside its own.
pub struct CommitFloor {
    store: SqliteStore,
    commits: u64,
}

impl CommitFloor {
    /// Opens the store in this folder.
    pub async fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("floor.db");
        let open = move || SqliteStore::open(&path, SqliteOptions::default());
        Ok(Self { store: tokio::task::spawn_blocking(open).await??, commits: 0 })
    }

    /// How long one commit of a value takes, as long as that of a conversation.
    pub async fn measure(&mut self) -> Result<Duration> {
        self.commits += 1;
        // Never the value that is there: writing that again costs nothing.
        let value = self.commits.to_le_bytes().repeat(50);
        let write = Write::PutSetting { name: "floor".to_owned(), value };
        let began = Instant::now();
        commit(&self.store, vec![write]).await?;
        Ok(began.elapsed())
    }
}
