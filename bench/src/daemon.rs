//! The daemon as a process of its own, and a lean client of its socket.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use nostr::PublicKey;
use portal_core::identity::LocalKey;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::child::{Child, sibling};
use crate::load::{Answer, Merchant};

#[path = "../../daemon/src/config/environment.rs"]
mod foreign;

const TOKEN: &str = "bench-k3Jx9vQ2mZ7pL4tR8wY1nB6cF5dH0sGa";

/// A running daemon. Killed when dropped.
pub struct Daemon {
    child: Child,
    /// `host:port`.
    pub address: String,
    /// Where its database is.
    pub folder: TempDir,
}

/// The environment of a daemon with this key and these relays, and nothing of the set-up of whoever
/// runs this.
fn environment(key: &LocalKey, relays: &[String]) -> Vec<(&'static str, String)> {
    vec![
        ("AUTH_TOKEN", TOKEN.to_owned()),
        ("NOSTR_KEY", key.secret_key().to_secret_hex()),
        ("NOSTR_RELAYS", relays.join(",")),
        ("PORTAL__NOSTR__ALLOW_PRIVATE_RELAYS", "true".to_owned()),
        ("RUST_LOG", "error".to_owned()),
    ]
}

impl Daemon {
    /// Starts the daemon that was built beside this program, or that `PORTAL_DAEMON` names.
    pub async fn start(key: &LocalKey, relays: &[String]) -> Result<Self> {
        let program = sibling("portal-daemon", "PORTAL_DAEMON")?;
        Self::start_program(&program, key, relays).await
    }

    /// The same with a wallet behind a link.
    pub async fn start_with_wallet(key: &LocalKey, relays: &[String], link: &str) -> Result<Self> {
        let program = sibling("portal-daemon", "PORTAL_DAEMON")?;
        let mut environment = environment(key, relays);
        environment.push(("NWC_URL", link.to_owned()));
        Self::start_in(&program, environment).await
    }

    /// Starts any build of it.
    pub async fn start_program(
        program: &std::path::Path,
        key: &LocalKey,
        relays: &[String],
    ) -> Result<Self> {
        Self::start_in(program, environment(key, relays)).await
    }

