//! Lightning without Lightning, for development and tests of apps.

use std::path::PathBuf;
use std::sync::Arc;

use napi::Result;
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use portal_core::env::Env;
use portal_core::payments::pay;
use portal_core::primitives::{ErrorCode, Millisats};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::simulated::{self, NetworkError};

use crate::error::{error, failed};
use crate::limits;
use crate::types::payment::PaidInvoice;
use crate::wallet::Wallet;

/// Wallets that pay each other over a ledger of their own. Invoices are real, on regtest; no money
/// moves.
#[napi]
pub struct SimulatedNetwork {
    network: simulated::SimulatedNetwork,
    journal: Arc<MemoryStore>,
}

#[napi]
impl SimulatedNetwork {
    /// A network that ends with the process.
    #[napi(factory)]
    #[must_use]
    pub fn in_memory() -> Self {
        let network = simulated::SimulatedNetwork::new(Env::system());
        Self { network, journal: Arc::new(MemoryStore::new()) }
    }

    /// A network whose ledger is in a file, made when it is missing. One process at a time.
    #[napi(factory)]
    pub fn open(path: String) -> Result<Self> {
        limits::text("the path of the ledger", &path, limits::PATH)?;
        let path = PathBuf::from(path);
        let network = simulated::SimulatedNetwork::open(&path, Env::system()).map_err(unusable)?;
        Ok(Self { network, journal: Arc::new(MemoryStore::new()) })
    }

    /// The wallet of this name; a new one begins with this balance.
    #[napi]
    pub fn wallet(&self, name: String, initial_msat: BigInt) -> Result<Wallet> {
        limits::text("the name of the wallet", &name, limits::NAME)?;
        let initial = limits::amount("the balance", &initial_msat, 0)?;
        let wallet = self.network.wallet(&name, Millisats::new(initial)).map_err(unusable)?;
        Ok(Wallet::new(wallet))
    }

    /// Pays an invoice of the network out of the wallet of this name. Paying again gives the same
    /// answer and moves nothing.
    #[napi]
    pub async fn pay_invoice(&self, payer: String, invoice: String) -> Result<PaidInvoice> {
        limits::text("the name of the wallet", &payer, limits::NAME)?;
        limits::text("the invoice", &invoice, limits::INVOICE)?;
        if self.network.balance(&payer).is_none() {
            return Err(error(ErrorCode::NotFound, "there is no wallet of this name"));
        }
        let wallet = self.network.wallet(&payer, Millisats::new(0)).map_err(unusable)?;
        let paid = pay::pay(&Env::system(), &*self.journal, &*wallet, &invoice).await;
        Ok(paid.map_err(failed)?.into())
    }
}

fn unusable(cause: NetworkError) -> napi::Error {
    let code = match cause {
        NetworkError::File(_) => ErrorCode::StorageFailed,
        NetworkError::Misfit(_) => ErrorCode::InvalidAmount,
        NetworkError::NotUnderWay => ErrorCode::NotFound,
    };
    error(code, &cause.to_string())
}
