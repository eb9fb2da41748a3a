//! Who has what: wallets and their leaves, invoices, transfers, and what was ordered to go wrong.
//!
//! ```text
//!   receive:  Made ──pay──▶ Paid (transfer COMPLETED, a leaf more)
//!   send:     Swapped ──asked to send──▶ Created ──▶ Succeeded (leaves gone)
//!             (leaves locked)                └─────▶ Failed (leaves back)
//! ```

mod sending;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{PublicKey, SECP256K1, SecretKey};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use portal_core::env::Env;
use tokio::sync::mpsc;

use super::keys::{self, WalletKeys};
use super::leaf::{self, Leaf};
use super::proto::Message;

/// How many operators there are, and how many of them must take part.
pub(super) const OPERATORS: usize = 3;
pub(super) const THRESHOLD: u32 = 2;

const COMPLETED: u64 = 5;
const SENDER_KEY_TWEAKED: u64 = 2;
const RETURNED: u64 = 7;

/// What happens to the next payment that a wallet sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextSend {
    /// It arrives.
    Arrive,
    /// It fails; the money comes back.
    Fail,
    /// It stays under way until [`FakeSpark::release`](super::FakeSpark::release).
    Hold,
    /// It arrives, but the wallet's request is answered with an error.
    LoseAnswer,
    /// The same, and it stays under way until released.
    LoseAnswerAndHold,
    /// It arrives, but the wallet's request is answered with something that nobody knows.
    GarbleAnswer,
    /// An operator is not available: nothing is sent.
    RefuseSwap,
    /// It arrives, with a preimage that is not the invoice's.
    WrongPreimage,
}

/// What a wallet hears of the next payment that it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextReceive {
    /// It is told once.
    Tell,
    /// It is not told.
    Silent,
    /// It is told twice.
    Twice,
    /// It is told, but the service provider does not know the payment until
    /// [`FakeSpark::release`](super::FakeSpark::release).
    WithoutDetails,
    /// It is told, with a preimage that is not the invoice's.
    WrongPreimage,
}

/// A payment that was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unpayable {
    /// Nobody here made this invoice.
    #[error("nobody here made this invoice")]
    Unknown,
    /// It was paid before.
    #[error("the invoice has been paid")]
    Paid,
    /// The wallet did not finish making it.
    #[error("the invoice was not finished")]
    NoShares,
}

/// A transfer between a wallet and the service provider.
#[derive(Clone)]
pub(super) struct Transfer {
    pub(super) id: String,
    pub(super) sender: PublicKey,
    pub(super) receiver: PublicKey,
    pub(super) status: u64,
    pub(super) sats: u64,
    pub(super) created: u64,
}

impl Transfer {
    pub(super) fn encode(&self) -> Message {
        Message::default()
            .bytes(1, &self.id)
            .bytes(2, self.sender.serialize())
            .bytes(3, self.receiver.serialize())
            .number(4, self.status)
            .number(5, self.sats)
            .time(6, self.created + 86_400)
            .time(8, self.created)
            .time(9, self.created)
            .number(12, 2)
    }
}

/// A transfer that is locked to a payment hash.
pub(super) struct Htlc {
    pub(super) hash: [u8; 32],
    pub(super) preimage: Option<[u8; 32]>,
    pub(super) transfer: Transfer,
}

/// What a wallet asks for to send a payment.
pub(super) struct Swap<'a> {
    pub(super) wallet: PublicKey,
    pub(super) id: &'a str,
    pub(super) hash: [u8; 32],
    pub(super) sats: u64,
    pub(super) bolt11: &'a str,
    pub(super) leaves: &'a [&'a str],
}

/// An invoice of a wallet.
#[derive(Clone)]
pub(super) struct Receive {
    pub(super) id: String,
    pub(super) owner: PublicKey,
    pub(super) bolt11: String,
    pub(super) hash: [u8; 32],
    pub(super) sats: u64,
    pub(super) created: u64,
    pub(super) expires: u64,
    pub(super) memo: Option<String>,
    pub(super) preimage: Option<[u8; 32]>,
    pub(super) transfer: Option<String>,
    pub(super) detailed: bool,
    shares: HashMap<String, Vec<u8>>,
}

