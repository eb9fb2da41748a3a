//! The ledger that simulated wallets share, in memory or in a file that survives a crash.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::BoxStream;
use lightning_invoice::{
    Bolt11InvoiceDescription, Currency, InvoiceBuilder, PaymentSecret, Sha256,
};
use nostr::hashes::{Hash, sha256};
use secp256k1::{SECP256K1, SecretKey};

use super::SimulatedWallet;
use super::faults::{Call, Fault, Orders, Trouble};
use super::journal::Journal;
use super::ledger::{Ledger, Misfit, Moved, Record, Settlement};
use crate::env::Env;
use crate::primitives::{Millisats, Timestamp};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::events::{EventSource, Source};
use crate::wallet::{
    Balance, FEE_TOO_HIGH, Invoice, ListPayments, PayInvoice, PayOutcome, PaymentHash,
    PaymentState, WalletError, WalletEvent, WalletPayment,
};

/// Wallets that can pay each other. Cheap to clone.
#[derive(Clone)]
pub struct SimulatedNetwork(Arc<Inner>);

/// The ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file cannot be read or written.
    #[error("the ledger file of the simulated wallet cannot be used")]
    File(#[from] std::io::Error),
    /// What is in the file does not add up.
    #[error("the ledger file of the simulated wallet contradicts itself")]
    Misfit(#[from] Misfit),
    /// No such payment is under way.
    #[error("no such payment is under way")]
    NotUnderWay,
}

/// What an invoice says it is for.
#[derive(Clone, Copy)]
pub(super) enum Description<'a> {
    /// In words.
    Text(Option<&'a str>),
    /// By the hash of more words than fit.
    Hash([u8; 32]),
}

struct Inner {
    env: Env,
    /// Signs the invoices of all wallets; a new one each time the network is opened.
    node_key: SecretKey,
    state: Mutex<State>,
}

/// What a payment costs on top; nothing at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeeModel {
    /// For each payment.
    pub base: Millisats,
    /// Millionths of the amount.
    pub ppm: u32,
}

impl FeeModel {
    fn fee(self, amount: Millisats) -> Millisats {
        let share = u128::from(amount.as_u64()) * u128::from(self.ppm) / 1_000_000;
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        Millisats::new(self.base.as_u64().saturating_add(share))
    }
}

pub(super) struct State {
    pub(super) ledger: Ledger,
    journal: Option<Journal>,
    listeners: HashMap<Arc<str>, Arc<EventSource>>,
    holders: HashMap<Arc<str>, Arc<Source<WalletPayment>>>,
    orders: HashMap<Arc<str>, Orders>,
    late: Duration,
    fees: FeeModel,
}

impl SimulatedNetwork {
    /// A network in memory.
    #[must_use]
    pub fn new(env: Env) -> Self {
        Self::with(env, Ledger::default(), None)
    }

    /// A network whose ledger is in this file, made when it is missing. Blocks on the disk, here
    /// and in each call that changes the ledger. Only one process may have it open.
    ///
    /// # Errors
    /// When the file cannot be used, or is not such a ledger.
    pub fn open(path: &Path, env: Env) -> Result<Self, NetworkError> {
        let (journal, records) = Journal::open(path)?;
        let mut ledger = Ledger::default();
        for record in records {
            ledger.apply(record)?;
        }
        Ok(Self::with(env, ledger, Some(journal)))
    }

    fn with(env: Env, ledger: Ledger, journal: Option<Journal>) -> Self {
        let node_key = loop {
            if let Ok(key) = SecretKey::from_slice(&env.bytes::<32>()) {
                break key;
            }
        };
        let state = State {
            ledger,
            journal,
            listeners: HashMap::new(),
            holders: HashMap::new(),
            orders: HashMap::new(),
            late: Duration::ZERO,
            fees: FeeModel::default(),
        };
        Self(Arc::new(Inner { env, node_key, state: Mutex::new(state) }))
    }

    /// The wallet of this name. It gets the initial balance when it is new, and keeps the one it
    /// has otherwise.
    ///
    /// # Errors
    /// When the ledger's file cannot be written.
    pub fn wallet(
        &self,
        name: &str,
        initial: Millisats,
    ) -> Result<Arc<SimulatedWallet>, NetworkError> {
        let mut state = self.state();
        if state.ledger.balance(name).is_none() {
            // With a sum that fits, no payment can ever overflow a balance.
            let sum = state.ledger.total().saturating_add(u128::from(initial.as_u64()));
            if sum > u128::from(u64::MAX) {
                return Err(NetworkError::Misfit(Misfit));
            }
            state
                .commit(vec![Record::Account { name: name.to_owned(), msat: initial.as_u64() }])?;
        }
        let name: Arc<str> = name.into();
        state.listeners.entry(name.clone()).or_insert_with(|| Arc::new(EventSource::new()));
        drop(state);
        Ok(Arc::new(SimulatedWallet::new(self.clone(), name)))
    }

