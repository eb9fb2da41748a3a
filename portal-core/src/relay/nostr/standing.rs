//! The standing subscriptions as one connection knows them: what the relay has, what it closed,
//! and when that is tried again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The ceiling of the first pause after the relay closed a subscription.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The highest ceiling.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A subscription that every relay shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::relay) struct Subscription {
    pub(in crate::relay) id: Arc<str>,
    /// The whole `REQ`.
    pub(in crate::relay) request: Arc<str>,
}

impl Subscription {
    pub(in crate::relay) fn new(id: &str, filter: &str) -> Self {
        Self { id: Arc::from(id), request: request(id, filter) }
    }
}

/// A `REQ` frame. The filter is JSON already.
pub(in crate::relay) fn request(id: &str, filter: &str) -> Arc<str> {
    let id = serde_json::Value::from(id);
    Arc::from(format!("[\"REQ\",{id},{filter}]"))
}

/// A `CLOSE` frame.
pub(in crate::relay) fn close(id: &str) -> Arc<str> {
    let id = serde_json::Value::from(id);
    Arc::from(format!("[\"CLOSE\",{id}]"))
}

/// What one relay has.
#[derive(Default)]
pub(in crate::relay) struct Standing(Vec<Sent>);

struct Sent {
    subscription: Subscription,
    /// When to send it again, after the relay closed it.
    retry: Option<Instant>,
    /// Sent again after that, and not yet confirmed.
    returning: bool,
    closed: u32,
}

impl Sent {
    fn new(subscription: &Subscription, closed: u32) -> Self {
        Self { subscription: subscription.clone(), retry: None, returning: false, closed }
    }
}

impl Standing {
    /// Starts anew: the relay has nothing.
    pub(in crate::relay) fn forget(&mut self) {
        self.0.clear();
    }

    /// Queues what makes the relay's subscriptions equal to these.
    pub(in crate::relay) fn reconcile(
        &mut self,
        wanted: &[Subscription],
        control: &mut VecDeque<Arc<str>>,
    ) {
        self.0.retain(|sent| {
            let keep = wanted.iter().any(|one| one.id == sent.subscription.id);
            if !keep && sent.retry.is_none() {
                control.push_back(close(&sent.subscription.id));
            }
            keep
        });
        for one in wanted {
            match self.0.iter_mut().find(|sent| sent.subscription.id == one.id) {
                Some(sent) if sent.subscription.request == one.request => continue,
                // A `REQ` with a known id replaces it.
                Some(sent) => *sent = Sent::new(one, sent.closed),
                None => self.0.push(Sent::new(one, 0)),
            }
            control.push_back(one.request.clone());
        }
    }

    /// The relay has closed this one; it is tried again after a pause. False when it is none of
    /// these.
    pub(in crate::relay) fn closed(
        &mut self,
        id: &str,
        now: Instant,
        jitter: impl Fn(Duration) -> Duration,
    ) -> bool {
        let Some(sent) = self.0.iter_mut().find(|sent| &*sent.subscription.id == id) else {
            return false;
        };
        if sent.retry.is_none() {
            let ceiling = FIRST_PAUSE.saturating_mul(1 << sent.closed.min(16)).min(LONGEST_PAUSE);
            sent.closed = sent.closed.saturating_add(1);
            // At least half of it: the relay has said that it does not want this.
            sent.retry = Some(now + ceiling / 2 + jitter(ceiling / 2));
            sent.returning = false;
        }
        true
    }

    /// The relay has this one. True when it had closed it before.
    pub(in crate::relay) fn confirmed(&mut self, id: &str) -> bool {
        let sent = self.0.iter_mut().find(|sent| &*sent.subscription.id == id);
        sent.is_some_and(|sent| std::mem::take(&mut sent.returning))
    }

    /// Queues what is due to be tried again.
    pub(in crate::relay) fn retry(&mut self, now: Instant, control: &mut VecDeque<Arc<str>>) {
        for sent in &mut self.0 {
            if sent.retry.is_some_and(|due| due <= now) {
                sent.retry = None;
                sent.returning = true;
                control.push_back(sent.subscription.request.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reconciled(standing: &mut Standing, wanted: &[(&str, &str)]) -> Vec<String> {
        let wanted: Vec<_> = wanted.iter().map(|(i, f)| Subscription::new(i, f)).collect();
        let mut control = VecDeque::new();
        standing.reconcile(&wanted, &mut control);
        control.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_differences_are_sent() {
        let mut standing = Standing::default();
        let first = reconciled(&mut standing, &[("a", "{}"), ("b", "{}")]);
        assert_eq!(first, ["[\"REQ\",\"a\",{}]", "[\"REQ\",\"b\",{}]"]);
        assert!(reconciled(&mut standing, &[("b", "{}"), ("a", "{}")]).is_empty());
        let changed = reconciled(&mut standing, &[("a", "{\"kinds\":[1]}"), ("c", "{}")]);
        assert_eq!(
            changed,
            ["[\"CLOSE\",\"b\"]", "[\"REQ\",\"a\",{\"kinds\":[1]}]", "[\"REQ\",\"c\",{}]"]
        );
        standing.forget();
        assert_eq!(reconciled(&mut standing, &[("c", "{}")]), ["[\"REQ\",\"c\",{}]"]);
    }

    #[test]
    fn closed_ones_are_tried_again_with_growing_pauses() {
        let mut standing = Standing::default();
        reconciled(&mut standing, &[("a", "{}")]);
        let mut now = Instant::now();
        let mut control = VecDeque::new();
        assert!(!standing.closed("unknown", now, |limit| limit));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(standing.closed("a", now, |limit| limit));
            assert!(standing.closed("a", now, |limit| limit), "closing twice counts once");
            standing.retry(now + Duration::from_millis(seconds * 1000 - 1), &mut control);
            assert!(control.is_empty());
            assert!(!standing.confirmed("a"));
            now += Duration::from_secs(seconds);
            standing.retry(now, &mut control);
            standing.retry(now, &mut control);
            assert_eq!(control.drain(..).count(), 1);
        }
        assert!(standing.confirmed("a"));
        assert!(!standing.confirmed("a"), "once");
    }

    #[test]
    fn ids_are_escaped() {
        assert_eq!(&*close("a\"b"), "[\"CLOSE\",\"a\\\"b\"]");
    }
}
