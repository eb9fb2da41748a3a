//! Lightning wallets that an app brings, in its own language.
//!
//! The app implements [`LightningWallet`] and hands it to `Wallet::from_app`. What it returns is
//! translated here and checked by the core before anybody relies on it; a call that does not come
//! back ends with a timeout.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portal_core::wallet::{
    self, Balance, EventSource, Invoice, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, WalletError, WalletEvent, WalletInfo,
};

use crate::types::wallet::{
    InvoiceOrder, PayOrder, PaymentQuery, WalletBalance, WalletDescription, WalletFault,
    WalletOutcome, WalletPayment,
};

/// A Lightning wallet of the app's own.
///
/// Rules of money: say `Settled` only when the wallet's books say so, `Failed` and `Refused` only
/// when it is certain that no money has moved or will move, and `Pending`, `Timeout` or `Other`
/// when in doubt. Calls may come at the same time and from any thread.
#[uniffi::export(with_foreign)]
#[async_trait]
pub trait LightningWallet: Send + Sync {
    /// What it is and can do. Also a test of the connection.
    async fn info(&self) -> Result<WalletDescription, WalletFault>;

    /// What is in it.
    async fn balance(&self) -> Result<WalletBalance, WalletFault>;

    /// Makes an invoice over exactly this amount: BOLT11.
    async fn make_invoice(&self, order: InvoiceOrder) -> Result<String, WalletFault>;

    /// Where a payment stands, either way; none when the wallet does not know the hash.
    async fn lookup(&self, payment_hash: String) -> Result<Option<WalletPayment>, WalletFault>;

    /// Pays an invoice, once for each payment hash.
    async fn pay(&self, order: PayOrder) -> Result<WalletOutcome, WalletFault>;

    /// Payments, newest first.
    async fn list(&self, query: PaymentQuery) -> Result<Vec<WalletPayment>, WalletFault>;

    /// Called once, before anything else: tell this listener what happens in the wallet. Keep it.
    fn listen(&self, listener: Arc<WalletListener>);

    /// Ends connections. The listener hears nothing more.
    async fn shutdown(&self);
}

/// Where a wallet of the app tells what happens. All of it are hints: what is told twice or not at
/// all does no harm, but costs time.
#[derive(uniffi::Object)]
pub struct WalletListener(Arc<EventSource>);

#[uniffi::export]
impl WalletListener {
    /// A payment settled, in or out.
    pub fn settled(&self, payment: WalletPayment) {
        match wallet::WalletPayment::try_from(payment) {
            Ok(payment) if matches!(payment.state, wallet::PaymentState::Settled { .. }) => {
                self.0.send(WalletEvent::Settled(payment));
            }
            Ok(_) => tracing::warn!("the app's wallet tells of a payment that is not settled"),
            Err(error) => tracing::warn!(%error, "the app's wallet tells of a payment"),
        }
    }

    /// The wallet can be reached again, and something may have happened meanwhile: it is asked.
    pub fn reconnected(&self) {
        self.0.send(WalletEvent::Reconnected);
    }

    /// The wallet cannot be reached.
    pub fn disconnected(&self) {
        self.0.send(WalletEvent::Disconnected);
    }
}

/// The app's wallet as the core knows wallets.
pub struct Foreign {
    app: Arc<dyn LightningWallet>,
    events: Arc<EventSource>,
    listening: OnceLock<()>,
}

impl Foreign {
    /// Takes the app's wallet.
    pub fn new(app: Arc<dyn LightningWallet>) -> Self {
        let foreign =
            Self { app, events: Arc::new(EventSource::new()), listening: OnceLock::new() };
        foreign.listening.get_or_init(|| {
            foreign.app.listen(Arc::new(WalletListener(foreign.events.clone())));
        });
        foreign
    }
}

#[async_trait]
impl wallet::LightningWallet for Foreign {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        self.app.info().await.map(WalletInfo::from).map_err(|fault| fault.of("get_info"))
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.app.balance().await.map(Balance::from).map_err(|fault| fault.of("get_balance"))
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        let text = self.app.make_invoice(request.into()).await;
        let text = text.map_err(|fault| fault.of("make_invoice"))?;
        let read = wallet::bolt11::Bolt11::parse(&text)
            .map_err(|_| WalletError::BadAnswer { what: "no invoice".to_owned() })?;
        Ok(read.into())
    }

    async fn lookup(
        &self,
        payment_hash: PaymentHash,
    ) -> Result<Option<wallet::WalletPayment>, WalletError> {
        let known = self.app.lookup(payment_hash.to_string()).await;
        known.map_err(|fault| fault.of("lookup_invoice"))?.map(TryInto::try_into).transpose()
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        let paid = self.app.pay(request.into()).await;
        paid.map_err(|fault| fault.of("pay_invoice"))?.try_into()
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<wallet::WalletPayment>, WalletError> {
        let listed = self.app.list(query.into()).await;
        let listed = listed.map_err(|fault| fault.of("list_transactions"))?;
        // One that cannot be read must not hide the others.
        Ok(listed.into_iter().filter_map(|payment| payment.try_into().ok()).collect())
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.events.listen()
    }

    async fn shutdown(&self) {
        self.events.close();
        self.app.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
