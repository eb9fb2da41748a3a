//! What one address may cost before it has shown the token: connections that are open at once,
//! and wrong tokens in a minute. In memory and bounded; a restart forgets it.
//!
//! An IPv6 customer owns a whole /64, so that counts as one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a wrong token counts.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered for wrong tokens; the oldest are forgotten first.
const MAX_ADDRESSES: usize = 65_536;

/// What counts as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source(u64);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u64::from(u32::from(address))),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self([a, b, c, d].iter().fold(0, |all, part| (all << 16) | u64::from(*part)))
            }
        }
    }
}

/// Counts things that are open, by address.
pub struct Open {
    limit: u32,
    local_limit: u32,
    counts: Mutex<HashMap<Source, u32>>,
}

/// One open thing; gives its place back when dropped.
pub struct OpenGuard {
    open: Arc<Open>,
    source: Source,
}

impl Open {
    /// At most `limit` for each address, and `local_limit` for this machine and for those we know:
    /// behind them may be many.
    #[must_use]
    pub fn new(limit: u32, local_limit: u32) -> Arc<Self> {
        let local_limit = local_limit.max(limit);
        Arc::new(Self { limit, local_limit, counts: Mutex::default() })
    }

    /// Takes a place; `None` when the address has all of its places in use.
    #[must_use]
    pub fn enter(self: &Arc<Self>, address: IpAddr, known: bool) -> Option<OpenGuard> {
        let local = known || address.to_canonical().is_loopback();
        let limit = if local { self.local_limit } else { self.limit };
        let source = Source::from(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count = count.saturating_add(1);
        Some(OpenGuard { open: Arc::clone(self), source })
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let mut counts = self.open.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

/// Counts something that a stranger does, by address and minute.
pub struct PerMinute {
    limit: u32,
    addresses: Mutex<HashMap<Source, Window>>,
}

struct Window {
    began_at: u64,
    count: u32,
}

impl PerMinute {
    /// At most `limit` a minute for each address.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, addresses: Mutex::default() }
    }

    /// Whether the address may try; otherwise how long it has to wait.
    ///
    /// # Errors
    /// The time until the address may try again.
    pub fn check(&self, address: IpAddr, now_millis: u64) -> Result<(), Duration> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        match addresses.get(&Source::from(address)) {
            Some(window) if window.count >= self.limit => match window.left(now_millis) {
                Some(left) => Err(left),
                None => Ok(()),
            },
            Some(_) | None => Ok(()),
        }
    }

    /// Counts one.
    pub fn note(&self, address: IpAddr, now_millis: u64) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= MAX_ADDRESSES {
            addresses.retain(|_, window| window.left(now_millis).is_some());
            if addresses.len() >= MAX_ADDRESSES {
                // So many at once is an attack from many places, which a count for each place
                // cannot stop; the table must not grow with it.
                addresses.clear();
            }
        }
        let window = addresses
            .entry(Source::from(address))
            .or_insert(Window { began_at: now_millis, count: 0 });
        if window.left(now_millis).is_none() {
            *window = Window { began_at: now_millis, count: 0 };
        }
        window.count = window.count.saturating_add(1);
    }
}

impl Window {
    /// What is left of the minute; a clock that was set back starts it again.
    fn left(&self, now_millis: u64) -> Option<Duration> {
        let passed = Duration::from_millis(now_millis.checked_sub(self.began_at)?);
        WINDOW.checked_sub(passed).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn places_are_given_back() {
        let open = Open::new(2, 3);
        let one = open.enter(address("10.0.0.1"), false);
        let two = open.enter(address("::ffff:10.0.0.1"), false);
        assert!(one.is_some() && two.is_some());
        assert!(open.enter(address("10.0.0.1"), false).is_none(), "mapped addresses are the same");
        assert!(open.enter(address("10.0.0.2"), false).is_some());
        drop(one);
        assert!(open.enter(address("10.0.0.1"), false).is_some());
        drop(two);
        assert!(open.counts.lock().expect("not poisoned").is_empty(), "nothing is left behind");
    }

    #[test]
    fn this_machine_and_those_we_know_have_a_share_of_their_own() {
        let open = Open::new(1, 3);
        for (text, known) in [("127.0.0.1", false), ("10.0.0.1", true)] {
            let held: Vec<_> = (0..4).map(|_| open.enter(address(text), known)).collect();
            assert_eq!(held.iter().flatten().count(), 3, "{text}");
        }
        assert!(Open::new(5, 1).enter(address("::1"), false).is_some());
    }

    #[test]
    fn a_v6_customer_is_one_address() {
        let open = Open::new(1, 1);
        let held = open.enter(address("2001:db8:1:2::1"), false);
        assert!(held.is_some());
        assert!(open.enter(address("2001:db8:1:2:ffff::9"), false).is_none());
        assert!(open.enter(address("2001:db8:1:3::1"), false).is_some());
    }

    #[test]
    fn the_eleventh_wrong_token_has_to_wait_for_the_minute_to_end() {
        let failures = PerMinute::new(10);
        let bad = address("10.0.0.1");
        for second in 0..10 {
            assert_eq!(failures.check(bad, second * 1000), Ok(()));
            failures.note(bad, second * 1000);
        }
        assert_eq!(failures.check(bad, 10_000), Err(Duration::from_secs(50)));
        assert_eq!(failures.check(address("10.0.0.2"), 10_000), Ok(()));
        assert_eq!(failures.check(bad, 60_000), Ok(()));
        failures.note(bad, 60_000);
        assert_eq!(failures.check(bad, 60_001), Ok(()));
        assert_eq!(failures.check(bad, 5), Ok(()), "a clock set back locks nobody out");
    }

    #[test]
    fn the_table_is_bounded() {
        let failures = PerMinute::new(1);
        for number in 0..70_000_u32 {
            failures.note(IpAddr::V4(number.into()), 0);
        }
        assert!(failures.addresses.lock().expect("not poisoned").len() <= MAX_ADDRESSES);
    }
}
