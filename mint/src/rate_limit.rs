//! What one address may cost: requests without a token, and wrong tokens. In memory and bounded;
//! a restart forgets it.
//!
//! A bucket refills evenly. An IPv6 customer owns a whole /64, so that counts as one address.
//! This machine is not limited: behind it stand a reverse proxy, whose word on addresses has to
//! be trusted first (`limits.trusted_proxies`), or its owner.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Addresses that are remembered; full buckets are forgotten first.
const MAX_ADDRESSES: usize = 65_536;

/// Tokens of a bucket are counted in thousandths, so that slow rates refill evenly too.
const ONE: u64 = 1000;

/// Buckets, one for each address.
pub struct Buckets {
    per_minute: u64,
    burst: u64,
    buckets: Mutex<HashMap<u64, Bucket>>,
}

struct Bucket {
    left: u64,
    at: u64,
}

impl Buckets {
    /// So many a minute, and at most `burst` at once.
    #[must_use]
    pub fn new(per_minute: u32, burst: u32) -> Self {
        Self { per_minute: per_minute.into(), burst: burst.into(), buckets: Mutex::default() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long to wait for the next.
    pub fn take(&self, address: IpAddr, now_millis: u64) -> Result<(), Duration> {
        self.change(address, now_millis, true)
    }

    /// Takes one if there is one: for counting what has happened already.
    pub fn note(&self, address: IpAddr, now_millis: u64) {
        if self.change(address, now_millis, true).is_err() {
            tracing::debug!("an address goes on after it was refused");
        }
    }

    /// Whether there is one to take, without taking it.
    ///
    /// # Errors
    /// How long to wait for the next.
    pub fn check(&self, address: IpAddr, now_millis: u64) -> Result<(), Duration> {
        self.change(address, now_millis, false)
    }

    fn change(&self, address: IpAddr, now: u64, take: bool) -> Result<(), Duration> {
        if address.to_canonical().is_loopback() {
            return Ok(());
        }
        let full = self.burst.saturating_mul(ONE);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_ADDRESSES {
            buckets.retain(|_, bucket| self.refilled(bucket, now) < full);
            if buckets.len() >= MAX_ADDRESSES {
                // So many at once is an attack from many places, which a count for each place
                // cannot stop; the table must not grow with it.
                buckets.clear();
            }
        }
        let bucket = buckets.entry(source(address)).or_insert(Bucket { left: full, at: now });
        bucket.left = self.refilled(bucket, now);
        bucket.at = now;
        if bucket.left < ONE {
            let missing = ONE.saturating_sub(bucket.left);
            let wait = missing.saturating_mul(60).div_ceil(self.per_minute.max(1));
            return Err(Duration::from_millis(wait));
        }
        if take {
            bucket.left = bucket.left.saturating_sub(ONE);
        }
        Ok(())
    }

    /// What is in it now; a clock that was set back adds nothing.
    fn refilled(&self, bucket: &Bucket, now: u64) -> u64 {
        let passed = now.saturating_sub(bucket.at);
        let more = passed.saturating_mul(self.per_minute).saturating_mul(ONE) / 60_000;
        bucket.left.saturating_add(more).min(self.burst.saturating_mul(ONE))
    }
}

/// What counts as one address.
pub(crate) fn source(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d].iter().fold(0, |all, part| (all << 16) | u64::from(*part))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_pace() {
        let buckets = Buckets::new(60, 3);
        let one = address("203.0.113.1");
        for _ in 0..3 {
            assert_eq!(buckets.take(one, 0), Ok(()));
        }
        assert_eq!(buckets.take(one, 0), Err(Duration::from_secs(1)));
        assert_eq!(buckets.check(address("203.0.113.2"), 0), Ok(()));
        assert_eq!(buckets.take(one, 999), Err(Duration::from_millis(1)));
        assert_eq!(buckets.take(one, 1060), Ok(()));
        assert!(buckets.take(one, 5).is_err(), "a clock set back gives nothing away");
    }

    #[test]
    fn a_look_takes_nothing() {
        let buckets = Buckets::new(1, 1);
        for _ in 0..5 {
            assert_eq!(buckets.check(address("203.0.113.1"), 0), Ok(()));
        }
        assert_eq!(buckets.take(address("::ffff:203.0.113.1"), 0), Ok(()));
        assert!(buckets.check(address("203.0.113.1"), 0).is_err(), "mapped addresses are the same");
    }

    #[test]
    fn this_machine_is_not_limited_and_a_v6_customer_is_one() {
        let buckets = Buckets::new(1, 1);
        for _ in 0..5 {
            assert_eq!(buckets.take(address("127.0.0.1"), 0), Ok(()));
            assert_eq!(buckets.take(address("::1"), 0), Ok(()));
        }
        assert_eq!(buckets.take(address("2001:db8:1:2::1"), 0), Ok(()));
        assert!(buckets.take(address("2001:db8:1:2:ffff::9"), 0).is_err());
        assert_eq!(buckets.take(address("2001:db8:1:3::1"), 0), Ok(()));
    }

    #[test]
    fn the_table_is_bounded() {
        let buckets = Buckets::new(1, 1);
        for number in 0x0b00_0000..0x0b00_0000_u32 + 70_000 {
            assert_eq!(buckets.take(IpAddr::V4(number.into()), 0), Ok(()));
        }
        assert!(buckets.buckets.lock().expect("not poisoned").len() <= MAX_ADDRESSES);
    }
}
