//! The ticket wallet: Cashu proofs of many mints and units, which no crash and no lost answer can
//! destroy.
//!
//! A [`TicketWallet`] mints, sends, receives, burns, takes back, restores. Each of these is an
//! operation with a key that its caller chose: the same call with the same key is the same
//! operation, now, later and after a restart. Every operation goes the same way:
//!
//! ```text
//!              quote from the mint
//!   Asked ───────────────────────────► Quoted        (minting)
//!     │                                  │
//!     │ inputs reserved, outputs made    │ outputs made
//!     ▼                                  ▼
//!   Calling ◄────────────────────────────┘
//!     │  ▲ │
//!     │  └─┘ no answer, 11002: it stays, and goes on later
//!     │
//!     ├── signatures, checked ─────────► Done        (proofs in, inputs spent: one transaction)
//!     └── the mint said no, and the outputs were not signed ─► Failed (inputs released)
//! ```
//!
//! What a state holds is durable before the next step is taken. In `Calling` the journal has the
//! inputs, the outputs with their secrets and blinding factors: the request can be sent again, and
//! the mint can be asked for signatures whose delivery failed (NUT-09). So an operation can be cut
//! off between any two lines and goes on from its last state. `Failed` is forgotten when the same
//! is asked for again.
//!
//! A quote that may be paid is forgotten only when the mint itself says, a day after its end, that
//! nobody has paid it. A mint that fails inside says nothing: what it was asked stays in `Calling`,
//! and is free again when the mint goes on failing and has neither spent nor signed anything. What
//! strangers send is limited in number, and ends after a month without an answer.
//!
//! Amounts are in the base of their unit ([`Unit`]): never millisatoshi, whatever older
//! documentation says.
//!
//! What this module does not do: it starts no task (whoever owns the wallet calls
//! [`TicketWallet::recover`] at the start and from time to time, and awaits
//! [`TicketWallet::listen`] as long as it wants to hear of tickets at once), and it knows no messages
//! (the façade does).

mod about;
mod address;
mod answer;
mod burn;
mod call;
mod engine;
mod error;
mod evidence;
mod finish;
mod gate;
mod holdings;
mod journal;
mod keysets;
mod knowledge;
mod listen;
mod lock;
mod mint;
mod move_old;
mod outputs;
mod qr;
mod receive;
mod request;
mod restore;
mod send;
mod socket;
mod take_back;
mod token;
mod transport;
mod unit;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nostr::PublicKey;

pub use about::{KnownMint, UnitInfo, UnitKind};
pub use address::MintAddress;
pub use answer::check_answer;
pub use burn::{Burned, Expected};
pub use engine::Recovery;
pub use error::{CashuError, Outcome};
pub use gate::{Event, Gate, GateReport, OfflineRule, Refusal, Verdict};
pub use holdings::{Allowance, Balance, OpenOperation, Unclaimed};
pub use journal::Give;
pub use lock::Lock;
pub use mint::{Minted, NewMint};
pub use move_old::{Moved, old_seed};
pub use qr::{QrFrames, QrReader};
pub use receive::Received;
pub use request::{NewTicketRequest, TicketRequest};
pub use restore::Restored;
pub use send::{NewSend, Purpose, Sent};
pub use token::{
    MOST_MESSAGE_BYTES, MOST_MESSAGE_PROOFS, MOST_TOKEN_BYTES, MOST_TOKEN_PROOFS, TicketToken,
    fit_messages,
};
pub use transport::Patience;
pub use unit::Unit;
pub use watch::TicketEvent;

use crate::env::Env;
use crate::identity::Mnemonic;
use crate::keystore::{KeyStore, MNEMONIC};
use crate::primitives::Secret;
use crate::relay::AddressPolicy;
use crate::storage::sqlite::tickets::{MintRow, TicketStore};
use keysets::Keysets;
use lock::KeyRing;
use transport::{Connection, Transport};

/// What a wallet is made of.
pub struct TicketWalletOptions {
    /// Clock and randomness.
    pub env: Env,
    /// The seed (BIP-39, 64 bytes): all that the wallet keeps can be restored from it.
    pub seed: Secret<[u8; 64]>,
    /// Where it is kept.
    pub store: TicketStore,
    /// Secret keys that people know the owner by: tickets locked to them can be spent.
    pub keys: Vec<Secret<[u8; 32]>>,
    /// Where mints that strangers name may be.
    pub strangers: AddressPolicy,
    /// Mints that the owner has named: they may be anywhere.
    pub trusted: Vec<MintAddress>,
    /// How long a mint may take.
    pub patience: Patience,
}

impl TicketWalletOptions {
    /// The usual wallet: mints on the public internet only.
    #[must_use]
    pub fn new(env: Env, seed: Secret<[u8; 64]>, store: TicketStore) -> Self {
        Self {
            env,
            seed,
            store,
            keys: Vec::new(),
            strangers: AddressPolicy::PublicOnly,
            trusted: Vec::new(),
            patience: Patience::default(),
        }
    }
}

/// The seed of the wallet, from the mnemonic in a keystore.
///
/// # Errors
/// [`CashuError::NoSeed`] when there is none, or what the keystore says.
pub async fn seed_from(keystore: &dyn KeyStore) -> Result<Secret<[u8; 64]>, CashuError> {
    let words = keystore.load(MNEMONIC).await?.ok_or(CashuError::NoSeed)?;
    let words = Secret::new(words.expose().clone());
    let text = std::str::from_utf8(words.expose()).map_err(|_| CashuError::NoSeed)?;
    Ok(Mnemonic::parse(text).map_err(|_| CashuError::NoSeed)?.seed())
}

