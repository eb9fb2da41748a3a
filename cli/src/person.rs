//! A person: a client on the network with a wallet to pay from. What the terminal wallet and the
//! demo share; who decides, and what is printed, is theirs.

use std::sync::Arc;
use std::time::Duration;

use nostr::PublicKey;
use portal_core::client::{Client, IncomingRequest};
use portal_core::driver::websocket;
use portal_core::env::Env;
use portal_core::identity::LocalKey;
use portal_core::payments::pay::{self, PaidInvoice, PayError};
use portal_core::primitives::Timestamp;
use portal_core::protocol::Currency;
use portal_core::protocol::auth::AuthStatus;
use portal_core::protocol::handshake::{ClientInfo, KeyHandshakeUrl};
use portal_core::protocol::payment::{PaymentStatus, SinglePaymentRequest};
use portal_core::rates::RateDesk;
use portal_core::relay::{RelayAddress, RelayPool, RelaySink};
use portal_core::storage::{OutgoingRecord, Store};
use portal_core::wallet::LightningWallet;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::nwc::{ConnectError, NwcOptions, NwcUri, NwcWallet};
use tokio::runtime::Handle;

use crate::error::CliError;

/// How long a login lasts.
pub const SESSION: Duration = Duration::from_secs(24 * 60 * 60);
/// How long to wait for the name of a service.
const NAME_PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait for a wallet to say on which network it is.
const INFO_PATIENCE: Duration = Duration::from_secs(3);
/// How long a payment whose outcome nobody knows is asked after, before the next start.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A person on the network.
pub struct Person {
    /// The person's side of Portal.
    pub client: Client,
    store: Arc<dyn Store>,
    wallet: Option<Arc<dyn LightningWallet>>,
    env: Env,
}

/// What a person is made of.
pub struct Parts {
    /// Who they are.
    pub key: LocalKey,
    /// Where they listen.
    pub relays: Vec<RelayAddress>,
    /// What they remember.
    pub store: Arc<dyn Store>,
    /// What they pay from.
    pub wallet: Option<Arc<dyn LightningWallet>>,
    /// What they compare the rates of services with.
    pub rates: Option<Arc<RateDesk>>,
    /// Whether services may name relays on private addresses.
    pub allow_private: bool,
}

/// Why a payment is refused before anybody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpayable {
    /// Not an invoice.
    #[error("the invoice cannot be read")]
    Unreadable,
    /// The payer would choose.
    #[error("the invoice has no amount")]
    NoAmount,
    /// It asks for another amount than the request.
    #[error("the amount of the invoice is not the amount of the request")]
    OtherAmount,
    /// It is over.
    #[error("the invoice has expired")]
    Expired,
    /// The wallet is somewhere else.
    #[error("the invoice is for another network than the wallet")]
    OtherNetwork,
    /// There is nothing to pay from.
    #[error("this wallet cannot pay: it is linked to no lightning wallet")]
    NoWallet,
}

/// How a payment ended.
#[derive(Debug)]
pub enum Outcome {
    /// Paid, also when the service could no longer be told.
    Paid(PaidInvoice),
    /// Not paid, and it will not be.
    Failed(String),
    /// Nobody knows; the wallet is asked again at the next start.
    Unknown,
    /// Our own memory failed; the wallet is asked again at the next start.
    Broken(PayError),
}

