//! A real `portal-daemon --dev` for the tests of clients: on ports the kernel chose, with a token
//! and a data folder of its own, gone when it is dropped. Nothing of the set-up of whoever runs
//! this reaches it: no real wallet, key or relay takes part in a test.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::Owned;
use crate::workspace::Workspace;

#[path = "../../daemon/src/config/environment.rs"]
mod environment;

/// How long the daemon may take to print its address and to answer `/health`.
const START: Duration = Duration::from_secs(60);

/// A running daemon.
pub struct DevDaemon {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its token.
    pub token: String,
    /// Its relay, when it printed one.
    pub relay: Option<String>,
    // Ends the process before the folder goes.
    process: Option<Owned>,
    data: PathBuf,
}

impl DevDaemon {
    /// Starts it and waits until it answers; its output goes to `log`.
    pub fn start(workspace: &Workspace, log: &Path) -> Result<Self> {
        let token = random_hex()?;
        let data = workspace.target.join("xtask").join(format!("daemon-{token}"));
        std::fs::create_dir_all(&data)?;
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = workspace.command(workspace.built("portal-daemon")?, ".", &["--dev"]);
        for name in environment::set_up() {
            command.env_remove(name);
        }
        command
            .arg("--data-dir")
            .arg(&data)
            .env("AUTH_TOKEN", &token)
            .env("PORTAL__INFO__LISTEN_PORT", "0")
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?);
        let mut child = command.spawn().context("the daemon does not start")?;
        let printed = child.stdout.take().context("its output is piped")?;
        let process = Some(Owned::new(child));
        let mut daemon = Self { url: String::new(), token, relay: None, process, data };

        let (lines, said) = mpsc::channel();
        std::thread::spawn(move || copy_lines(printed, log, &lines));
        let deadline = Instant::now() + START;
        while daemon.url.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = said.recv_timeout(left) else {
                bail!("the daemon did not print its address");
            };
            daemon.read(&line);
        }
        while !daemon.is_healthy() {
            if Instant::now() >= deadline {
                bail!("the daemon does not answer /health");
            }
            // Lines that come meanwhile may name the relay.
            if let Ok(line) = said.recv_timeout(Duration::from_millis(50)) {
                daemon.read(&line);
            }
        }
        for line in said.try_iter() {
            daemon.read(&line);
        }
        Ok(daemon)
    }

    /// Tells a child where the daemon is.
    pub fn announce(&self, command: &mut Command) {
        command.env("PORTAL_DAEMON_URL", &self.url).env("PORTAL_DAEMON_TOKEN", &self.token);
        if let Some(relay) = &self.relay {
            command.env("PORTAL_DAEMON_RELAY", relay);
        }
    }

    fn read(&mut self, line: &str) {
        for address in addresses(line) {
            match address {
                Address::Daemon(url) if self.url.is_empty() => self.url = url,
                Address::Relay(url) if self.relay.is_none() => self.relay = Some(url),
                Address::Daemon(_) | Address::Relay(_) => {}
            }
        }
    }

    fn is_healthy(&self) -> bool {
        let Some(authority) = self.url.strip_prefix("http://") else { return false };
        health(authority).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

impl Drop for DevDaemon {
    fn drop(&mut self) {
        drop(self.process.take());
        if let Err(error) = std::fs::remove_dir_all(&self.data) {
            eprintln!("xtask: {} stays: {error}", self.data.display());
        }
    }
}

fn copy_lines(from: impl std::io::Read, mut log: File, to: &mpsc::Sender<String>) {
    for line in BufReader::new(from).lines().map_while(std::io::Result::ok) {
        // The log is for people; without it the test still tells the truth.
        drop(writeln!(log, "{line}"));
        drop(to.send(line));
    }
}

fn health(authority: &str) -> std::io::Result<String> {
    let address = authority
        .parse()
        .map_err(|_| std::io::Error::other("the daemon did not print an address and a port"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer)?;
    Ok(answer)
}

fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[derive(Debug, PartialEq)]
enum Address {
    Daemon(String),
    Relay(String),
}

/// The loopback addresses in a line: HTTP, or a WebSocket at `/ws`, is the daemon's; any other
/// WebSocket is the relay's.
fn addresses(line: &str) -> Vec<Address> {
    let mut found = Vec::new();
    for (scheme, is_socket) in [("http://", false), ("ws://", true)] {
        for (at, _) in line.match_indices(scheme) {
            let rest = &line[at + scheme.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]/".contains(c)));
            let rest = &rest[..end.unwrap_or(rest.len())];
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            if !authority.contains(':') {
                continue;
            }
            found.push(if is_socket && path != "ws" {
                Address::Relay(format!("ws://{authority}"))
            } else {
                Address::Daemon(format!("http://{authority}"))
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_and_the_relay_are_told_apart() {
        let daemon = Address::Daemon("http://127.0.0.1:4000".to_owned());
        assert_eq!(addresses("daemon  \u{1b}[1mhttp://127.0.0.1:4000\u{1b}[0m"), [daemon]);
        let line = "relay ws://127.0.0.1:7777, socket ws://127.0.0.1:4000/ws";
        assert_eq!(
            addresses(line),
            [
                Address::Relay("ws://127.0.0.1:7777".to_owned()),
                Address::Daemon("http://127.0.0.1:4000".to_owned()),
            ]
        );
        assert_eq!(addresses("portal://npub1?relays=ws%3A%2F%2F127.0.0.1%3A1"), []);
    }
}
