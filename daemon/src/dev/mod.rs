//! `--dev`: everything a daemon needs, in this process and on loopback: a relay, a simulated
//! wallet, a mint for tickets (feature `dev-mint`), a key, a token, and the link to a second wallet
//! for the person who tries it out.
//! Nothing of it is fit for real money.

#[cfg(feature = "dev-mint")]
mod mint;
mod port;
mod rates;
mod relay;
mod secrets;

use std::path::Path;
use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::{Millisats, Secret};
use portal_core::rates::{PriceError, RateDesk, RateOptions};
use portal_core::relay::RelayAddress;
use portal_core::wallet::LightningWallet;
use portal_core::wallet::nwc::{
    Cipher, NwcConnection, NwcService, NwcServiceOptions, NwcUriError, Permission,
};
use portal_core::wallet::simulated::{NetworkError, SimulatedNetwork};
#[cfg(feature = "dev-mint")]
use portal_mint::DevMint;
use tokio::runtime::Handle;

use self::relay::DevRelay;
pub use self::secrets::Secrets;

/// What the person's wallet begins with.
const PERSON_BALANCE: Millisats = Millisats::new(1_000_000_000);

/// What the wallet of the service begins with.
const SERVICE_BALANCE: Millisats = Millisats::new(100_000_000);

/// The world of `--dev`.
pub struct Dev {
    /// The relay.
    pub relay: RelayAddress,
    /// The wallet of the service.
    pub wallet: Arc<dyn LightningWallet>,
    /// Fixed exchange rates.
    pub rates: Arc<RateDesk>,
    /// The link to the person's wallet.
    pub person: Secret<String>,
    /// The mint and the token that mints and burns.
    #[cfg(feature = "dev-mint")]
    pub mint: DevMint,
    relay_server: DevRelay,
    person_service: NwcService,
}

/// Why the world of `--dev` could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Its folder or a port.
    #[error("the development files or the development relay cannot be set up")]
    Io(#[from] std::io::Error),
    /// The relay's address.
    #[error("the development relay has no usable address")]
    Address(#[from] portal_core::relay::AddressError),
    /// The simulated wallet.
    #[error("the simulated wallet cannot be set up")]
    Wallet(#[from] NetworkError),
    /// The simulated exchange rates.
    #[error("the simulated exchange rates cannot be used")]
    Rates(#[from] PriceError),
    /// The mint.
    #[cfg(feature = "dev-mint")]
    #[error("the development mint cannot be set up")]
    Mint(#[from] portal_mint::DevError),
    /// The link to the person's wallet.
    #[error("the link to the simulated wallet cannot be made")]
    Link(#[from] NwcUriError),
}

impl Dev {
    /// Starts all of it. Ledgers and the mint's books are kept in the folder.
    ///
    /// # Errors
    /// When the folder cannot be used or no port is free.
    pub async fn start(
        folder: &Path,
        secrets: &Secrets,
        env: Env,
        handle: &Handle,
    ) -> Result<Self, DevError> {
        let relay_server = DevRelay::start(folder, handle).await?;
        let relay = RelayAddress::parse(&relay_server.url())?;
        let ledger = folder.join("simulated-wallet.jsonl");
        let network = {
            let env = env.clone();
            tokio::task::spawn_blocking(move || SimulatedNetwork::open(&ledger, env))
                .await
                .map_err(std::io::Error::other)??
        };
        let wallet = network.wallet("service", SERVICE_BALANCE)?;
        let person = network.wallet("person", PERSON_BALANCE)?;
        let connection = NwcConnection::with_secret(
            secrets.person_secret.clone(),
            Permission::Spend { budget: None },
        )?;
        let options = NwcServiceOptions {
            key: secrets.person_wallet_key.clone(),
            relays: vec![relay.clone()],
            ciphers: vec![Cipher::Nip44, Cipher::Nip04],
        };
        let sources: Vec<portal_core::rates::DynRateSource> = vec![Arc::new(rates::simulated()?)];
        let rates = Arc::new(RateDesk::new(env.clone(), sources, RateOptions::default()));
        #[cfg(feature = "dev-mint")]
        let mint = {
            let mints = network.wallet("mint", Millisats::new(0))?;
            mint::start(folder, &secrets.token, mints, env.clone()).await?
        };
        let connect = crate::start::connector(vec![relay.clone()], env.clone());
        let person_service = NwcService::start(
            person,
            std::slice::from_ref(&connection),
            options,
            connect,
            env,
            handle,
        )?;
        let person = person_service.uri_for(&connection).to_text();
        Ok(Self {
            relay,
            wallet,
            rates,
            person,
            #[cfg(feature = "dev-mint")]
            mint,
            relay_server,
            person_service,
        })
    }

    /// Ends all of it.
    pub async fn shutdown(self) {
        let rest = async {
            self.person_service.shutdown().await;
            self.wallet.shutdown().await;
            self.relay_server.shutdown().await;
        };
        #[cfg(feature = "dev-mint")]
        tokio::join!(self.mint.mint.stop(), rest);
        #[cfg(not(feature = "dev-mint"))]
        rest.await;
    }
}
