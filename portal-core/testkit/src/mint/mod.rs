//! A Cashu mint that nobody here wrote: cdk's own, on loopback, with quotes that are paid at once
//! and a door that can be made to fail.
//!
//! It stands in tests for any mint of the field. Units of tickets can be burned by the method
//! `portal`, like at Portal's own mint.

mod backend;
mod faults;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, serve};
use cdk::Mint;
use cdk::mint::{MintBuilder, MintMeltLimits, UnitConfig};
use cdk::nuts::nut17::SupportedMethods;
use cdk::nuts::{CurrencyUnit, PaymentMethod};
use cdk_sqlite::MintSqliteDatabase;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use faults::{Fault, Faults};

/// A unit of a [`StockMint`].
#[derive(Clone, Debug)]
pub struct StockUnit {
    /// Its name.
    pub name: String,
    /// The amounts it has keys for, in ascending order.
    pub amounts: Vec<u64>,
    /// The fee of a thousand inputs.
    pub fee_ppk: u64,
    /// What `/v1/unit/{unit}` says.
    pub info: Value,
}

impl StockUnit {
    /// Tickets: each is one proof.
    #[must_use]
    pub fn tickets(name: &str) -> Self {
        let info = json!({"title": name.to_uppercase(), "show_individually": true,
            "kind": {"Event": {"date": "2030-12-31", "location": "Everywhere"}}});
        Self { name: name.to_owned(), amounts: vec![1], fee_ppk: 0, info }
    }

    /// A unit of powers of two.
    #[must_use]
    pub fn fungible(name: &str) -> Self {
        let amounts = (0..32).map(|power| 1_u64 << power).collect();
        Self { name: name.to_owned(), amounts, fee_ppk: 0, info: Value::Null }
    }

    /// With a fee for a thousand inputs.
    #[must_use]
    pub fn with_fee(self, fee_ppk: u64) -> Self {
        Self { fee_ppk, ..self }
    }

    /// With other looks.
    #[must_use]
    pub fn with_info(self, info: Value) -> Self {
        Self { info, ..self }
    }
}

/// How to start a [`StockMint`].
#[derive(Clone, Debug)]
pub struct StockMintOptions {
    /// Its units.
    pub units: Vec<StockUnit>,
    /// Its database; in memory when there is none.
    pub path: Option<PathBuf>,
    /// Its seed: the same gives the same keys.
    pub seed: [u8; 32],
    /// What minting needs; `None`: nothing.
    pub token: Option<String>,
    /// Keysets in the newer form.
    pub newer_keysets: bool,
    /// Whether quotes are paid at once.
    pub paid: bool,
    /// Whether it says that it has a socket (NUT-17); it has one in any case.
    pub sockets: bool,
}

impl Default for StockMintOptions {
    fn default() -> Self {
        Self {
            units: vec![StockUnit::tickets("vip"), StockUnit::fungible("sat")],
            path: None,
            seed: [7; 32],
            token: None,
            newer_keysets: true,
            paid: true,
            sockets: false,
        }
    }
}

