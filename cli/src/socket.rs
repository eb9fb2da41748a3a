//! A backend's connection to the daemon: commands and their answers, and the notifications between
//! them. One command at a time, which is all that the demo and the doctor need.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use portal_core::primitives::Secret;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// How long the connection and the first answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that the daemon accepted.
pub struct DaemonSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    commands: u64,
    notifications: VecDeque<Value>,
}

/// Why the daemon did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// No connection.
    #[error("no websocket connection to the daemon")]
    Unreachable(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// It was there and went away.
    #[error("the daemon closed the connection")]
    Closed,
    /// No answer in time.
    #[error("the daemon did not answer in time")]
    Timeout,
    /// It said no.
    #[error("the daemon refused {command}: {message} [{code}]")]
    Refused {
        /// Which command.
        command: &'static str,
        /// The stable word.
        code: String,
        /// For people.
        message: String,
    },
    /// What it said cannot be read.
    #[error("the daemon sent something that cannot be read")]
    Garbage,
}

impl SocketError {
    /// Whether the token was wrong.
    pub fn is_wrong_token(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "auth_failed")
    }
}

impl DaemonSocket {
    /// Connects and shows the token.
    ///
    /// # Errors
    /// When there is no daemon, or the token is wrong.
    pub async fn connect(url: &str, token: &Secret<String>) -> Result<Self, SocketError> {
        let connecting = async {
            // Without TCP_NODELAY a small frame would wait for the answer to the one before.
            let (stream, _) = connect_async_with_config(url, None, true)
                .await
                .map_err(|error| SocketError::Unreachable(Box::new(error)))?;
            let mut socket = Self { stream, commands: 0, notifications: VecDeque::new() };
            socket.call("Auth", json!({"token": token.expose()})).await?;
            Ok(socket)
        };
        tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| SocketError::Timeout)?
    }

    /// Sends a command and waits for its answer, for as long as it takes: the `data` of the
    /// success frame.
    ///
    /// # Errors
    /// When the daemon refuses, or the connection ends.
    pub async fn call(
        &mut self,
        command: &'static str,
        params: Value,
    ) -> Result<Value, SocketError> {
        self.commands = self.commands.saturating_add(1);
        let id = format!("portal-{}", self.commands);
        let frame = json!({"id": id, "cmd": command, "params": params}).to_string();
        self.stream.send(Message::text(frame)).await.map_err(|_| SocketError::Closed)?;
        loop {
            let mut frame = self.frame().await?;
            let kind = text(&frame, "type");
            if kind == "notification" {
                self.notifications.push_back(frame);
                continue;
            }
            // What could not be read is answered with an empty id; we wait for nothing else.
            let answered = text(&frame, "id");
            if answered != id && !answered.is_empty() {
                continue;
            }
            return match kind.as_str() {
                "success" => Ok(frame["data"].take()),
                _ => Err(SocketError::Refused {
                    command,
                    code: text(&frame, "code"),
                    message: text(&frame, "message"),
                }),
            };
        }
    }

    /// The next notification of a stream: its `data`.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn notification(&mut self, stream: &str) -> Result<Value, SocketError> {
        let of_stream = |frame: &Value| frame["id"] == stream;
        if let Some(place) = self.notifications.iter().position(of_stream)
            && let Some(mut frame) = self.notifications.remove(place)
        {
            return Ok(frame["data"].take());
        }
        loop {
            let mut frame = self.frame().await?;
            if frame["type"] != "notification" {
                continue;
            }
            if of_stream(&frame) {
                return Ok(frame["data"].take());
            }
            self.notifications.push_back(frame);
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // Whether the daemon still listens does not matter any more.
        drop(tokio::time::timeout(Duration::from_secs(1), self.stream.close(None)).await);
    }

    async fn frame(&mut self) -> Result<Value, SocketError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).map_err(|_| SocketError::Garbage);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(SocketError::Closed),
                Some(Ok(_)) => {}
            }
        }
    }
}

/// A member that is a text.
pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}
