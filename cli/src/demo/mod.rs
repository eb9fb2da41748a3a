//! `portal demo`: a backend, a person and their wallets, from the login URL to the money and the
//! ticket, on this machine alone. Made to be looked at.
//!
//! [`program`] is the daemon as a child, [`play`] who does what, [`tickets`] what becomes of a
//! ticket, [`stage`] and [`qr`] how it looks. Everything is the real thing but the money, which is
//! the daemon's simulated ledger.

mod play;
pub mod program;
mod qr;
mod stage;
mod tickets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::error::CliError;
use crate::person::Unpayable;
use crate::signals::Signals;
use crate::socket::SocketError;
use crate::terminal::Terminal;
use program::DevDaemon;
use stage::Stage;

/// Everything has to be over by then.
const LIMIT: Duration = Duration::from_secs(60);

/// Show a login, a payment and a ticket from end to end, on this machine alone.
#[derive(clap::Args)]
pub struct Arguments {
    /// The daemon's program [default: next to this one, else on the PATH].
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
}

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No daemon.
    #[error("portal-daemon was not found")]
    NoProgram,
    /// The daemon cannot be run.
    #[error("{path} cannot be started")]
    NotStarted {
        /// Which program.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no room for its data.
    #[error("no temporary folder can be made")]
    NoFolder(#[source] std::io::Error),
    /// The daemon ended before it was ready.
    #[error("the daemon ended before it was ready: {said}")]
    Ended {
        /// Its last words.
        said: String,
    },
    /// The daemon speaks another language.
    #[error("the daemon does not say where it is; is it the same version as `portal`?")]
    NotReady,
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The person.
    #[error("the person's wallet: {}", .0.chain())]
    Person(Box<CliError>),
    /// The person's wallet would not pay.
    #[error("the person's wallet refuses to pay: {0}")]
    Refused(#[from] Unpayable),
    /// The payment did not go through.
    #[error("the payment was not made: {reason}")]
    NotPaid {
        /// Why.
        reason: String,
    },
    /// The person's wallet does not give the ticket.
    #[error("the person's wallet gave no ticket: {reason}")]
    NoTicket {
        /// Why.
        reason: String,
    },
    /// Something else came than should.
    #[error("expected {expected}, and something else came")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
    },
    /// It took too long.
    #[error("it was not over after {} s; the last step was: {step}", LIMIT.as_secs())]
    TooLong {
        /// Where it stopped.
        step: String,
    },
    /// Ctrl-C, or another signal.
    #[error("stopped before the end")]
    Interrupted,
}

impl DemoError {
    /// What to do about it, in one sentence.
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::NoProgram => {
                "build it with `cargo build -p portal-daemon`, put it next to `portal` or on the \
                 PATH, or name it with --daemon"
            }
            Self::NotStarted { .. } => "check that it is a program of this machine",
            Self::NoFolder(_) => "check that TMPDIR is writable and has space",
            Self::Ended { .. } => {
                "run `portal-daemon --dev` by hand to see more; it must be built with its \
                 feature `dev`"
            }
            Self::NotReady => "build `portal` and `portal-daemon` from the same sources",
            Self::TooLong { .. } => {
                "try again on a machine with less load; RUST_LOG=debug shows more"
            }
            Self::Socket(_)
            | Self::Person(_)
            | Self::Refused(_)
            | Self::NotPaid { .. }
            | Self::NoTicket { .. }
            | Self::Unexpected { .. } => "run it again with RUST_LOG=debug to see more",
            Self::Interrupted => return None,
        };
        Some(text.to_owned())
    }
}

impl From<CliError> for DemoError {
    fn from(error: CliError) -> Self {
        Self::Person(Box::new(error))
    }
}

/// Shows it.
///
/// # Errors
/// When it did not come to its end.
pub async fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, CliError> {
    let path = program::find(arguments.daemon).ok_or(DemoError::NoProgram)?;
    let stage = Stage::open(*terminal)?;
    let mut signals = Signals::new()?;
    let mut daemon = None;
    let result = tokio::select! {
        result = bounded(&path, &mut daemon, &stage) => result,
        stop = signals.next() => stop.and(Err(DemoError::Interrupted.into())),
    };
    if let Some(daemon) = daemon {
        daemon.stop().await;
    }
    result.map(|()| ExitCode::SUCCESS)
}

async fn bounded(
    path: &std::path::Path,
    slot: &mut Option<DevDaemon>,
    stage: &Stage,
) -> Result<(), CliError> {
    let playing = async {
        let daemon = slot.insert(DevDaemon::start(path)?);
        let ready = daemon.ready().await?;
        play::perform(ready, stage).await
    };
    match tokio::time::timeout(LIMIT, playing).await {
        // What the stage could not show is no fault of the play.
        Ok(Err(DemoError::Person(error))) if matches!(*error, CliError::Output(_)) => Err(*error),
        Ok(result) => Ok(result?),
        Err(_) => Err(DemoError::TooLong { step: stage.last_step() }.into()),
    }
}
