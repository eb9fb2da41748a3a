//! How old the library's books are, and whether its servers can be reached.
//!
//! The library says neither: its synchronisation succeeds with every operator dead, and it opens
//! without a network. So before each synchronisation the operators are asked something that they
//! must answer; only then do the books count as up to date.
//!
//! ```text
//!             probe answered                    probe failed
//!   Unknown ────────────────▶ Reachable ────────────────────▶ Unreachable
//!      └──────probe failed──────────────────▶  (Disconnected)      │
//!                                ▲       probe answered            │
//!                                └──────────(Reconnected)──────────┘
//! ```

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portal_core::env::Env;
use portal_core::primitives::Timestamp;
use portal_core::wallet::{EventSource, WalletError, WalletEvent};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::api::Sdk;
use crate::config::Limits;

/// Pause after the first failed probe; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When the books were last known to be right.
pub(crate) struct Freshness {
    /// Held while the books are brought up to date, so that those who come in between share it.
    turn: tokio::sync::Mutex<Last>,
    reachable: Mutex<Option<bool>>,
    /// Wakes the watch when somebody found that the operators are gone.
    lost: Notify,
    limits: Limits,
}

#[derive(Clone, Copy, Default)]
struct Last {
    /// When the last try began: what happened later need not be in it.
    begun: Option<Instant>,
    /// The outcome of that try: since when the books are right, or why not.
    at: Option<Timestamp>,
}

impl Freshness {
    pub(crate) fn new(limits: Limits) -> Self {
        let turn = tokio::sync::Mutex::new(Last::default());
        Self { turn, reachable: Mutex::new(None), lost: Notify::new(), limits }
    }

    /// Brings the books up to date unless that was just tried; since when they are right.
    pub(crate) async fn refresh(
        &self,
        sdk: &Sdk,
        env: &Env,
        events: &EventSource,
    ) -> Result<Timestamp, WalletError> {
        let asked = Instant::now();
        let mut last = self.turn.lock().await;
        let recent = last.begun.is_some_and(|begun| begun + self.limits.fresh > asked);
        if !recent {
            let begun = Some(Instant::now());
            let at = self.bring_up_to_date(sdk, env).await;
            *last = Last { begun, at };
            self.tell(at.is_some(), events);
        }
        last.at.ok_or(WalletError::Unreachable)
    }

    /// Whether the operators answered when they were last asked.
    pub(crate) fn is_reachable(&self) -> Option<bool> {
        *self.reachable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn bring_up_to_date(&self, sdk: &Sdk, env: &Env) -> Option<Timestamp> {
        let begin = env.now();
        match tokio::time::timeout(self.limits.probe, sdk.probe()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "the operators of Spark do not answer");
                return None;
            }
            Err(_) => return None,
        }
        match tokio::time::timeout(self.limits.sync, sdk.sync()).await {
            Ok(Ok(())) => Some(begin),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the books of the wallet are not up to date");
                None
            }
            Err(_) => None,
        }
    }

    /// Asks the operators at intervals whether they are there; more often while they are not.
    pub(crate) async fn watch(&self, sdk: &Sdk, env: &Env, events: &EventSource) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.refresh(sdk, env, events).await.is_ok() {
                pause = FIRST_PAUSE;
                let rest = self.limits.health.saturating_add(env.jitter(self.limits.health / 4));
                if tokio::time::timeout(rest, self.lost.notified()).await.is_err() {
                    continue;
                }
            }
            tokio::time::sleep(pause.saturating_add(env.jitter(pause / 4))).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    fn tell(&self, reached: bool, events: &EventSource) {
        let mut reachable = self.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reachable.replace(reached);
        match (before, reached) {
            (Some(false), true) => events.send(WalletEvent::Reconnected),
            (Some(true) | None, false) => {
                self.lost.notify_one();
                events.send(WalletEvent::Disconnected);
            }
            (Some(true) | None, true) | (Some(false), false) => {}
        }
    }
}