impl Person {
    /// Connects, and goes on with what was open.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, CliError> {
        let Parts { key, relays, store, wallet, rates, allow_private } = parts;
        let env = Env::system();
        let mut builder = Client::builder(key)
            .relays(relays)
            .store(Arc::clone(&store))
            .env(env.clone())
            .allow_private_relays(allow_private);
        if let Some(rates) = rates {
            builder = builder.rates(rates);
        }
        let client = builder.start(Handle::current()).await?;
        Ok(Self { client, store, wallet, env })
    }

    /// Opens the URL of a service.
    ///
    /// # Errors
    /// When it is no such URL, or none of its relays takes the message.
    pub async fn open(&self, url: &str) -> Result<KeyHandshakeUrl, CliError> {
        let client =
            ClientInfo { name: "portal".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        Ok(self.client.handshakes().send(url.trim(), client).await?)
    }

    /// Says yes to a login, with a session token for the service.
    ///
    /// # Errors
    /// When the request is over.
    pub async fn approve_login(&self, request: &IncomingRequest) -> Result<(), CliError> {
        let token = self.client.tokens().issue(request.service, SESSION)?;
        let status = AuthStatus::Approved {
            granted_permissions: Vec::new(),
            session_token: token.expose().clone(),
        };
        self.client.replies().login(request, status).await?;
        Ok(self.client.requests().handled(request.id).await?)
    }

    /// The name that a service gives itself, if it has a profile; nothing vouches for it.
    pub async fn name_of(&self, service: PublicKey) -> Option<String> {
        let profiles = self.client.profiles();
        let fetching = tokio::time::timeout(NAME_PATIENCE, profiles.fetch(service));
        let profile = fetching.await.ok()?.ok()??;
        profile.display_name.or(profile.name).filter(|name| !name.trim().is_empty())
    }

    /// The wallet to pay from.
    pub const fn wallet(&self) -> Option<&Arc<dyn LightningWallet>> {
        self.wallet.as_ref()
    }

    /// The invoice of a request, once it is what it should be.
    ///
    /// # Errors
    /// Why it must not be paid.
    pub async fn examine(&self, request: &SinglePaymentRequest) -> Result<Bolt11, Unpayable> {
        let invoice = examine(request, self.client.now())?;
        let wallet = self.wallet.as_ref().ok_or(Unpayable::NoWallet)?;
        // A wallet that does not say where it is gets the benefit of the doubt: it refuses itself.
        let info = tokio::time::timeout(INFO_PATIENCE, wallet.info()).await;
        let network = info.ok().and_then(Result::ok).and_then(|info| info.network);
        match (network.as_deref(), network_of(&invoice.text)) {
            (Some(wallet), Some(invoice)) if wallet != invoice => Err(Unpayable::OtherNetwork),
            _ => Ok(invoice),
        }
    }

    /// What became of an invoice before: a record means that the person agreed to pay it.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub async fn record_of(&self, invoice: &Bolt11) -> Result<Option<OutgoingRecord>, CliError> {
        let record = self.store.outgoing(invoice.payment_hash.0).await;
        Ok(record.map_err(portal_core::Error::from)?)
    }

    /// Tells the service that the person agrees, pays once, and tells how it ended. Goes on with
    /// a payment that an earlier run began.
    ///
    /// Not cancel safe: run it on a task of its own.
    pub async fn pay(&self, request: &IncomingRequest, invoice: &Bolt11) -> Outcome {
        let Some(wallet) = &self.wallet else {
            return Outcome::Failed(Unpayable::NoWallet.to_string());
        };
        if !request.replied {
            self.claim(request, PaymentStatus::Approved).await;
        }
        let begun = tokio::time::Instant::now();
        let mut pause = Duration::from_secs(1);
        let outcome = loop {
            match pay::pay(&self.env, self.store.as_ref(), wallet.as_ref(), &invoice.text).await {
                Ok(paid) => break Outcome::Paid(paid),
                Err(PayError::Pending) if begun.elapsed() < UNKNOWN_PATIENCE => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(Duration::from_secs(30));
                }
                Err(PayError::Pending) => break Outcome::Unknown,
                Err(error @ PayError::Storage(_)) => break Outcome::Broken(error),
                Err(
                    error @ (PayError::InvalidInvoice { .. }
                    | PayError::InvalidAmount { .. }
                    | PayError::FeeTooHigh { .. }
                    | PayError::FeesUnbounded
                    | PayError::SpendingLimit { .. }
                    | PayError::Failed { .. }
                    | PayError::Wallet(_)),
                ) => break Outcome::Failed(error.to_string()),
            }
        };
        match &outcome {
            Outcome::Paid(paid) => {
                let preimage = Some(paid.preimage.clone());
                self.claim(request, PaymentStatus::Success { preimage }).await;
            }
            Outcome::Failed(_) => {
                // What the wallet says of itself and its balance is the person's business.
                let reason = Some("the wallet could not pay".to_owned());
                self.claim(request, PaymentStatus::Failed { reason }).await;
            }
            // Not handled: the next start asks again.
            Outcome::Unknown | Outcome::Broken(_) => return outcome,
        }
        if let Err(error) = self.client.requests().handled(request.id).await {
            // The journal knows how it ended, so a second look does no harm.
            tracing_quietly(&error);
        }
        outcome
    }

    /// Refuses a payment for the person, or on their behalf.
    ///
    /// # Errors
    /// When the request is over.
    pub async fn refuse_payment(
        &self,
        request: &IncomingRequest,
        status: PaymentStatus,
    ) -> Result<(), CliError> {
        self.client.replies().payment(request, status).await?;
        Ok(self.client.requests().handled(request.id).await?)
    }

    /// Asks the wallet what became of payments that an earlier run left open.
    pub async fn reconcile(&self) {
        if let Some(wallet) = &self.wallet
            && let Err(error) =
                pay::reconcile(&self.env, self.store.as_ref(), wallet.as_ref()).await
        {
            tracing_quietly(&error.into());
        }
    }

    /// Leaves the network.
    pub async fn stop(&self) {
        self.client.shutdown().await;
        if let Some(wallet) = &self.wallet {
            wallet.shutdown().await;
        }
        self.store.close().await;
    }

    /// Tells the service where its payment stands. Its own wallet knows better: when it no longer
    /// listens, nothing is lost.
    async fn claim(&self, request: &IncomingRequest, status: PaymentStatus) {
        if let Err(error) = self.client.replies().payment(request, status).await {
            tracing_quietly(&error);
        }
    }
}

/// Links the wallet of an NWC URI. Its relays are the person's own choice, wherever they are.
///
/// # Errors
/// When the link cannot be used.
pub fn link(uri: &NwcUri) -> Result<Arc<dyn LightningWallet>, CliError> {
    let env = Env::system();
    let connect = connector(uri, env.clone());
    Ok(Arc::new(NwcWallet::connect(uri, connect, env, NwcOptions::default())?))
}

