//! The clock and the source of randomness: the only place that reads either.
//!
//! Everything else takes an [`Env`]; tests hand in a mock whose time they move.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::primitives::{StreamId, Timestamp};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_millis(&self) -> u64;
}

/// Makes bytes nobody can predict.
pub trait Rng: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// Clock and randomness together, cheap to clone.
#[derive(Clone)]
pub struct Env {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Env {
    /// The clock and the randomness of the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), rng: Arc::new(SystemRng) }
    }

    /// Any clock and any randomness.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng }
    }

    /// The present second.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.clock.now_millis() / 1000)
    }

    /// The present millisecond since the Unix epoch.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        self.clock.now_millis()
    }

    /// Random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// A random text of `length` characters of `[0-9A-Za-z]`, without bias.
    #[must_use]
    pub fn alphanumeric(&self, length: usize) -> String {
        const ALPHABET: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut text = String::with_capacity(length);
        while text.len() < length {
            for byte in self.bytes::<48>() {
                let letter = usize::from(byte & 63);
                if letter < ALPHABET.len() && text.len() < length {
                    text.push(char::from(ALPHABET[letter]));
                }
            }
        }
        text
    }

    /// A random UUID (version 4).
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A new stream id (UUID version 7, sorts by age).
    #[must_use]
    pub fn stream_id(&self) -> StreamId {
        let uuid =
            uuid::Builder::from_unix_timestamp_millis(self.now_millis(), &self.bytes()).into_uuid();
        StreamId::from_uuid(uuid)
    }

    /// A duration between zero and `limit`, evenly spread: for jitter.
    #[must_use]
    pub fn jitter(&self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(u64::from_le_bytes(self.bytes()) % nanos.max(1))
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now_millis(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

struct SystemRng;

impl Rng for SystemRng {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes randomness")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system has a source of randomness");
    }
}

/// A clock that moves when told, and randomness that repeats.
#[cfg(feature = "testing")]
pub mod mock {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use sha2::{Digest, Sha256};

    use super::{Arc, Clock, Duration, Env, Rng, Timestamp};

    /// A clock that stands still until [`MockClock::advance`].
    pub struct MockClock(AtomicU64);

    impl MockClock {
        /// Moves the time forward.
        pub fn advance(&self, by: Duration) {
            let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            self.0.fetch_add(millis, Ordering::SeqCst);
        }

        /// Puts the time anywhere, also back.
        pub fn set(&self, to: Timestamp) {
            self.0.store(to.as_secs().saturating_mul(1000), Ordering::SeqCst);
        }
    }

    impl Clock for MockClock {
        fn now_millis(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// Randomness from a seed: the same seed gives the same bytes.
    pub struct SeededRng(Mutex<([u8; 32], u64)>);

    impl SeededRng {
        /// Randomness from this seed.
        #[must_use]
        pub fn new(seed: u64) -> Self {
            Self(Mutex::new((Sha256::digest(seed.to_le_bytes()).into(), 0)))
        }
    }

    impl Rng for SeededRng {
        fn fill(&self, buffer: &mut [u8]) {
            let mut state = self.0.lock().expect("nothing panics while it is held");
            for chunk in buffer.chunks_mut(32) {
                state.1 = state.1.wrapping_add(1);
                let mut hasher = Sha256::new();
                hasher.update(state.0);
                hasher.update(state.1.to_le_bytes());
                let block = hasher.finalize();
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
        }
    }

    /// An [`Env`] that starts at `now`, with the clock to move it.
    #[must_use]
    pub fn env(now: Timestamp, seed: u64) -> (Env, Arc<MockClock>) {
        let clock = Arc::new(MockClock(AtomicU64::new(now.as_secs().saturating_mul(1000))));
        (Env::new(clock.clone(), Arc::new(SeededRng::new(seed))), clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_length_and_alphabet_asked_for() {
        let text = Env::system().alphanumeric(100);
        assert_eq!(text.len(), 100);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn mock_time_moves_only_when_told_and_bytes_repeat() {
        let (env, clock) = mock::env(Timestamp::from_secs(100), 7);
        assert_eq!(env.now().as_secs(), 100);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(env.now().as_secs(), 101);
        let again = mock::env(Timestamp::from_secs(100), 7).0;
        assert_eq!(env.bytes::<40>(), again.bytes::<40>());
    }
}