/// How a payment that a wallet sends stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendState {
    Swapped,
    Created,
    Succeeded,
    Failed,
}

/// A payment that a wallet sends.
#[derive(Clone)]
pub(super) struct Send {
    pub(super) id: String,
    pub(super) transfer: String,
    pub(super) bolt11: String,
    pub(super) created: u64,
    pub(super) fee: u64,
    pub(super) state: SendState,
    pub(super) preimage: Option<[u8; 32]>,
    hash: [u8; 32],
    sats: u64,
    owner: PublicKey,
    locked: Vec<Leaf>,
}

/// What a wallet hears when it asks for a payment to be sent.
pub(super) enum Heard {
    State(Box<Send>),
    Nonsense,
    Nothing,
}

#[derive(Default)]
struct Wallet {
    keys: Option<WalletKeys>,
    leaves: BTreeMap<String, Leaf>,
    listeners: Vec<mpsc::UnboundedSender<Vec<u8>>>,
}

struct State {
    wallets: HashMap<PublicKey, Wallet>,
    receives: Vec<Receive>,
    sends: Vec<Send>,
    transfers: Vec<Transfer>,
    /// Preimages of invoices of nobody here.
    outside: HashMap<[u8; 32], [u8; 32]>,
    /// How often each invoice was paid: the oracle of tests.
    paid: HashMap<[u8; 32], u64>,
    fee: u64,
    next_send: NextSend,
    next_receive: NextReceive,
    broken: HashMap<String, u8>,
    calls: HashMap<String, u64>,
}

/// Everything, behind one lock.
pub(super) struct Ledger {
    env: Env,
    pub(super) operators: [SecretKey; OPERATORS],
    pub(super) ssp: PublicKey,
    node: SecretKey,
    state: Mutex<State>,
}

