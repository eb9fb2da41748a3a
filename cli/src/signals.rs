//! The wish of the person, or of the system, that a command ends.

use crate::error::CliError;

/// Ctrl-C, SIGTERM, and the end of the terminal.
pub struct Signals {
    #[cfg(unix)]
    kinds: [tokio::signal::unix::Signal; 3],
}

impl Signals {
    /// From now on signals are heard here and no longer end the process.
    ///
    /// # Errors
    /// When the system gives no signals.
    #[cfg(unix)]
    pub fn new() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};

        let listen = |kind| {
            signal(kind)
                .map_err(|source| CliError::Io { what: "signals cannot be received", source })
        };
        Ok(Self {
            kinds: [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for one.
    ///
    /// # Errors
    /// When the system gives no signals.
    ///
    /// # Cancel safety
    /// Safe to drop.
    #[cfg(unix)]
    pub async fn next(&mut self) -> Result<(), CliError> {
        let [interrupt, terminate, hangup] = &mut self.kinds;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    }

    /// From now on Ctrl-C is heard here.
    ///
    /// # Errors
    /// Never on this system.
    #[cfg(not(unix))]
    pub fn new() -> Result<Self, CliError> {
        Ok(Self {})
    }

    /// Waits for one.
    ///
    /// # Errors
    /// When the system gives no signals.
    ///
    /// # Cancel safety
    /// Safe to drop.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> Result<(), CliError> {
        tokio::signal::ctrl_c()
            .await
            .map_err(|source| CliError::Io { what: "signals cannot be received", source })
    }
}
