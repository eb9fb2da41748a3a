//! A Lightning wallet without Lightning: for `--dev`, the demo and tests.
//!
//! Wallets of one [`SimulatedNetwork`] pay each other over a shared ledger. Their invoices are real
//! BOLT11 on regtest, with a random preimage and its hash, so everything above the wallet runs as
//! in production. The ledger is the truth: what it says is paid is paid, and tests can ask it
//! ([`SimulatedNetwork::settled`]). Faults are ordered one by one ([`SimulatedWallet::order`]),
//! by code only, never by configuration. There are no channels and no routes; fees are
//! what [`SimulatedNetwork::charge`] says, at first none.

mod faults;
mod holds;
mod journal;
mod ledger;
mod network;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio_util::sync::CancellationToken;

pub use self::faults::{Call, Fault, Trouble};
pub use self::ledger::Settlement;
use self::network::Description;
pub use self::network::{FeeModel, NetworkError, SimulatedNetwork};
use super::{
    Balance, FeeQuote, HoldInvoices, Invoice, LightningWallet, ListPayments, NewInvoice,
    PayInvoice, PayOutcome, PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment,
    WalletState,
};
use crate::primitives::Millisats;

/// One wallet of a [`SimulatedNetwork`].
///
/// Several handles of one name share the balance, the events and the faults; shutting one down
/// leaves the others.
pub struct SimulatedWallet {
    network: SimulatedNetwork,
    name: Arc<str>,
    closed: AtomicBool,
    end: CancellationToken,
    last_balance: Mutex<Option<Balance>>,
}

impl SimulatedWallet {
    fn new(network: SimulatedNetwork, name: Arc<str>) -> Self {
        Self {
            network,
            name,
            closed: AtomicBool::new(false),
            end: CancellationToken::new(),
            last_balance: Mutex::default(),
        }
    }

    /// The network it belongs to.
    #[must_use]
    pub const fn network(&self) -> &SimulatedNetwork {
        &self.network
    }

    /// Its name in the ledger.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Orders one fault; it strikes once, the next time it fits. Order it again for more.
    pub fn order(&self, fault: Fault) {
        self.network.order(&self.name, fault);
    }

    /// Makes an invoice whose amount the payer chooses.
    ///
    /// # Errors
    /// As [`LightningWallet::make_invoice`].
    pub fn make_amountless_invoice(
        &self,
        description: Option<&str>,
        expiry: Duration,
    ) -> Result<Invoice, WalletError> {
        self.open()?;
        self.network.make_invoice(&self.name, None, Description::Text(description), expiry)
    }

    fn open(&self) -> Result<(), WalletError> {
        if self.closed.load(Ordering::Acquire) { Err(WalletError::ShutDown) } else { Ok(()) }
    }

    /// Does the call unless a fault was ordered for it.
    fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce() -> Result<T, WalletError>,
    ) -> Result<T, WalletError> {
        self.open()?;
        match self.network.trouble(&self.name, call) {
            None => act(),
            Some(Trouble::LostAnswer) => act().and(Err(WalletError::Timeout)),
            Some(Trouble::Garbled) => act()
                .and_then(|_| Err(WalletError::BadAnswer { what: "nothing readable".to_owned() })),
            Some(Trouble::Timeout) => Err(WalletError::Timeout),
            Some(Trouble::Unreachable) => Err(WalletError::Unreachable),
            Some(Trouble::Refuse { code, message }) => Err(WalletError::Refused { code, message }),
        }
    }
}

#[async_trait]
impl LightningWallet for SimulatedWallet {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        self.call(Call::Info, || {
            Ok(WalletInfo {
                kind: "simulated".to_owned(),
                network: Some("regtest".to_owned()),
                methods: [
                    "get_info",
                    "get_balance",
                    "make_invoice",
                    "lookup_invoice",
                    "pay_invoice",
                    "list_transactions",
                    "make_hold_invoice",
                    "settle_hold_invoice",
                    "cancel_hold_invoice",
                ]
                .map(str::to_owned)
                .to_vec(),
                notifies: true,
                caps_fees: true,
            })
        })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let balance = self.call(Call::Balance, || self.network.balance_of(&self.name))?;
        *self.last_balance.lock().unwrap_or_else(PoisonError::into_inner) = Some(balance);
        Ok(balance)
    }

    fn last_balance(&self) -> Option<Balance> {
        *self.last_balance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> WalletState {
        if self.open().is_ok() { WalletState::Answering } else { WalletState::ShutDown }
    }

    fn hold_invoices(&self) -> Option<&dyn HoldInvoices> {
        Some(self)
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        self.call(Call::MakeInvoice, || {
            if request.amount == Millisats::new(0) {
                return Err(WalletError::BadRequest { what: "the amount is zero".to_owned() });
            }
            self.network.make_invoice(
                &self.name,
                Some(request.amount),
                Description::Text(request.description.as_deref()),
                request.expiry,
            )
        })
    }

    async fn make_invoice_for(
        &self,
        request: NewInvoice,
        description_hash: [u8; 32],
    ) -> Result<Invoice, WalletError> {
        self.call(Call::MakeInvoice, || {
            if request.amount == Millisats::new(0) {
                return Err(WalletError::BadRequest { what: "the amount is zero".to_owned() });
            }
            let description = Description::Hash(description_hash);
            self.network.make_invoice(&self.name, Some(request.amount), description, request.expiry)
        })
    }

    async fn lookup(
        &self,
        payment_hash: PaymentHash,
    ) -> Result<Option<WalletPayment>, WalletError> {
        self.call(Call::Lookup, || Ok(self.network.lookup(&self.name, payment_hash)))
    }

    async fn quote(&self, request: &PayInvoice) -> Result<FeeQuote, WalletError> {
        self.call(Call::Quote, || Ok(FeeQuote { fee: self.network.quote(request)? }))
    }

    async fn invoice_of(&self, payment_hash: PaymentHash) -> Result<Option<String>, WalletError> {
        self.open()?;
        Ok(self.network.invoice_of(&self.name, payment_hash))
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.call(Call::Pay, || self.network.pay(&self.name, &request))
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.call(Call::List, || Ok(self.network.list(&self.name, query)))
    }

    async fn list_settled(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.call(Call::List, || Ok(self.network.arrived(&self.name, query)))
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        let end = self.end.clone();
        self.network.listen(&self.name).take_until(end.cancelled_owned()).boxed()
    }

    async fn shutdown(&self) {
        self.closed.store(true, Ordering::Release);
        self.end.cancel();
    }
}

#[cfg(test)]
mod tests;