/// A wallet of tickets and other proofs. Cheap to clone; all clones are the same wallet.
#[derive(Clone)]
pub struct TicketWallet(Arc<Inner>);

struct Inner {
    env: Env,
    seed: Secret<[u8; 64]>,
    store: TicketStore,
    ring: KeyRing,
    transport: Transport,
    /// Mints that the owner has named, and whether that is written down.
    trusted: Mutex<BTreeMap<MintAddress, bool>>,
    /// What lets us in, by mint.
    tokens: Mutex<HashMap<MintAddress, Arc<Secret<String>>>>,
    keysets: Mutex<HashMap<MintAddress, Arc<Keysets>>>,
    /// One caller at a time for each operation.
    busy: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl TicketWallet {
    /// Opens a wallet. Asks no mint; [`TicketWallet::recover`] does, and should be called next.
    ///
    /// # Errors
    /// [`CashuError::OtherSeed`] when the store is that of another seed, or it cannot be read, or a
    /// key is none.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn open(options: TicketWalletOptions) -> Result<Self, CashuError> {
        let TicketWalletOptions { env, seed, store, keys, strangers, trusted, patience } = options;
        let ring = KeyRing::new(&seed, &keys)?;
        // The keys of quotes and of locks come from the seed: with another one, what was paid or
        // given could not be had any more.
        if !store.claim(&ring.own().to_hex()).await? {
            return Err(CashuError::OtherSeed);
        }
        let mut tokens = HashMap::new();
        let mut trusted: BTreeMap<MintAddress, bool> =
            trusted.into_iter().map(|mint| (mint, false)).collect();
        for row in store.mints().await? {
            let Ok(mint) = row.url.parse::<MintAddress>() else { continue };
            if row.named {
                trusted.insert(mint.clone(), true);
            }
            if let Some(token) = row.token {
                tokens.insert(mint, Arc::new(Secret::new(token)));
            }
        }
        Ok(Self(Arc::new(Inner {
            env,
            seed,
            store,
            ring,
            transport: Transport::new(strangers, patience),
            trusted: Mutex::new(trusted),
            tokens: Mutex::new(tokens),
            keysets: Mutex::default(),
            busy: Mutex::default(),
        })))
    }

    /// The wallet's own key, from its seed: a ticket locked to it is for this wallet.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.0.ring.own()
    }

    /// As long as this wallet is open, this mint may be anywhere, also on a private address: its
    /// owner names it, not a stranger.
    pub fn trust(&self, mint: &MintAddress) {
        self.0.trusted().entry(mint.clone()).or_default();
    }

    /// As [`TicketWallet::trust`], also after a restart: what was begun there can then be finished
    /// before anybody names the mint again.
    ///
    /// # Errors
    /// When it cannot be kept.
    ///
    /// # Cancel safety
    /// It may be kept also when the future is dropped.
    pub async fn trust_always(&self, mint: &MintAddress) -> Result<(), CashuError> {
        if self.0.trusted().get(mint) == Some(&true) {
            return Ok(());
        }
        let row = MintRow { url: mint.to_string(), named: true, ..MintRow::default() };
        self.0.store.put_mint(row).await?;
        self.0.trusted().insert(mint.clone(), true);
        Ok(())
    }

    /// Keeps what a mint lets us in by. It is shown to the origin of that mint and nowhere else,
    /// and kept so that a restart can finish what was begun.
    ///
    /// # Errors
    /// When it cannot be kept.
    ///
    /// # Cancel safety
    /// It may be kept also when the future is dropped.
    pub async fn set_mint_token(
        &self,
        mint: &MintAddress,
        token: &Secret<String>,
    ) -> Result<(), CashuError> {
        let known = self.0.token(mint);
        if known.is_some_and(|known| known.matches(token.expose())) {
            return Ok(());
        }
        let row = MintRow {
            url: mint.to_string(),
            token: Some(token.expose().clone()),
            ..MintRow::default()
        };
        self.0.store.put_mint(row).await?;
        let mut tokens = self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(mint.clone(), Arc::new(token.clone()));
        Ok(())
    }

    /// Writes what was begun, then closes the store. Idempotent.
    ///
    /// # Cancel safety
    /// Call it again when it was dropped.
    pub async fn close(&self) {
        self.0.store.close().await;
    }
}

impl std::fmt::Debug for TicketWallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketWallet")
    }
}

impl Inner {
    fn now(&self) -> u64 {
        self.env.now().as_secs()
    }

    fn token(&self, mint: &MintAddress) -> Option<Arc<Secret<String>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(mint).cloned()
    }

    fn trusted(&self) -> MutexGuard<'_, BTreeMap<MintAddress, bool>> {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the owner has named a mint.
    fn is_trusted(&self, mint: &MintAddress) -> bool {
        self.trusted().contains_key(mint)
    }

    async fn connection(&self, mint: &MintAddress) -> Result<Connection, transport::CallError> {
        let trusted = self.is_trusted(mint);
        self.transport.to(mint, trusted, self.token(mint), self.env.now()).await
    }

    /// Waits until nobody else is busy with this operation.
    async fn alone_with(&self, key: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody waits for any more is forgotten, so that this does not grow.
            busy.retain(|_, lock| Arc::strong_count(lock) > 1);
            busy.entry(key.to_owned()).or_default().clone()
        };
        lock.lock_owned().await
    }
}