/// Why there is no mint.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The mint refuses.
    #[error("the mint cannot be built")]
    Mint(#[from] cdk::Error),
    /// Its database.
    #[error("the mint's database cannot be opened")]
    Database(#[from] cdk::cdk_database::Error),
    /// The port.
    #[error("no port can be opened")]
    Io(#[from] std::io::Error),
}

/// A mint on loopback; it ends when it is dropped.
pub struct StockMint {
    mint: Arc<Mint>,
    address: SocketAddr,
    faults: Faults,
    router: Router,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
    paid: Arc<std::sync::atomic::AtomicBool>,
}

struct Door {
    token: Option<String>,
    units: HashMap<String, Value>,
    faults: Faults,
}

impl StockMint {
    /// Starts a mint on a port that the kernel chooses.
    ///
    /// # Errors
    /// When it cannot be built, or no port can be opened.
    pub async fn start(options: StockMintOptions) -> Result<Self, MintError> {
        let database = match &options.path {
            Some(path) => Arc::new(MintSqliteDatabase::new(path).await?),
            None => Arc::new(cdk_sqlite::mint::memory::empty().await?),
        };
        let paid = Arc::new(std::sync::atomic::AtomicBool::new(options.paid));
        let mut builder = MintBuilder::new(database.clone())
            .with_name("stock".to_owned())
            .with_description("a mint for tests".to_owned())
            .with_limits(1000, 1000)
            .with_keyset_v2(Some(options.newer_keysets));
        for unit in &options.units {
            let currency: CurrencyUnit =
                unit.name.parse().unwrap_or_else(|_| CurrencyUnit::custom(&unit.name));
            let config = UnitConfig { amounts: unit.amounts.clone(), input_fee_ppk: unit.fee_ppk };
            builder.configure_unit(currency.clone(), config)?;
            if options.sockets {
                let offered = SupportedMethods::default_bolt11(currency.clone());
                builder = builder.with_supported_websockets(offered);
            }
            let backend = Arc::new(backend::AtOnce::new(paid.clone()));
            for method in [PaymentMethod::BOLT11, PaymentMethod::Custom("portal".into())] {
                let limits = MintMeltLimits::new(1, 1_000_000);
                builder
                    .add_payment_processor(currency.clone(), method, limits, backend.clone())
                    .await?;
            }
        }
        let mint = Arc::new(builder.build_with_seed(database, &options.seed).await?);
        mint.start().await?;
        let methods = vec!["bolt11".to_owned(), "portal".to_owned()];
        let stock = cdk_axum::create_mint_router(mint.clone(), methods)
            .await
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let faults = Faults::default();
        let door = Arc::new(Door {
            token: options.token,
            units: options.units.into_iter().map(|unit| (unit.name, unit.info)).collect(),
            faults: faults.clone(),
        });
        let router = Router::new()
            .route("/v1/unit/{unit}", get(unit_info))
            .with_state(door.clone())
            .fallback_service(stock)
            .layer(middleware::from_fn_with_state(door, enter));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, _) = watch::channel(false);
        let mut started = Self { mint, address, faults, router, stop, task: None, paid };
        started.listen(listener);
        Ok(started)
    }

    fn listen(&mut self, listener: TcpListener) {
        let router = self.router.clone();
        let mut stopped = self.stop.subscribe();
        self.task = Some(tokio::spawn(async move {
            let until = async move {
                // Also when the mint was dropped.
                drop(stopped.wait_for(|stop| *stop).await);
            };
            if let Err(error) = serve(listener, router).with_graceful_shutdown(until).await {
                tracing::warn!(%error, "the mint does not listen any more");
            }
        }));
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The mint itself.
    #[must_use]
    pub fn mint(&self) -> &Arc<Mint> {
        &self.mint
    }

    /// What is to go wrong at its door.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Whether quotes are paid from now on.
    pub fn pay(&self, paid: bool) {
        self.paid.store(paid, std::sync::atomic::Ordering::SeqCst);
    }

    /// New keys for a unit; the old ones are good for spending only.
    ///
    /// # Errors
    /// When the mint refuses.
    pub async fn rotate(
        &self,
        unit: &str,
        amounts: Vec<u64>,
        final_expiry: Option<u64>,
    ) -> Result<(), MintError> {
        let currency: CurrencyUnit = unit.parse().unwrap_or_else(|_| CurrencyUnit::custom(unit));
        self.mint.rotate_keyset(currency, amounts, 0, true, final_expiry).await?;
        Ok(())
    }

    /// Tells the mint that every quote is paid, as a Lightning node does; returns how many there
    /// are.
    ///
    /// # Errors
    /// When the mint does not believe it.
    pub async fn pay_open_quotes(&self) -> Result<usize, MintError> {
        let quotes = self.mint.mint_quotes().await?;
        for quote in &quotes {
            let Some(amount) = quote.amount.clone() else { continue };
            let response = cdk_common::payment::WaitPaymentResponse {
                payment_identifier: quote.request_lookup_id.clone(),
                payment_amount: amount,
                payment_id: quote.request_lookup_id.to_string(),
            };
            self.mint.pay_mint_quote_for_request_id(response).await?;
        }
        Ok(quotes.len())
    }

    /// Stops the mint behind its door and starts it again, as its operator would: at its start it
    /// finishes or undoes what a connection that was cut has left half done.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub async fn restart(&self) -> Result<(), MintError> {
        self.mint.stop().await?;
        self.mint.start().await?;
        Ok(())
    }

    /// What it has issued of a unit and not got back: what all wallets together must have.
    ///
    /// # Errors
    /// When the mint cannot say.
    pub async fn outstanding(&self, unit: &str) -> Result<u64, MintError> {
        let issued = self.mint.total_issued().await?;
        let redeemed = self.mint.total_redeemed().await?;
        let keysets = self.mint.keysets().keysets;
        let of_unit = keysets.iter().filter(|keyset| keyset.unit.to_string() == unit);
        let mut sum: u64 = 0;
        for keyset in of_unit {
            let get = |of: &HashMap<cdk::nuts::Id, cdk::Amount>| {
                of.get(&keyset.id).map_or(0, |amount| u64::from(*amount))
            };
            sum = sum.saturating_add(get(&issued)).saturating_sub(get(&redeemed));
        }
        Ok(sum)
    }
}

impl Drop for StockMint {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn unit_info(State(door): State<Arc<Door>>, Path(unit): Path<String>) -> Response {
    match door.units.get(&unit).filter(|info| !info.is_null()) {
        Some(info) => Json(info.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The token, then what is to go wrong.
async fn enter(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if let Some(token) = &door.token
        && path.starts_with("/v1/mint/")
    {
        let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if bearer != Some(token) || header("clear-auth") != Some(token) {
            let body = json!({"code": 30001, "detail": "Clear auth required"});
            return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
        }
    }
    door.faults.pass(&path, request, next).await
}