/// The same for a wallet that is used again and again: what its messages are sealed with is kept,
/// and no relay can have it replaced by something worse.
///
/// # Errors
/// When the link cannot be used, or the memory cannot be read.
pub async fn link_kept(
    uri: &NwcUri,
    store: Arc<dyn Store>,
) -> Result<Arc<dyn LightningWallet>, CliError> {
    let env = Env::system();
    let connect = connector(uri, env.clone());
    let wallet = NwcWallet::connect_kept(uri, connect, env, NwcOptions::default(), store).await;
    Ok(Arc::new(wallet.map_err(|error| match error {
        ConnectError::Link(error) => CliError::from(error),
        ConnectError::Storage(error) => portal_core::Error::from(error).into(),
    })?))
}

fn connector(
    uri: &NwcUri,
    env: Env,
) -> impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> + use<> {
    let relays = uri.relays.clone();
    move |sink| {
        let pool = websocket(Handle::current(), env, true)(sink);
        for relay in relays {
            pool.add(relay);
        }
        pool
    }
}

/// The part of the examination that needs no wallet.
fn examine(request: &SinglePaymentRequest, now: Timestamp) -> Result<Bolt11, Unpayable> {
    let invoice = Bolt11::parse(&request.invoice).map_err(|_| Unpayable::Unreadable)?;
    let amount = invoice.amount.ok_or(Unpayable::NoAmount)?.as_u64();
    match &request.currency {
        // Wallets that know only whole satoshi round up.
        Currency::Millisats
            if amount != request.amount
                && Some(amount) != request.amount.div_ceil(1000).checked_mul(1000) =>
        {
            return Err(Unpayable::OtherAmount);
        }
        // What a fiat amount is worth is for the person to judge: they see both.
        Currency::Millisats | Currency::Fiat(_) => {}
    }
    if invoice.is_expired_at(now) {
        return Err(Unpayable::Expired);
    }
    Ok(invoice)
}

/// The network in the prefix of an invoice.
fn network_of(invoice: &str) -> Option<&'static str> {
    // The longer prefixes first: all begin like a shorter one.
    [("lnbcrt", "regtest"), ("lntbs", "signet"), ("lntb", "testnet"), ("lnbc", "bitcoin")]
        .into_iter()
        .find_map(|(prefix, network)| invoice.starts_with(prefix).then_some(network))
}

fn tracing_quietly(error: &portal_core::Error) {
    tracing::debug!(%error, "went on without");
}

#[cfg(test)]
mod tests {
    use portal_core::primitives::{Millisats, RequestId};
    use portal_core::wallet::NewInvoice;
    use portal_core::wallet::simulated::SimulatedNetwork;

    use super::*;

    async fn request(amount: u64, invoice_amount: u64) -> SinglePaymentRequest {
        let network = SimulatedNetwork::new(Env::system());
        let wallet = network.wallet("merchant", Millisats::new(0)).expect("new");
        let wanted = NewInvoice {
            amount: Millisats::new(invoice_amount),
            description: None,
            expiry: Duration::from_secs(60),
        };
        SinglePaymentRequest {
            amount,
            currency: Currency::Millisats,
            current_exchange_rate: None,
            invoice: wallet.make_invoice(wanted).await.expect("made").bolt11,
            auth_token: None,
            expires_at: Timestamp::from_secs(u64::MAX),
            subscription_id: None,
            description: None,
            request_id: RequestId::new("r"),
        }
    }

    #[tokio::test]
    async fn an_invoice_may_be_rounded_up_to_the_satoshi_and_no_further() {
        let now = Env::system().now();
        for (asked, invoiced) in [(1000, 1000), (1500, 1500), (1500, 2000), (1, 1000)] {
            assert!(examine(&request(asked, invoiced).await, now).is_ok(), "{asked} {invoiced}");
        }
        for (asked, invoiced) in [(1000, 2000), (1500, 1000), (1500, 2001), (1000, 999)] {
            let refused = examine(&request(asked, invoiced).await, now);
            assert_eq!(refused, Err(Unpayable::OtherAmount), "{asked} {invoiced}");
        }
    }

    #[tokio::test]
    async fn what_is_no_invoice_or_is_over_is_refused() {
        let now = Env::system().now();
        let good = request(1000, 1000).await;
        let late = now.saturating_add(Duration::from_secs(3600));
        assert_eq!(examine(&good, late), Err(Unpayable::Expired));
        let nonsense = SinglePaymentRequest { invoice: "lnbc1".to_owned(), ..good };
        assert_eq!(examine(&nonsense, now), Err(Unpayable::Unreadable));
    }

    #[test]
    fn the_prefix_tells_the_network() {
        for (text, network) in [
            ("lnbc2500u1x", Some("bitcoin")),
            ("lnbcrt1x", Some("regtest")),
            ("lntb1x", Some("testnet")),
            ("lntbs1x", Some("signet")),
            ("lnsb1x", None),
        ] {
            assert_eq!(network_of(text), network, "{text}");
        }
    }
}
