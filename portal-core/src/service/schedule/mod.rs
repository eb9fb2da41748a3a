//! Subscriptions that are charged for the merchant, as the service runs them: the task, the clock,
//! the till. What is charged when is decided in [`crate::subscriptions`].
//!
//! Off unless [`ServiceBuilder::charge_subscriptions`] turns it on. Subscriptions are kept while it
//! is off, and closes by people still end them when it is on again.
//!
//! [`ServiceBuilder::charge_subscriptions`]: super::ServiceBuilder::charge_subscriptions

mod api;
mod task;
mod till;

use std::sync::{Arc, Weak};
use std::time::Duration;

use nostr::PublicKey;
use tokio::sync::{Notify, mpsc};

pub use api::{AgreedSubscription, SchedulePlan};
pub use till::NodeTill;

use crate::driver::Node;
use crate::env::Env;
use crate::error::Error;
use crate::event::SubscriptionEnd;
use crate::subscriptions::{Policy, Refused, Scheduler, SchedulerError, Subscription, TillError};
use till::Heard;

/// How long a jump of the clock must last before it is believed.
const SETTLE: Duration = Duration::from_secs(600);

/// How subscriptions are charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeOptions {
    /// What happens when things do not go as agreed, unless a subscription says otherwise.
    pub policy: Policy,
    /// How long a jump of the clock by more than an hour ahead must last before it is believed;
    /// nothing is charged meanwhile. Zero believes every clock.
    pub settle: Duration,
}

impl Default for ChargeOptions {
    fn default() -> Self {
        Self { policy: Policy::default(), settle: SETTLE }
    }
}

/// The schedule of one service.
pub(super) struct Schedule {
    shared: Arc<Shared>,
    policy: Policy,
    running: bool,
}

/// What the task and the calls share.
struct Shared {
    env: Env,
    node: Weak<Node>,
    scheduler: Scheduler<NodeTill>,
    wake: Notify,
    settle: Duration,
}

impl Shared {
    fn node(&self) -> Option<Arc<Node>> {
        self.node.upgrade()
    }
}

impl Schedule {
    /// The schedule of this node; charges when there are options.
    pub(super) fn start(node: &Arc<Node>, options: Option<ChargeOptions>) -> Self {
        let (sender, heard) = mpsc::unbounded_channel::<Heard>();
        let running = options.is_some();
        let ChargeOptions { policy, settle } = options.unwrap_or_default();
        let till = NodeTill { node: Arc::downgrade(node), heard: sender };
        let env = node.env().clone();
        let shared = Arc::new(Shared {
            scheduler: Scheduler::new(env.clone(), node.shared_store(), till),
            env,
            node: Arc::downgrade(node),
            wake: Notify::new(),
            settle,
        });
        if running {
            let tasks = node.tasks().clone();
            node.tasks().spawn(task::run(shared.clone(), heard, tasks));
        }
        Self { shared, policy, running }
    }

    /// Refuses when nothing is charged here.
    fn running(&self) -> Result<(), Error> {
        if self.running {
            return Ok(());
        }
        Err(Error::NotConfigured { what: "charging subscriptions by a schedule" })
    }

    /// The merchant closes a subscription by the name that the person's wallet gave it: what is
    /// charged for us ends too, also while nothing is charged.
    pub(super) async fn cancel_named(
        &self,
        owner: &PublicKey,
        subscription_id: &str,
    ) -> Result<(), Error> {
        let scheduler = &self.shared.scheduler;
        for record in scheduler.store().schedules_named(subscription_id).await? {
            if !Subscription::read(&record)?.terms.is_of(owner) {
                continue;
            }
            let now = self.shared.env.now();
            let why = SubscriptionEnd::ByService;
            match scheduler.cancel(record.stream, why, None, true, now).await {
                Ok(_) | Err(SchedulerError::Refused(Refused::Over) | SchedulerError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl From<SchedulerError> for Error {
    fn from(error: SchedulerError) -> Self {
        match error {
            SchedulerError::Storage(error) | SchedulerError::Till(TillError::Storage(error)) => {
                Self::Storage(error)
            }
            other => Self::Subscription(other),
        }
    }
}
