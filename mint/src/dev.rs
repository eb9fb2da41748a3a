//! A mint without any set-up, on loopback: for `--dev`, tests and the demo.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::wallet::LightningWallet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigError, Environment};
use crate::start::{Mint, Setup, StartError};

/// The units of a mint for trying out: tickets shown one by one, tickets that are a balance.
const CONFIG: &str = r##"
[info]
listen_host = "127.0.0.1"
listen_port = 0

[mint_info]
name = "Portal development mint"
description = "Play money and play tickets"

[portal_wallet.supported_units]
vip = 32
general = 32
drinks = 32

[portal_wallet.unit_info.vip]
title = "VIP Pass"
description = "Full access"
show_individually = true
front_card_background = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 320 200'%3E%3Crect width='320' height='200' rx='16' fill='%23512da8'/%3E%3Ctext x='24' y='176' font-family='sans-serif' font-size='40' fill='%23ffd54f'%3EVIP%3C/text%3E%3C/svg%3E"

[portal_wallet.unit_info.vip.kind.Event]
date = "2030-12-31"
location = "Everywhere"

[portal_wallet.unit_info.general]
title = "General Admission"
show_individually = true

[portal_wallet.unit_info.general.kind.Event]
date = "2030-12-31"
location = "Everywhere"

[portal_wallet.unit_info.drinks]
title = "Drinks"
description = "Good at the bar"
"##;

/// What is added when there is a wallet.
const SAT: &str = r#"
[portal_wallet.unit_info.sat]
title = "Satoshi"
"#;

const RULES: &str = r"
enabled_mint = true
enabled_melt = true
enabled_swap = false
enabled_restore = false
enabled_check_proof_state = false
enabled_check_mint_quote = false
enabled_check_melt_quote = false
";

/// How to start a mint for trying out.
#[derive(Clone)]
pub struct Dev {
    /// Where its files are; the caller's to remove.
    pub folder: PathBuf,
    /// The token that mints and burns; made up when there is none.
    pub token: Option<Secret<String>>,
    /// With a wallet there is a `sat` that is paid through it, for everybody who pays.
    pub wallet: Option<Arc<dyn LightningWallet>>,
    /// More of a configuration: tables that are not in this one, in TOML.
    pub extra: String,
    /// Clock and randomness.
    pub env: Env,
}

/// A mint for trying out.
pub struct DevMint {
    /// The mint.
    pub mint: Mint,
    /// The token that mints and burns.
    pub token: Secret<String>,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The configuration, with what was added to it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The mint.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No port on loopback.
    #[error("there is no free port on loopback")]
    Port(#[source] std::io::Error),
}

impl Dev {
    /// A mint with its files in this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, token: None, wallet: None, extra: String::new(), env: Env::system() }
    }
}

/// Starts a mint on a free port of loopback.
///
/// Its units are `vip` and `general` (shown one by one), `drinks` (a balance) and, with a wallet,
/// `sat`. Minting and burning tickets needs the token, everything else is open.
///
/// # Errors
/// When the folder or the port cannot be used.
pub async fn dev(dev: Dev, stopping: CancellationToken) -> Result<DevMint, DevError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(DevError::Port)?;
    dev_on(dev, listener, stopping).await
}

/// The same on a port that is open already: tokens carry the address of their mint, so a mint
/// that comes back has to be where it was.
///
/// # Errors
/// When the folder cannot be used.
pub async fn dev_on(
    dev: Dev,
    listener: TcpListener,
    stopping: CancellationToken,
) -> Result<DevMint, DevError> {
    let Dev { folder, token, wallet, extra, env } = dev;
    let token = token.unwrap_or_else(|| Secret::new(env.alphanumeric(32)));
    let sat = if wallet.is_some() { SAT } else { "" };
    let text = format!("{CONFIG}{sat}\n[auth.method.Static]{RULES}\n{extra}");
    let mut environment = Environment::new();
    environment.insert("CDK_MINTD_AUTH_STATIC_TOKEN".into(), token.expose().clone());
    if wallet.is_some() {
        environment.insert(
            "CDK_MINTD_PORTAL_WALLET_SUPPORTED_UNITS".into(),
            "vip:32,general:32,drinks:32,sat:32".into(),
        );
    }
    let text =
        if wallet.is_some() { format!("{text}\n[lightning]\nunits = [\"sat\"]\n") } else { text };
    let config = config::load(Some(&text), &environment)?.config;
    let mint = Mint::start(Setup { config, folder, wallet, env }, listener, stopping).await?;
    Ok(DevMint { mint, token })
}