impl Ledger {
    pub(super) fn new(env: Env) -> Self {
        let state = State {
            wallets: HashMap::new(),
            receives: Vec::new(),
            sends: Vec::new(),
            transfers: Vec::new(),
            outside: HashMap::new(),
            paid: HashMap::new(),
            fee: 3,
            next_send: NextSend::Arrive,
            next_receive: NextReceive::Tell,
            broken: HashMap::new(),
            calls: HashMap::new(),
        };
        Self {
            env,
            operators: [0, 1, 2].map(|number| keys::fixed(&format!("operator {number}"))),
            ssp: keys::fixed("service provider").public_key(SECP256K1),
            node: keys::fixed("node"),
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        self.env.now().as_secs()
    }

    pub(super) fn random<const N: usize>(&self) -> [u8; N] {
        self.env.bytes()
    }

    pub(super) fn random_id(&self) -> String {
        self.env.uuid().to_string()
    }

    pub(super) fn random_point(&self) -> PublicKey {
        let key = SecretKey::from_slice(&self.random::<32>()).expect("practically always a key");
        key.public_key(SECP256K1)
    }

    /// The names of the operators in the signing protocol.
    pub(super) fn identifiers(&self) -> impl Iterator<Item = String> {
        (1..=OPERATORS).map(|number| format!("{number:064x}"))
    }

    pub(super) fn count(&self, name: &str) {
        *self.lock().calls.entry(name.to_owned()).or_default() += 1;
    }

    pub(super) fn calls(&self, name: &str) -> u64 {
        self.lock().calls.get(name).copied().unwrap_or_default()
    }

    pub(super) fn break_call(&self, name: &str, status: Option<u8>) {
        let mut state = self.lock();
        match status {
            Some(status) => state.broken.insert(name.to_owned(), status),
            None => state.broken.remove(name),
        };
    }

    pub(super) fn ordered_status(&self, name: &str) -> Option<u8> {
        self.lock().broken.get(name).copied()
    }

    pub(super) fn order_send(&self, next: NextSend) {
        self.lock().next_send = next;
    }

    pub(super) fn ordered_send(&self) -> NextSend {
        self.lock().next_send
    }

    pub(super) fn take_send(&self) -> NextSend {
        std::mem::replace(&mut self.lock().next_send, NextSend::Arrive)
    }

    pub(super) fn order_receive(&self, next: NextReceive) {
        self.lock().next_receive = next;
    }

    pub(super) fn set_fee(&self, sats: u64) {
        self.lock().fee = sats;
    }

    pub(super) fn fee(&self) -> u64 {
        self.lock().fee
    }

    pub(super) fn paid(&self, hash: [u8; 32]) -> u64 {
        self.lock().paid.get(&hash).copied().unwrap_or_default()
    }

    pub(super) fn subscribe(&self, wallet: PublicKey, listener: mpsc::UnboundedSender<Vec<u8>>) {
        let mut state = self.lock();
        let listeners = &mut state.wallets.entry(wallet).or_default().listeners;
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(listener);
    }

    /// Makes a wallet's keys known, so that money can be put into it.
    pub(super) fn know(&self, keys: WalletKeys) {
        let wallet = keys.identity;
        self.lock().wallets.entry(wallet).or_default().keys = Some(keys);
    }

    /// Puts money into a wallet, in leaves of these values.
    pub(super) fn put(&self, wallet: PublicKey, values: impl IntoIterator<Item = u64>) {
        let mut state = self.lock();
        for sats in values.into_iter().filter(|sats| *sats > 0) {
            self.add_leaf(&mut state, wallet, sats);
        }
    }

    fn add_leaf(&self, state: &mut State, wallet: PublicKey, sats: u64) {
        let wallet = state.wallets.entry(wallet).or_default();
        // Without the words nobody can make a leaf that the wallet takes for its own.
        if let Some(keys) = &wallet.keys {
            let id = self.random_id();
            let leaf = leaf::make(keys, &id, sats, self.random());
            wallet.leaves.insert(id, leaf);
        }
    }

    pub(super) fn leaves(&self, wallet: PublicKey) -> Vec<Leaf> {
        let state = self.lock();
        state.wallets.get(&wallet).into_iter().flat_map(|it| it.leaves.values().cloned()).collect()
    }

    pub(super) fn transfers(&self, wallet: PublicKey) -> Vec<Transfer> {
        let state = self.lock();
        let involved = |it: &&Transfer| it.sender == wallet || it.receiver == wallet;
        state.transfers.iter().filter(involved).cloned().collect()
    }

    pub(super) fn htlcs(&self, wallet: PublicKey) -> Vec<Htlc> {
        let state = self.lock();
        let transfer = |id: &str| state.transfers.iter().find(|it| it.id == id).cloned();
        let receives = state.receives.iter().filter(|it| it.owner == wallet && it.detailed);
        let receives = receives.filter_map(|it| {
            let transfer = transfer(it.transfer.as_deref()?)?;
            Some(Htlc { hash: it.hash, preimage: it.preimage, transfer })
        });
        let sends = state.sends.iter().filter(|it| it.owner == wallet).filter_map(|it| {
            Some(Htlc { hash: it.hash, preimage: it.preimage, transfer: transfer(&it.transfer)? })
        });
        receives.chain(sends).collect()
    }

    /// An invoice; its preimage is known to nobody, or to `owner`.
    pub(super) fn invoice(
        &self,
        hash: [u8; 32],
        msat: Option<u64>,
        memo: &str,
        expiry: Duration,
    ) -> String {
        let mut builder = InvoiceBuilder::new(Currency::Regtest)
            .description(memo.to_owned())
            .payment_hash(sha256::Hash::from_byte_array(hash))
            .payment_secret(PaymentSecret(self.random()))
            .duration_since_epoch(Duration::from_secs(self.now()))
            .min_final_cltv_expiry_delta(18)
            .expiry_time(expiry);
        if let Some(msat) = msat {
            builder = builder.amount_milli_satoshis(msat);
        }
        let signed =
            builder.build_signed(|text| SECP256K1.sign_ecdsa_recoverable(text, &self.node));
        signed.expect("every field is there").to_string()
    }

    /// An invoice of somebody who is not here.
    pub(super) fn outside_invoice(&self, msat: Option<u64>, expiry: Duration) -> String {
        let preimage = self.random::<32>();
        let hash = sha256::Hash::hash(&preimage).to_byte_array();
        self.lock().outside.insert(hash, preimage);
        self.invoice(hash, msat, "outside", expiry)
    }

    pub(super) fn add_receive(
        &self,
        owner: PublicKey,
        hash: [u8; 32],
        sats: u64,
        memo: Option<String>,
        expiry: Duration,
    ) -> Receive {
        let msat = (sats > 0).then(|| sats * 1000);
        let receive = Receive {
            id: format!("LightningReceiveRequest:{}", self.random_id()),
            owner,
            bolt11: self.invoice(hash, msat, memo.as_deref().unwrap_or_default(), expiry),
            hash,
            sats,
            created: self.now(),
            expires: self.now() + expiry.as_secs(),
            memo,
            preimage: None,
            transfer: None,
            detailed: true,
            shares: HashMap::new(),
        };
        self.lock().receives.push(receive.clone());
        receive
    }

    pub(super) fn keep_shares(&self, hash: &[u8], shares: HashMap<String, Vec<u8>>) {
        let mut state = self.lock();
        if let Some(receive) = state.receives.iter_mut().find(|it| it.hash == hash) {
            receive.shares = shares;
        }
    }

    /// Pays an invoice of a wallet here, from outside.
    pub(super) fn pay(&self, hash: [u8; 32], sats: Option<u64>) -> Result<[u8; 32], Unpayable> {
        let mut state = self.lock();
        self.credit(&mut state, hash, sats)
    }

    fn credit(
        &self,
        state: &mut State,
        hash: [u8; 32],
        sats: Option<u64>,
    ) -> Result<[u8; 32], Unpayable> {
        let (id, created) = (self.random_id(), self.now());
        let next = std::mem::replace(&mut state.next_receive, NextReceive::Tell);
        let receive = state.receives.iter_mut().find(|it| it.hash == hash);
        let receive = receive.ok_or(Unpayable::Unknown)?;
        if receive.transfer.is_some() {
            return Err(Unpayable::Paid);
        }
        let open = |index: usize| {
            let identifier = format!("{:064x}", index + 1);
            keys::open_share(&self.operators[index], receive.shares.get(&identifier)?)
        };
        let (first, second) = open(0).zip(open(1)).ok_or(Unpayable::NoShares)?;
        let preimage = keys::join(&first, &second).ok_or(Unpayable::NoShares)?;
        if sha256::Hash::hash(&preimage).to_byte_array() != hash {
            return Err(Unpayable::NoShares);
        }
        let shown = if next == NextReceive::WrongPreimage { [1; 32] } else { preimage };
        receive.preimage = Some(shown);
        receive.transfer = Some(id.clone());
        receive.detailed = next != NextReceive::WithoutDetails;
        if receive.sats == 0 {
            receive.sats = sats.unwrap_or_default();
        }
        let (owner, sats) = (receive.owner, receive.sats);
        let transfer =
            Transfer { id, sender: self.ssp, receiver: owner, status: COMPLETED, sats, created };
        state.transfers.push(transfer.clone());
        *state.paid.entry(hash).or_default() += 1;
        self.add_leaf(state, owner, sats);
        let times = match next {
            NextReceive::Silent => 0,
            NextReceive::Twice => 2,
            NextReceive::Tell | NextReceive::WithoutDetails | NextReceive::WrongPreimage => 1,
        };
        let told = Message::default().message(10, &transfer.encode());
        let told = Message::default().message(1, &told).finish();
        let listeners = state.wallets.get(&owner).into_iter().flat_map(|it| &it.listeners);
        for listener in listeners {
            for _ in 0..times {
                if listener.send(told.clone()).is_err() {
                    tracing::debug!("a wallet no longer listens");
                }
            }
        }
        Ok(preimage)
    }

    pub(super) fn receive_of(&self, transfer: &str) -> Option<Receive> {
        let state = self.lock();
        let matches = |it: &&Receive| it.transfer.as_deref() == Some(transfer) && it.detailed;
        state.receives.iter().find(matches).cloned()
    }

    pub(super) fn send_of(&self, transfer: &str) -> Option<Send> {
        self.lock().sends.iter().find(|it| it.transfer == transfer).cloned()
    }

    pub(super) fn receive_by_id(&self, id: &str) -> Option<Receive> {
        self.lock().receives.iter().find(|it| it.id == id).cloned()
    }

    pub(super) fn send_by_id(&self, id: &str) -> Option<Send> {
        self.lock().sends.iter().find(|it| it.id == id).cloned()
    }
}
