//! How the scheduler asks people for money: with an ordinary payment request.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

use super::super::call::Beside;
use super::super::subscriptions::close_message;
use super::super::{Call, NewSinglePayment, Payments, Recipient};
use crate::driver::{EventSink, Hub, Node, NodeError, Opening};
use crate::error::Error;
use crate::event::{PortalEvent, StreamEvent};
use crate::primitives::StreamId;
use crate::storage::{Write, commit};
use crate::subscriptions::{ChargeOrder, Goodbye, News, Till, TillError};
use crate::wallet::WalletError;

/// What the scheduler's task hears.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something that a subscription waits for moved.
    News {
        /// The subscription.
        schedule: StreamId,
        /// Where.
        source: StreamId,
        /// What.
        news: News,
    },
    /// A person closed a subscription.
    Close(Arc<StreamEvent>),
}

/// Asks people through a node. It does not keep the node alive.
pub struct NodeTill {
    pub(super) node: Weak<Node>,
    pub(super) heard: UnboundedSender<Heard>,
}

impl NodeTill {
    fn node(&self) -> Result<Arc<Node>, TillError> {
        let stopping = || TillError::Unavailable { reason: "the service is stopping".to_owned() };
        self.node.upgrade().ok_or_else(stopping)
    }

    /// Who listens for this subscription.
    pub(super) fn ear(&self, schedule: StreamId) -> Arc<dyn EventSink> {
        Arc::new(Ear { schedule, heard: self.heard.clone() })
    }

    /// Who listens for closes.
    pub(super) fn ear_for_closes(&self) -> Arc<dyn EventSink> {
        Arc::new(EarForCloses(self.heard.clone()))
    }
}

#[async_trait]
impl Till for NodeTill {
    async fn charge(&self, order: ChargeOrder, writes: Vec<Write>) -> Result<(), TillError> {
        let node = self.node()?;
        let attach = Some(self.ear(order.schedule));
        let recipient = Recipient { main_key: order.owner, subkeys: order.subkeys };
        let new = NewSinglePayment {
            amount: order.amount,
            currency: order.currency,
            description: order.description,
            auth_token: order.auth_token,
            subscription_id: Some(order.subscription_id),
            request_id: Some(order.request_id),
        };
        let beside = Beside { stream: Some(order.payment), writes };
        let call = Call { attach, ..Call::default() };
        Payments(&node).request_beside(recipient, new, call, beside).await.map_err(refused)?;
        Ok(())
    }

    async fn goodbye(&self, to: Goodbye, writes: Vec<Write>) -> Result<StreamId, TillError> {
        let node = self.node()?;
        let recipient = Recipient { main_key: to.owner, subkeys: to.subkeys };
        let message = close_message(&node, recipient, to.subscription_id).await.map_err(refused)?;
        let opening = Opening { beside: writes, ..Opening::of(message) };
        node.open(opening).await.map_err(|error| refused(error.into()))
    }

    async fn save(&self, writes: Vec<Write>) -> Result<(), TillError> {
        let node = self.node()?;
        let events = Hub::events_in(&writes);
        commit(node.store(), writes).await?;
        node.hub().deliver_all(&events);
        Ok(())
    }
}

/// Whether it is our trouble, the order's, or the store's.
fn refused(error: Error) -> TillError {
    match error {
        Error::Storage(error) | Error::Node(NodeError::Storage(error)) => error.into(),
        Error::Wallet(WalletError::Timeout | WalletError::Unreachable | WalletError::ShutDown)
        | Error::Node(NodeError::Stopped)
        | Error::NotConfigured { .. } => TillError::Unavailable { reason: error.to_string() },
        other => TillError::Refused { reason: other.to_string() },
    }
}

struct Ear {
    schedule: StreamId,
    heard: UnboundedSender<Heard>,
}

impl Ear {
    fn tell(&self, source: StreamId, news: News) -> bool {
        self.heard.send(Heard::News { schedule: self.schedule, source, news }).is_ok()
    }
}

impl EventSink for Ear {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        News::of(&event.body).is_none_or(|news| self.tell(event.stream, news))
    }

    fn ended(&self, stream: StreamId) {
        // The task ends only with the node.
        self.tell(stream, News::Ended);
    }
}

struct EarForCloses(UnboundedSender<Heard>);

impl EventSink for EarForCloses {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        match &event.body {
            PortalEvent::ClosedRecurringPayment { .. } => {
                self.0.send(Heard::Close(event.clone())).is_ok()
            }
            _ => true,
        }
    }
}
