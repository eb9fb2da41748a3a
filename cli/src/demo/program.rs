//! The daemon's program: where it is, and `portal-daemon --dev` as a child.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portal_core::cashu::MintAddress;
use portal_core::primitives::Secret;
use portal_core::relay::RelayAddress;
use portal_core::wallet::nwc::NwcUri;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinSet;

use super::DemoError;

#[path = "../../../daemon/src/config/environment.rs"]
mod environment;

/// The name of the program.
const NAME: &str = "portal-daemon";
/// How long the daemon may take to stop by itself.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// The last words that are kept.
const LAST_WORDS: usize = 5;
/// The longest line of last words.
const LONGEST: usize = 300;

/// The program of the daemon: the named one, one next to ours, or one on the PATH.
pub fn find(named: Option<PathBuf>) -> Option<PathBuf> {
    if named.is_some() {
        return named;
    }
    let file = format!("{NAME}{}", std::env::consts::EXE_SUFFIX);
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH");
    let on_path = path.iter().flat_map(std::env::split_paths);
    beside.into_iter().chain(on_path).map(|folder| folder.join(&file)).find(|path| path.is_file())
}

/// A daemon that runs for the demo. Its data is in a folder that disappears with it.
pub struct DevDaemon {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    words: Arc<Mutex<VecDeque<String>>>,
    readers: JoinSet<()>,
    folder: TempDir,
}

/// What the daemon says of itself once it serves.
pub struct Ready {
    /// Its socket.
    pub socket: String,
    /// Its token.
    pub token: Secret<String>,
    /// Its relays.
    pub relays: Vec<RelayAddress>,
    /// The link to the person's wallet with play money.
    pub person: NwcUri,
    /// Its mint.
    pub mint: MintAddress,
    /// The token that mints and burns there.
    pub mint_token: Secret<String>,
}

#[derive(Deserialize)]
struct ReadyLine {
    ws: String,
    relays: Vec<String>,
    dev: DevLine,
}

#[derive(Deserialize)]
struct DevLine {
    auth_token: String,
    nwc_url: String,
    mint_url: String,
    mint_token: String,
}

impl DevDaemon {
    /// Starts the program. Nothing of the user's own set-up reaches it: no real key, wallet or
    /// relay takes part in a demo.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(path: &Path) -> Result<Self, DemoError> {
        let folder = tempfile::Builder::new()
            .prefix("portal-demo-")
            .tempdir()
            .map_err(DemoError::NoFolder)?;
        let mut command = Command::new(path);
        command
            .args(["--dev", "--json", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for name in environment::set_up() {
            command.env_remove(name);
        }
        let not_started = |source| DemoError::NotStarted { path: path.to_owned(), source };
        let mut child = command.spawn().map_err(not_started)?;
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(not_started(std::io::Error::other("its output was not captured")));
        };
        let words = Arc::new(Mutex::new(VecDeque::new()));
        let mut readers = JoinSet::new();
        readers.spawn(listen(BufReader::new(errors).lines(), Arc::clone(&words)));
        Ok(Self { child, output: BufReader::new(output).lines(), words, readers, folder })
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// When it ends instead, or says something else.
    pub async fn ready(&mut self) -> Result<Ready, DemoError> {
        loop {
            let Ok(Some(line)) = self.output.next_line().await else {
                return Err(DemoError::Ended { said: self.last_words().await });
            };
            let value: serde_json::Value = match serde_json::from_str(&line) {
                Ok(value) => value,
                Err(_) => continue,
            };
            if value["type"] != "ready" {
                continue;
            }
            let line: ReadyLine = serde_json::from_value(value).map_err(|_| DemoError::NotReady)?;
            let relays = line.relays.iter().map(|relay| RelayAddress::parse(relay));
            let link = Secret::new(line.dev.nwc_url);
            return Ok(Ready {
                socket: line.ws,
                token: Secret::new(line.dev.auth_token),
                relays: relays.collect::<Result<_, _>>().map_err(|_| DemoError::NotReady)?,
                person: NwcUri::parse(link.expose()).map_err(|_| DemoError::NotReady)?,
                mint: line.dev.mint_url.parse().map_err(|_| DemoError::NotReady)?,
                mint_token: Secret::new(line.dev.mint_token),
            });
        }
    }

    /// Stops it: first it is asked, then it is killed. Its data is gone afterwards.
    pub async fn stop(mut self) {
        // Its output goes on being read, so that it cannot get stuck on the way out.
        self.readers.spawn(listen(self.output, Arc::clone(&self.words)));
        ask_to_stop(&self.child);
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err()
            && let Err(error) = self.child.kill().await
        {
            tracing::warn!(%error, "the daemon of the demo cannot be killed");
        }
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the data of the demo stays behind");
        }
    }

    async fn last_words(&mut self) -> String {
        // Everything it said has been read once its pipe is closed.
        let reading = async { while self.readers.join_next().await.is_some() {} };
        drop(tokio::time::timeout(Duration::from_secs(1), reading).await);
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.is_empty() {
            return "it said nothing".to_owned();
        }
        words.iter().map(String::as_str).collect::<Vec<_>>().join(" / ")
    }
}

/// Reads what the child says to its end, and keeps the last of it.
async fn listen<R: AsyncRead + Unpin>(
    mut lines: Lines<BufReader<R>>,
    words: Arc<Mutex<VecDeque<String>>>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.push_back(line.trim().chars().take(LONGEST).collect());
        if words.len() > LAST_WORDS {
            words.pop_front();
        }
    }
}

#[cfg(unix)]
fn ask_to_stop(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw)
        && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
    {
        tracing::debug!(%error, "the daemon of the demo has gone already");
    }
}

#[cfg(not(unix))]
fn ask_to_stop(_child: &Child) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_no_daemon_is_told_by_its_last_words() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(
            DevDaemon::start(&folder.path().join("nothing")),
            Err(DemoError::NotStarted { .. })
        ));
        // Prints its usage and ends.
        let own = std::env::current_exe().expect("this test");
        let mut daemon = DevDaemon::start(&own).expect("runs");
        let ended = tokio::time::timeout(Duration::from_secs(20), daemon.ready()).await;
        let said = match ended.expect("in time") {
            Err(DemoError::Ended { said }) => said,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("no daemon"),
        };
        assert!(said.contains("--dev") || said.contains("dev"), "{said}");
        daemon.stop().await;
    }
}
