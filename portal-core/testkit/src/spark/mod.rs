//! The servers of Spark, as far as a wallet of the official Breez library talks to them: three
//! operators (gRPC over cleartext HTTP/2) and the service provider (GraphQL over HTTP/1.1), all on
//! one port of loopback.
//!
//! They keep accounts, check signatures and sums, and let payments arrive, fail or wait as a test
//! orders. What they do not do: sign anything (a wallet trusts the operators to put the parts of a
//! signature together), change leaves for others, deposits, withdrawals, tokens.

mod grpc;
mod keys;
mod leaf;
mod ledger;
mod operators;
mod proto;
mod ssp;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::SECP256K1;
use lightning_invoice::Bolt11Invoice;
use portal_core::env::Env;

use self::keys::WalletKeys;
use self::ledger::{Ledger, THRESHOLD};
pub use self::ledger::{NextReceive, NextSend, Unpayable};
use crate::relay::listener::Listener;

/// The servers of Spark on loopback. They end when this is dropped.
pub struct FakeSpark {
    ledger: Arc<Ledger>,
    listener: Listener,
}

/// What a wallet must be told to use these servers.
#[derive(Clone, Debug)]
pub struct SparkAccess {
    /// Address and public key of each operator.
    pub operators: Vec<(String, String)>,
    /// How many of them must take part.
    pub threshold: u32,
    /// Where the service provider is.
    pub ssp_url: String,
    /// Its public key.
    pub ssp_public_key: String,
}

/// The servers cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum SparkError {
    /// The port could not be opened.
    #[error("the port could not be opened")]
    Listen(#[from] std::io::Error),
    /// These are no words of a wallet.
    #[error("these are no words of a wallet")]
    Words,
}

impl FakeSpark {
    /// Starts the servers.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> Result<Self, SparkError> {
        Self::start_at(Env::system()).await
    }

    /// Starts the servers with a clock of their own.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start_at(env: Env) -> Result<Self, SparkError> {
        let ledger = Arc::new(Ledger::new(env));
        let served = ledger.clone();
        let listener =
            Listener::start(move |stream, _| grpc::serve(stream, served.clone())).await?;
        Ok(Self { ledger, listener })
    }

    /// What a wallet must be told.
    #[must_use]
    pub fn access(&self) -> SparkAccess {
        let url = format!("http://{}", self.listener.address());
        let keys = self.ledger.operators.iter().map(|key| key.public_key(SECP256K1).to_string());
        SparkAccess {
            operators: keys.map(|key| (url.clone(), key)).collect(),
            threshold: THRESHOLD,
            ssp_url: url,
            ssp_public_key: self.ledger.ssp.to_string(),
        }
    }

    /// Makes a wallet's words known, so that what it receives becomes money it can spend, and puts
    /// this much into it. Every amount up to that can be put together from it exactly.
    ///
    /// # Errors
    /// When these are no words of a wallet.
    pub fn fund(&self, words: &str, sats: u64) -> Result<(), SparkError> {
        self.fund_with(words, leaf::denominations(sats))
    }

    /// The same with amounts of one's own: a payment takes some of them whole.
    ///
    /// # Errors
    /// When these are no words of a wallet.
    pub fn fund_with(
        &self,
        words: &str,
        amounts: impl IntoIterator<Item = u64>,
    ) -> Result<(), SparkError> {
        let keys = WalletKeys::derive(words).ok_or(SparkError::Words)?;
        let wallet = keys.identity;
        self.ledger.know(keys);
        self.ledger.put(wallet, amounts);
        Ok(())
    }

    /// What a payment costs on top from now on; three satoshi at first.
    pub fn set_fee(&self, sats: u64) {
        self.ledger.set_fee(sats);
    }

    /// What happens to the next payment that a wallet sends.
    pub fn order_send(&self, next: NextSend) {
        self.ledger.order_send(next);
    }

    /// What a wallet hears of the next payment that it receives.
    pub fn order_receive(&self, next: NextReceive) {
        self.ledger.order_receive(next);
    }

    /// Answers each call of this name with a status of gRPC (operators) or an error of HTTP
    /// (service provider) until told `None`.
    pub fn break_call(&self, name: &str, status: Option<u8>) {
        self.ledger.break_call(name, status);
    }

    /// An invoice of somebody who has no wallet here.
    #[must_use]
    pub fn outside_invoice(&self, msat: Option<u64>, expiry: Duration) -> String {
        self.ledger.outside_invoice(msat, expiry)
    }

    /// Pays an invoice of a wallet here from outside.
    ///
    /// # Errors
    /// When nobody here made it, or it was paid before.
    pub fn pay(&self, bolt11: &str) -> Result<[u8; 32], Unpayable> {
        let invoice: Bolt11Invoice = bolt11.parse().map_err(|_| Unpayable::Unknown)?;
        self.ledger.pay(invoice.payment_hash().to_byte_array(), None)
    }

    /// Lets a held payment arrive, or hidden details become known.
    pub fn release(&self, payment_hash: [u8; 32]) {
        self.ledger.release(payment_hash);
    }

    /// Lets a held payment fail; the money comes back.
    pub fn give_back(&self, payment_hash: [u8; 32]) {
        self.ledger.give_back(payment_hash);
    }

    /// How often an invoice was paid: more than once is a fault of who sent it.
    #[must_use]
    pub fn paid(&self, payment_hash: [u8; 32]) -> u64 {
        self.ledger.paid(payment_hash)
    }

    /// How often a call of this name came.
    #[must_use]
    pub fn calls(&self, name: &str) -> u64 {
        self.ledger.calls(name)
    }

    /// Ends all connections and refuses new ones; accounts stay.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn restart(&self) -> Result<(), SparkError> {
        Ok(self.listener.restart().await?)
    }
}
