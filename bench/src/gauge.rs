//! What the kernel says: CPU time, memory, and the order of samples.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// CPU time of this thread.
#[must_use]
pub fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// CPU time of this process.
#[must_use]
pub fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

fn duration(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// CPU time of another process: the sum of its threads that live, to the nanosecond.
pub fn cpu_of(pid: u32) -> Result<Duration> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")? {
        // A thread may end between the two; what it did is lost to us, and little.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let first = text.split_whitespace().next().unwrap_or("0");
        sum += first.parse::<u64>().context("schedstat has another form")?;
    }
    Ok(Duration::from_nanos(sum))
}

/// Resident memory of a process, in bytes.
pub fn rss_of(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// The part of the resident memory that is its own and not of files, in bytes.
pub fn anonymous_of(pid: u32) -> Result<u64> {
    status(pid, "RssAnon:")
}

fn status(pid: u32, field: &str) -> Result<u64> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = text.lines().find(|line| line.starts_with(field)).context("no such field")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib * 1024)
}

/// Samples, to be asked for their quantiles.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a duration, in milliseconds.
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration.as_secs_f64() * 1e3);
    }

    /// Adds all of another.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that this part of the samples does not exceed; zero when there are none.
    #[must_use]
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = crate::report::count(sorted.len().saturating_sub(1));
        let rank = (last * part.clamp(0.0, 1.0)).round();
        sorted
            .iter()
            .zip(0_u32..)
            .find(|(_, index)| f64::from(*index) >= rank)
            .map_or(0.0, |it| *it.0)
    }

    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The largest.
    #[must_use]
    pub fn most(&self) -> f64 {
        self.quantile(1.0)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples: Samples = (1..=100).rev().map(f64::from).collect();
        assert_eq!((samples.quantile(0.0), samples.most()), (1.0, 100.0));
        assert_eq!(samples.quantile(0.99), 99.0);
        assert_eq!(Samples::default().median(), 0.0);
    }

    #[test]
    fn work_shows_on_every_clock() {
        let (thread, process) = (thread_cpu(), process_cpu());
        let mut sum = 0_u64;
        while thread_cpu() - thread < Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(process_cpu() - process >= Duration::from_millis(20));
        assert!(rss_of(std::process::id()).expect("alive") > 0);
        assert!(cpu_of(std::process::id()).expect("alive") > Duration::ZERO);
        assert!(cpu_of(u32::MAX).is_err());
    }
}
