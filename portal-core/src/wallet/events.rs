//! One source of wallet events, any number of listeners, none of which can hold up the others.
//!
//! A listener that lags behind loses events and is told so with [`WalletEvent::Reconnected`]:
//! whoever hears that asks the wallet instead of trusting what it heard.

use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{WalletEvent, WalletPayment};

/// Events a listener may lag behind before it loses some.
const CAPACITY: usize = 256;

/// The source of wallet events.
pub type EventSource = Source<WalletEvent>;

/// What a listener hears in the place of what it lost by lagging behind, if anything.
pub trait Lag: Sized {
    /// Says it.
    fn lagged() -> Option<Self>;
}

impl Lag for WalletEvent {
    fn lagged() -> Option<Self> {
        Some(Self::Reconnected)
    }
}

impl Lag for WalletPayment {
    fn lagged() -> Option<Self> {
        None
    }
}

/// A source of anything.
pub struct Source<T>(Mutex<Option<broadcast::Sender<T>>>);

impl<T: Clone + Lag + Send + 'static> Default for Source<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Lag + Send + 'static> Source<T> {
    /// A source without listeners.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(Some(broadcast::channel(CAPACITY).0)))
    }

    /// Tells everyone who listens now.
    pub fn send(&self, event: T) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.as_ref()
            && sender.receiver_count() > 0
            && sender.send(event).is_err()
        {
            tracing::trace!("the last listener of the wallet went away");
        }
    }

    /// What is sent from now on; ends with [`EventSource::close`].
    pub fn listen(&self) -> BoxStream<'static, T> {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(receiver) = sender.as_ref().map(broadcast::Sender::subscribe) else {
            return stream::empty().boxed();
        };
        stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(RecvError::Lagged(_)) => {
                        if let Some(instead) = T::lagged() {
                            return Some((instead, receiver));
                        }
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }

    /// Ends every stream.
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_listener_hears_everything_and_ends_on_close() {
        let source = EventSource::new();
        let (first, second) = (source.listen(), source.listen());
        source.send(WalletEvent::Disconnected);
        source.send(WalletEvent::Reconnected);
        source.close();
        source.send(WalletEvent::Disconnected);
        let expected = vec![WalletEvent::Disconnected, WalletEvent::Reconnected];
        assert_eq!(first.collect::<Vec<_>>().await, expected);
        assert_eq!(second.collect::<Vec<_>>().await, expected);
        assert_eq!(source.listen().collect::<Vec<_>>().await, vec![]);
    }

    #[tokio::test]
    async fn who_lags_behind_is_told_to_ask() {
        let source = EventSource::new();
        let slow = source.listen();
        for _ in 0..=CAPACITY {
            source.send(WalletEvent::Disconnected);
        }
        source.close();
        let heard = slow.collect::<Vec<_>>().await;
        assert_eq!(heard.first(), Some(&WalletEvent::Reconnected));
        assert_eq!(heard.len(), CAPACITY + 1);
    }
}
