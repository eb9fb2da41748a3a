//! A mint of stock cdk, to compare ours with: its builder, its router, axum's server, and nothing
//! around them. Its backend is ours, since every mint needs one; it is asked only for quotes.
//!
//! `portal-bench stock-mint FOLDER [POSTGRES]` prints its address and serves until it is killed.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cdk::mint::{MintBuilder, MintMeltLimits, UnitConfig};
use cdk::nuts::{CurrencyUnit, PaymentMethod};
use cdk_common::database::DynMintDatabase;
use portal_core::env::Env;
use portal_mint::DynKeys;
use portal_mint::backend::tickets::TicketBackend;

/// Serves.
pub fn run(arguments: &[String]) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(arguments)).map(|()| true)
}

async fn serve(arguments: &[String]) -> Result<()> {
    let folder = arguments.first().context("a folder")?;
    let (database, keys) = open(folder, arguments.get(1)).await?;
    let unit = CurrencyUnit::custom("vip");
    let mut builder = MintBuilder::new(database);
    builder.configure_unit(unit.clone(), UnitConfig { amounts: vec![1], input_fee_ppk: 0 })?;
    let backend = Arc::new(TicketBackend::new(Env::system()));
    let limits = MintMeltLimits::new(1, 1_000_000);
    let method = PaymentMethod::Custom("portal".to_owned());
    builder.add_payment_processor(unit, method, limits, backend).await?;
    let mint = Arc::new(builder.build_with_seed(keys, &[7; 64]).await?);
    mint.start().await?;
    let methods = vec!["portal".to_owned()];
    let router = cdk_axum::create_mint_router(Arc::clone(&mint), methods).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{{\"url\":\"http://{}\"}}", listener.local_addr()?)?;
    out.flush()?;
    drop(out);
    Ok(axum::serve(listener, router).await?)
}

async fn open(folder: &str, postgres: Option<&String>) -> Result<(DynMintDatabase, DynKeys)> {
    if let Some(connection) = postgres {
        let database = Arc::new(cdk_postgres::MintPgDatabase::new(connection.as_str()).await?);
        return Ok((database.clone(), database));
    }
    let path = std::path::Path::new(folder).join("stock.db");
    let database = Arc::new(cdk_sqlite::MintSqliteDatabase::new(&path).await?);
    Ok((database.clone(), database))
}
