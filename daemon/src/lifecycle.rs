//! How the daemon stops. The first signal is soft: no new connections or commands, what runs is
//! finished, open conversations stay in the store for the next start. The second is hard.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::state::AppState;
use crate::transport::server;

/// How long connections may take to finish what they are at.
const DRAIN_LIMIT: Duration = Duration::from_secs(4);

/// How long the service may take after that. Together below the 10 s that orchestrators wait.
const SERVICE_LIMIT: Duration = Duration::from_secs(4);

/// Serves until `shutdown` ends, then drains. Returns within 10 s of that.
pub async fn run(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()> + Send,
) {
    let stopping = state.stopping.clone();
    let serving = server::run(listener, state.clone(), shutdown);
    let limit = async {
        stopping.cancelled().await;
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    tokio::select! {
        () = serving => {}
        () = limit => tracing::warn!("connections did not end in time and were cut"),
    }
    if tokio::time::timeout(SERVICE_LIMIT, state.service.shutdown()).await.is_err() {
        tracing::warn!("the service did not stop in time");
    }
}

/// SIGTERM and Ctrl-C, listened to from the moment this is made.
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to listen: from now on a signal does not end the process by itself.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn install() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let terminate = signal(SignalKind::terminate())?;
            Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    /// No signal is lost when the future is dropped.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_before_anybody_waits_is_not_lost() {
        let mut signals = Signals::install().expect("the system lets us");
        kill_process(getpid(), Signal::TERM).expect("ourselves");
        tokio::time::timeout(Duration::from_secs(10), signals.next()).await.expect("heard");
    }
}
