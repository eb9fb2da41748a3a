//! One connection of the simulated people: one subscription by author, connected again for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use portal_core::protocol::kinds;
use tokio::sync::mpsc;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Inner;

/// Serves one relay until the people are dropped. What may not have been sent is sent again after
/// the next connection: a service must bear duplicates.
pub(super) async fn run(
    inner: Arc<Inner>,
    url: String,
    mut queue: mpsc::UnboundedReceiver<Arc<str>>,
) {
    let mut held: Vec<Arc<str>> = Vec::new();
    loop {
        // Connecting again is all there is to do about an error.
        drop(serve(&inner, &url, &mut queue, &mut held).await);
        if queue.is_closed() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn serve(
    inner: &Inner,
    url: &str,
    queue: &mut mpsc::UnboundedReceiver<Arc<str>>,
    held: &mut Vec<Arc<str>>,
) -> Result<(), Error> {
    let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
    let (socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(config), true).await?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_nodelay(true)?;
    }
    let (mut writer, mut reader) = socket.split();
    let asks = [kinds::AUTH_CHALLENGE, kinds::PAYMENT_REQUEST, kinds::RECURRING_REQUEST];
    let request = serde_json::json!(["REQ", "people", {
        "kinds": asks, "authors": [inner.service.to_hex()], "limit": 0
    }]);
    writer.send(Message::text(request.to_string())).await?;
    let subscribed = AtomicBool::new(false);
    let reading = async {
        while let Some(message) = reader.next().await {
            let Message::Text(text) = message? else { continue };
            if text.as_str().starts_with("[\"EVENT\",") {
                if let Err(error) = inner.hear(text.as_str()) {
                    eprintln!("people: {error:#}");
                }
            } else if text.as_str().starts_with("[\"EOSE\",")
                && !subscribed.swap(true, Ordering::SeqCst)
            {
                inner.subscribed.fetch_add(1, Ordering::SeqCst);
                inner.moved.notify_waiters();
            }
        }
        Ok(())
    };
    let writing = async {
        loop {
            if held.is_empty() && queue.recv_many(held, 128).await == 0 {
                return Ok(());
            }
            for frame in held.iter() {
                writer.feed(Message::text(frame.to_string())).await?;
            }
            writer.flush().await?;
            held.clear();
        }
    };
    let result = tokio::select! {
        result = reading => result,
        result = writing => result,
    };
    if subscribed.into_inner() {
        inner.subscribed.fetch_sub(1, Ordering::SeqCst);
    }
    result
}
