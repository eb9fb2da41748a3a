//! How many WebSockets there are: in all, and of one address. A socket leaves the connection it
//! came in by, so the bound on connections does not hold for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::rate_limit::source;

/// The most at once; fewer when few connections are allowed.
const MOST: usize = 256;

/// The most of one address. This machine is not counted: behind it stand a reverse proxy, or its
/// owner.
const MOST_OF_ONE: usize = 16;

/// All sockets.
pub struct Sockets {
    most: usize,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    all: usize,
    of: HashMap<u64, usize>,
}

/// A place among them, until it is dropped.
pub(super) struct Seat {
    sockets: Arc<Sockets>,
    source: Option<u64>,
}

/// Where the seat of a connection is; empty until it becomes a socket.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<OnceLock<Seat>>);

impl Sockets {
    /// For a mint that allows so many connections.
    #[must_use]
    pub fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self { most: (connections / 4).clamp(1, MOST), count: Mutex::default() })
    }

    /// Takes a place; `None` when there is none.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let source = (!address.to_canonical().is_loopback()).then(|| source(address));
        let mut count = self.lock();
        if count.all >= self.most {
            return None;
        }
        if let Some(source) = source {
            let of = count.of.entry(source).or_default();
            if *of >= MOST_OF_ONE {
                return None;
            }
            *of += 1;
        }
        count.all += 1;
        Some(Seat { sockets: Arc::clone(self), source })
    }

    fn lock(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut count = self.sockets.lock();
        count.all = count.all.saturating_sub(1);
        let Some(source) = self.source else { return };
        if let Some(of) = count.of.get_mut(&source) {
            *of = of.saturating_sub(1);
            if *of == 0 {
                count.of.remove(&source);
            }
        }
    }
}

impl Place {
    /// From now on the connection is a socket.
    pub(super) fn hold(&self, seat: Seat) {
        // A connection becomes a socket once.
        drop(self.0.set(seat));
    }

    /// Whether it is one.
    pub(super) fn is_held(&self) -> bool {
        self.0.get().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_does_not_take_all_places() {
        let sockets = Sockets::new(1024);
        let greedy = address("203.0.113.1");
        let seats: Vec<_> = (0..MOST_OF_ONE).map(|_| sockets.enter(greedy)).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(sockets.enter(greedy).is_none());
        assert!(sockets.enter(address("::ffff:203.0.113.1")).is_none(), "mapped is the same");
        let other = sockets.enter(address("203.0.113.2"));
        assert!(other.is_some());
        drop(seats);
        assert!(sockets.enter(greedy).is_some(), "places come back");
        drop(other);
        assert!(sockets.lock().of.is_empty() && sockets.lock().all == 0);
    }

    #[test]
    fn there_is_an_end_to_all_together() {
        let sockets = Sockets::new(80);
        let own = address("127.0.0.1");
        let seats: Vec<_> = (0..20).filter_map(|_| sockets.enter(own)).collect();
        assert_eq!(seats.len(), 20, "this machine is not counted by itself");
        assert!(sockets.enter(own).is_none());
        assert!(sockets.enter(address("203.0.113.1")).is_none());
        drop(seats);
        assert!(Sockets::new(1).enter(own).is_some(), "never less than one");
    }
}
