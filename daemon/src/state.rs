//! What every connection of the daemon shares.

use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::service::Service;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Gate;
use crate::config::{LightningAddressConfig, LimitsConfig};
use crate::transport::lightning_address::LightningAddress;
use crate::transport::readiness::Readiness;

/// What every connection of the daemon shares; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// What [`AppState`] points to.
pub struct Shared {
    /// The service.
    pub service: Service,
    /// Time and randomness.
    pub env: Env,
    /// Who may come in.
    pub gate: Gate,
    /// What a connection may cost.
    pub limits: LimitsConfig,
    /// Why there is no wallet, when there is none.
    pub wallet_missing: Option<&'static str>,
    /// The names of the service at `/.well-known/nostr.json`.
    pub names: Vec<String>,
    /// Names that anybody can pay to.
    pub lightning_address: Option<LightningAddress>,
    /// The ticket wallet.
    #[cfg(feature = "cashu")]
    pub tickets: Option<portal_core::cashu::TicketWallet>,
    /// How the service was when someone last asked.
    pub readiness: Readiness,
    /// Cancelled when the daemon begins to stop.
    pub stopping: CancellationToken,
    /// Every task of a connection or a command.
    pub tasks: TaskTracker,
}

/// What the daemon is made of.
pub struct Parts {
    /// The service.
    pub service: Service,
    /// Time and randomness.
    pub env: Env,
    /// The one token.
    pub token: Secret<String>,
    /// What a connection may cost.
    pub limits: LimitsConfig,
    /// Why there is no wallet, when there is none.
    pub wallet_missing: Option<&'static str>,
    /// The names of the service at `/.well-known/nostr.json`.
    pub names: Vec<String>,
    /// Names that anybody can pay to.
    pub lightning_address: Option<LightningAddressConfig>,
    /// The ticket wallet.
    #[cfg(feature = "cashu")]
    pub tickets: Option<portal_core::cashu::TicketWallet>,
}

impl AppState {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            service,
            env,
            token,
            limits,
            wallet_missing,
            names,
            lightning_address,
            #[cfg(feature = "cashu")]
            tickets,
        } = parts;
        Self(Arc::new(Shared {
            service,
            gate: Gate::new(token, &limits, env.clone()),
            env,
            limits,
            wallet_missing,
            names,
            lightning_address: lightning_address.map(LightningAddress::new),
            #[cfg(feature = "cashu")]
            tickets,
            readiness: Readiness::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
