//! Lightning without Lightning, for development and tests of apps.

use std::path::PathBuf;
use std::sync::Arc;

use portal_core::env::Env;
use portal_core::payments::pay;
use portal_core::primitives::{ErrorCode as Code, Millisats};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::simulated::{self, NetworkError};

use crate::error::PortalError;
use crate::types::payment::PaidInvoice;
use crate::wallet::Wallet;
use crate::{limits, runtime};

/// Wallets that pay each other over a ledger of their own. Invoices are real, on regtest; no money
/// moves.
#[derive(uniffi::Object)]
pub struct SimulatedNetwork {
    network: simulated::SimulatedNetwork,
    journal: Arc<MemoryStore>,
}

impl SimulatedNetwork {
    fn new(network: simulated::SimulatedNetwork) -> Arc<Self> {
        Arc::new(Self { network, journal: Arc::new(MemoryStore::new()) })
    }
}

#[uniffi::export(async_runtime = "tokio")]
impl SimulatedNetwork {
    /// A network that ends with the process.
    #[uniffi::constructor]
    #[must_use]
    pub fn in_memory() -> Arc<Self> {
        Self::new(simulated::SimulatedNetwork::new(Env::system()))
    }

    /// A network whose ledger is in a file, made when it is missing. One process at a time.
    #[uniffi::constructor]
    pub fn open(path: String) -> Result<Arc<Self>, PortalError> {
        limits::text("the path of the ledger", &path, limits::PATH)?;
        let path = PathBuf::from(path);
        let network = simulated::SimulatedNetwork::open(&path, Env::system()).map_err(failed)?;
        Ok(Self::new(network))
    }

    /// The wallet of this name; a new one begins with this balance.
    pub fn wallet(&self, name: String, initial_msat: u64) -> Result<Arc<Wallet>, PortalError> {
        limits::text("the name of the wallet", &name, limits::NAME)?;
        limits::number("the balance", initial_msat, 0, limits::MILLISATS)?;
        let wallet = self.network.wallet(&name, Millisats::new(initial_msat)).map_err(failed)?;
        Ok(Arc::new(Wallet::new(wallet)))
    }

    /// Pays an invoice of the network out of the wallet of this name. Paying again gives the same
    /// answer and moves nothing. Goes on when the caller gives up.
    pub async fn pay_invoice(
        &self,
        payer: String,
        invoice: String,
    ) -> Result<PaidInvoice, PortalError> {
        limits::text("the name of the wallet", &payer, limits::NAME)?;
        limits::text("the invoice", &invoice, limits::INVOICE)?;
        let (network, journal) = (self.network.clone(), self.journal.clone());
        runtime::finish(async move {
            let Some(_) = network.balance(&payer) else {
                return Err(PortalError::new(Code::NotFound, "there is no wallet of this name"));
            };
            let wallet = network.wallet(&payer, Millisats::new(0)).map_err(failed)?;
            let paid = pay::pay(&Env::system(), &*journal, &*wallet, &invoice).await;
            Ok(paid.map_err(portal_core::Error::from)?.into())
        })
        .await
    }
}

fn failed(error: NetworkError) -> PortalError {
    let code = match error {
        NetworkError::File(_) => Code::StorageFailed,
        NetworkError::Misfit(_) => Code::InvalidAmount,
        NetworkError::NotUnderWay => Code::NotFound,
    };
    PortalError::new(code, error.to_string())
}