    async fn start_in(
        program: &std::path::Path,
        environment: Vec<(&'static str, String)>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // A file of its own, so that the one of whoever runs this is not read.
        let file = folder.path().join("daemon.toml");
        std::fs::write(&file, "")?;
        let arguments = [
            "--json".to_owned(),
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
            "--data-dir".to_owned(),
            folder.path().display().to_string(),
            "--config".to_owned(),
            file.display().to_string(),
        ];
        let mut child = Child::start_without(foreign::set_up(), program, &arguments, environment)?;
        let line = child.line().await.context("the daemon does not start")?;
        let ready: Value = serde_json::from_str(&line).context("the daemon's first line")?;
        let http = ready["http"].as_str().context("an address")?;
        let address = http.trim_start_matches("http://").to_owned();
        Ok(Self { child, address, folder })
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        self.child.pid()
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&self) -> Result<()> {
        let wait = async {
            while !get(&self.address, "/readyz").await?.starts_with("HTTP/1.1 200") {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .context("the daemon is not ready")?
    }
}

async fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A socket of the daemon that has shown its token.
pub struct Socket {
    shared: Arc<Shared>,
    out: mpsc::UnboundedSender<String>,
    next: AtomicU64,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<Reply>>>>,
    streams: Mutex<HashMap<String, mpsc::UnboundedSender<Value>>>,
    surplus: AtomicU64,
}

/// A command was done.
#[derive(Debug)]
pub struct Reply {
    /// What the daemon says.
    pub data: Value,
    /// What happens on the stream it opened, if it did.
    pub events: Option<mpsc::UnboundedReceiver<Value>>,
}

impl Socket {
    /// Connects and shows the token.
    pub async fn connect(address: &str) -> Result<Arc<Self>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let config = tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default()
            .read_buffer_size(4096);
        let url = format!("ws://{address}/ws");
        let (socket, _) =
            tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
        let (mut writer, mut reader) = socket.split();
        let shared = Arc::new(Shared::default());
        let (out, mut queue) = mpsc::unbounded_channel::<String>();
        let hearing = shared.clone();
        let reading = tokio::spawn(async move {
            while let Some(Ok(message)) = reader.next().await {
                if let Message::Text(text) = message {
                    hearing.hear(text.as_str());
                }
            }
            lock(&hearing.waiting).clear();
            lock(&hearing.streams).clear();
        });
        let writing = tokio::spawn(async move {
            let mut batch = Vec::new();
            while queue.recv_many(&mut batch, 64).await > 0 {
                for text in batch.drain(..) {
                    if writer.feed(Message::text(text)).await.is_err() {
                        return;
                    }
                }
                if writer.flush().await.is_err() {
                    return;
                }
            }
        });
        let next = AtomicU64::new(1);
        let socket = Arc::new(Self { shared, out, next, tasks: [reading, writing] });
        socket.command("Auth", &json!({"token": TOKEN}), None).await?;
        Ok(socket)
    }

    /// Sends a command and waits for its answer.
    pub async fn command(&self, name: &str, params: &Value, key: Option<&str>) -> Result<Reply> {
        let answer = self.send(name, params, key)?;
        answer.await.map_err(|_| anyhow!("the daemon closed the socket"))?
    }

    /// Sends a command; the answer comes when it comes.
    pub fn send(
        &self,
        name: &str,
        params: &Value,
        key: Option<&str>,
    ) -> Result<oneshot::Receiver<Result<Reply>>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        lock(&self.shared.waiting).insert(id, sender);
        let mut frame = json!({"id": id, "cmd": name, "params": params});
        if let Some(key) = key {
            frame["idempotency_key"] = key.into();
        }
        self.out.send(frame.to_string()).map_err(|_| anyhow!("the socket is closed"))?;
        Ok(answer)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    fn hear(&self, text: &str) {
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
            eprintln!("bench: the daemon says {text}");
            return;
        };
        let kind = frame["type"].as_str().unwrap_or_default().to_owned();
        if kind == "notification" {
            let stream = frame["id"].as_str().unwrap_or_default();
            let sender = lock(&self.streams).get(stream).cloned();
            if sender.is_none_or(|sender| sender.send(frame["data"].take()).is_err()) {
                self.surplus.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let id = frame["id"].as_u64().unwrap_or(0);
        let Some(waiting) = lock(&self.waiting).remove(&id) else {
            self.surplus.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let result = if kind == "success" {
            let data = frame["data"].take();
            let events = data["stream_id"].as_str().map(|stream| {
                let (sender, events) = mpsc::unbounded_channel();
                lock(&self.streams).insert(stream.to_owned(), sender);
                events
            });
            Ok(Reply { data, events })
        } else {
            Err(anyhow!("the daemon refuses: {frame}"))
        };
        // Whoever asked may have given up.
        drop(waiting.send(result));
    }
}

impl Merchant for Socket {
    type Shown = mpsc::UnboundedReceiver<Value>;

    async fn show(&self) -> Result<(String, Self::Shown)> {
        let reply = self.command("NewKeyHandshakeUrl", &json!({}), None).await?;
        let url = reply.data["url"].as_str().context("a URL")?.to_owned();
        Ok((url, reply.events.context("a stream")?))
    }

    async fn met(&self, mut shown: Self::Shown) -> Result<PublicKey> {
        let event = shown.recv().await.context("the socket is closed")?;
        if event["type"] != "key_handshake" {
            bail!("not a handshake: {event}");
        }
        Ok(PublicKey::from_hex(event["main_key"].as_str().context("a key")?)?)
    }

    async fn authenticate(&self, who: PublicKey) -> Result<Answer> {
        let params = json!({"main_key": who.to_hex(), "subkeys": []});
        let reply = self.command("AuthenticateKey", &params, None).await?;
        let event = &reply.data["event"];
        let token = event["status"]["session_token"].as_str().context("an approval")?;
        Ok(Answer {
            user_key: PublicKey::from_hex(event["user_key"].as_str().context("a key")?)?,
            session_token: token.to_owned(),
        })
    }

    fn surplus(&self) -> u64 {
        self.shared.surplus.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