    /// Every payment that settled, oldest first: the truth that tests compare with.
    #[must_use]
    pub fn settled(&self) -> Vec<Settlement> {
        self.state().ledger.settlements().to_vec()
    }

    /// What a wallet holds; `None` when there is no such wallet.
    #[must_use]
    pub fn balance(&self, name: &str) -> Option<Millisats> {
        self.state().ledger.balance(name)
    }

    /// All money in the network, in msat, with what is under way. Only a new wallet changes it.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.state().ledger.total()
    }

    /// Lets invoices be paid this long after their end; zero at first.
    pub fn accept_late(&self, grace: Duration) {
        self.state().late = grace;
    }

    /// What payments cost from now on. Limits on fees are kept, estimates are exact.
    pub fn charge(&self, fees: FeeModel) {
        self.state().fees = fees;
    }

    /// Settles a payment that [`Fault::PayLater`] left under way, also after the invoice's end.
    ///
    /// # Errors
    /// When it is not under way, or the ledger's file cannot be written.
    pub fn settle(&self, hash: PaymentHash) -> Result<(), NetworkError> {
        let at = self.now();
        let mut state = self.state();
        state.under_way(hash)?;
        if state.ledger.row(hash).is_some_and(|row| row.preimage.is_none()) {
            return Err(NetworkError::NotUnderWay);
        }
        state.commit(vec![Record::Settled { hash: hash.0, at: at.as_secs() }])?;
        state.announce(hash, at);
        Ok(())
    }

    /// Gives the money of a payment that is under way back to the payer.
    ///
    /// # Errors
    /// As [`SimulatedNetwork::settle`].
    pub fn fail(&self, hash: PaymentHash) -> Result<(), NetworkError> {
        let at = self.now();
        let mut state = self.state();
        state.under_way(hash)?;
        state.commit(vec![Record::Failed { hash: hash.0, at: at.as_secs() }])
    }

    pub(super) fn order(&self, name: &Arc<str>, fault: Fault) {
        self.state().orders.entry(name.clone()).or_default().push(fault);
    }

    pub(super) fn trouble(&self, name: &str, call: Call) -> Option<Trouble> {
        self.state().orders.get_mut(name)?.take_trouble(call)
    }

    pub(super) fn listen(&self, name: &Arc<str>) -> BoxStream<'static, WalletEvent> {
        let mut state = self.state();
        let source = state.listeners.entry(name.clone());
        source.or_insert_with(|| Arc::new(EventSource::new())).listen()
    }

    pub(super) fn held_source(&self, name: &Arc<str>) -> Arc<Source<WalletPayment>> {
        let mut state = self.state();
        state.holders.entry(name.clone()).or_insert_with(|| Arc::new(Source::new())).clone()
    }

    pub(super) fn balance_of(&self, name: &str) -> Result<Balance, WalletError> {
        let amount = self.balance(name).ok_or(WalletError::Unreachable)?;
        Ok(Balance { amount, at: self.now() })
    }

    pub(super) fn make_invoice(
        &self,
        payee: &str,
        amount: Option<Millisats>,
        description: Description<'_>,
        expiry: Duration,
    ) -> Result<Invoice, WalletError> {
        let preimage = self.0.env.bytes::<32>();
        let hash = PaymentHash(sha256::Hash::hash(&preimage).to_byte_array());
        let read = self.sign(hash, amount, description, expiry)?;
        let record = Record::Invoice {
            hash: read.payment_hash.0,
            preimage,
            payee: payee.to_owned(),
            bolt11: read.text.clone(),
            msat: amount.map(Millisats::as_u64),
            created_at: read.created_at.as_secs(),
            expires_at: read.expires_at.as_secs(),
        };
        self.state().commit(vec![record]).map_err(unwritten)?;
        Ok(read.into())
    }

    /// The text of an invoice, which is in nobody's books yet.
    pub(super) fn sign(
        &self,
        hash: PaymentHash,
        amount: Option<Millisats>,
        description: Description<'_>,
        expiry: Duration,
    ) -> Result<Bolt11, WalletError> {
        let builder = InvoiceBuilder::new(Currency::Regtest);
        let builder = match description {
            Description::Text(text) => {
                builder.invoice_description(Bolt11InvoiceDescription::Direct(
                    lightning_invoice::Description::new(text.unwrap_or("").to_owned())
                        .map_err(|cause| WalletError::BadRequest { what: cause.to_string() })?,
                ))
            }
            Description::Hash(hash) => builder.invoice_description(Bolt11InvoiceDescription::Hash(
                Sha256(sha256::Hash::from_byte_array(hash)),
            )),
        };
        let mut builder = builder
            .payment_hash(sha256::Hash::from_byte_array(hash.0))
            .payment_secret(PaymentSecret(self.0.env.bytes()))
            .duration_since_epoch(Duration::from_secs(self.now().as_secs()))
            .min_final_cltv_expiry_delta(18)
            .expiry_time(Duration::from_secs(expiry.as_secs()))
            .basic_mpp();
        if let Some(amount) = amount {
            builder = builder.amount_milli_satoshis(amount.as_u64());
        }
        let invoice = builder
            .build_signed(|message| SECP256K1.sign_ecdsa_recoverable(message, &self.0.node_key))
            .map_err(|cause| WalletError::BadRequest { what: cause.to_string() })?;
        let text = invoice.to_string();
        Ok(Bolt11::of(invoice, text))
    }

    pub(super) fn lookup(&self, name: &str, hash: PaymentHash) -> Option<WalletPayment> {
        let now = self.now();
        let mut state = self.state();
        let mut payment = state.ledger.view(name, hash, now)?;
        if state.struck(name, &Fault::UnknownToLookup) {
            return None;
        }
        if let PaymentState::Settled { preimage: Some(preimage), .. } = &mut payment.state {
            *preimage = state.told_preimage(name, *preimage);
        }
        Some(payment)
    }

    pub(super) fn invoice_of(&self, name: &str, hash: PaymentHash) -> Option<String> {
        let state = self.state();
        state.ledger.view(name, hash, self.now())?;
        state.ledger.row(hash).map(|row| row.bolt11.clone())
    }

    pub(super) fn list(&self, name: &str, query: ListPayments) -> Vec<WalletPayment> {
        let now = self.now();
        self.state()
            .ledger
            .settled_of(name, now)
            .filter(|payment| payment.created_at >= query.since)
            .filter(|payment| query.direction.is_none_or(|wanted| wanted == payment.direction))
            .skip(query.offset as usize)
            .take(query.limit as usize)
            .collect()
    }

    pub(super) fn arrived(&self, name: &str, query: ListPayments) -> Vec<WalletPayment> {
        let now = self.now();
        self.state()
            .ledger
            .arrived_since(name, query.since, now)
            .skip(query.offset as usize)
            .take(query.limit as usize)
            .collect()
    }

    pub(super) fn quote(&self, request: &PayInvoice) -> Result<Millisats, WalletError> {
        Ok(self.state().fees.fee(request.checked_amount()?))
    }

    pub(super) fn pay(&self, payer: &str, request: &PayInvoice) -> Result<PayOutcome, WalletError> {
        let amount = request.checked_amount()?;
        let now = self.now();
        let hash = request.payment_hash;
        let mut state = self.state();
        let preimage = match state.judge(payer, hash, &request.bolt11, now) {
            Verdict::Pay(preimage) => preimage,
            Verdict::Over(PayOutcome::Settled { preimage, fee }) => {
                let preimage = state.told_preimage(payer, preimage);
                return Ok(PayOutcome::Settled { preimage, fee });
            }
            Verdict::Over(outcome) => return Ok(outcome),
        };
        let fee = state.fees.fee(amount);
        if request.max_fee.is_some_and(|most| fee > most) {
            return Err(WalletError::Refused {
                code: FEE_TOO_HIGH.to_owned(),
                message: "the fee is more than was allowed".to_owned(),
            });
        }
        let cost = amount.checked_add(fee);
        let held = state.ledger.balance(payer);
        if cost.is_none_or(|cost| held.is_none_or(|held| held < cost)) {
            return Err(WalletError::Refused {
                code: "INSUFFICIENT_BALANCE".to_owned(),
                message: "not enough in the wallet".to_owned(),
            });
        }
        let at = now.as_secs();
        let mut records = vec![Record::Sent {
            hash: hash.0,
            payer: payer.to_owned(),
            msat: amount.as_u64(),
            fee: fee.as_u64(),
            at,
        }];
        let later = state.struck(payer, &Fault::PayLater);
        let Some(preimage) = preimage.filter(|_| !later) else {
            state.commit(records).map_err(unwritten)?;
            state.announce_held(hash, now);
            return Ok(PayOutcome::Pending);
        };
        records.push(Record::Settled { hash: hash.0, at });
        state.commit(records).map_err(unwritten)?;
        state.announce(hash, now);
        let preimage = state.told_preimage(payer, preimage);
        Ok(PayOutcome::Settled { preimage, fee })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.env.now()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do about a payment.
enum Verdict {
    /// `None`: the payee keeps the preimage.
    Pay(Option<[u8; 32]>),
    Over(PayOutcome),
}

impl State {
    /// Saves first, then changes the books.
    pub(super) fn commit(&mut self, records: Vec<Record>) -> Result<(), NetworkError> {
        if let Some(journal) = &mut self.journal {
            journal.append(&records)?;
        }
        for record in records {
            self.ledger.apply(record)?;
        }
        Ok(())
    }

    fn under_way(&self, hash: PaymentHash) -> Result<(), NetworkError> {
        self.ledger
            .row(hash)
            .and_then(|row| row.payment.as_ref())
            .filter(|payment| payment.state == Moved::UnderWay)
            .map(|_| ())
            .ok_or(NetworkError::NotUnderWay)
    }

    fn judge(&self, payer: &str, hash: PaymentHash, bolt11: &str, now: Timestamp) -> Verdict {
        let failed = |reason: &str| Verdict::Over(PayOutcome::Failed { reason: reason.to_owned() });
        let Some(row) = self.ledger.row(hash) else {
            return failed("no route to the payee");
        };
        // Somebody else's text with a known hash is not the payee's invoice.
        if Bolt11::parse(bolt11).map_or(true, |read| read.text != row.bolt11) {
            return failed("no route to the payee");
        }
        if row.payee == payer {
            return failed("a wallet cannot pay itself");
        }
        match &row.payment {
            Some(payment) if payment.state != Moved::Failed && payment.payer != payer => {
                failed("the invoice is already paid")
            }
            Some(payment) if payment.state == Moved::UnderWay => Verdict::Over(PayOutcome::Pending),
            Some(payment) if payment.state != Moved::Failed => {
                Verdict::Over(row.preimage.map_or(PayOutcome::Pending, |preimage| {
                    PayOutcome::Settled { preimage, fee: payment.fee }
                }))
            }
            _ if row.cancelled => failed("the payee no longer wants it"),
            _ if now >= row.expires_at.saturating_add(self.late) => {
                failed("the invoice has expired")
            }
            _ => Verdict::Pay(row.preimage),
        }
    }

    /// Tells both sides of a payment that it settled.
    pub(super) fn announce(&mut self, hash: PaymentHash, now: Timestamp) {
        let Some(row) = self.ledger.row(hash) else { return };
        let payer = row.payment.as_ref().map(|payment| payment.payer.clone());
        for name in payer.into_iter().chain([row.payee.clone()]) {
            let Some(payment) = self.ledger.view(&name, hash, now) else { continue };
            let Some(source) = self.listeners.get(name.as_str()).cloned() else { continue };
            if self.struck(&name, &Fault::LostNotification) {
                continue;
            }
            if self.struck(&name, &Fault::DuplicateNotification) {
                source.send(WalletEvent::Settled(payment.clone()));
            }
            source.send(WalletEvent::Settled(payment));
        }
    }

    /// Tells the payee of a hold invoice that money waits.
    fn announce_held(&self, hash: PaymentHash, now: Timestamp) {
        let Some(row) = self.ledger.row(hash).filter(|row| row.preimage.is_none()) else { return };
        let payment = self.ledger.view(&row.payee, hash, now);
        let source = self.holders.get(row.payee.as_str());
        if let (Some(source), Some(payment)) = (source, payment) {
            source.send(payment);
        }
    }

    fn told_preimage(&mut self, name: &str, mut preimage: [u8; 32]) -> [u8; 32] {
        if self.struck(name, &Fault::LiarPreimage) {
            preimage[0] ^= 0xff;
        }
        preimage
    }

    fn struck(&mut self, name: &str, fault: &Fault) -> bool {
        self.orders.get_mut(name).is_some_and(|orders| orders.take(fault))
    }
}

/// The books were not changed, but the file may hold the record.
pub(super) fn unwritten(cause: NetworkError) -> WalletError {
    tracing::warn!(%cause, "simulated ledger");
    WalletError::BadAnswer { what: "the ledger cannot be written".to_owned() }
}
