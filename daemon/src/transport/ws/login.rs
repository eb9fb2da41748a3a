//! The part of a socket before the token was shown: short, small, and told why when it ends.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::SinkExt;
use portal_core::primitives::ErrorCode;
use tokio::time::{sleep, timeout};

use super::frame::{self, FrameId};
use super::{MAX_BYTES_BEFORE_LOGIN, MAX_FRAME_BEFORE_LOGIN, session};
use crate::auth::PENALTY;
use crate::commands::{Command, Reply, auth};
use crate::error::CommandError;
use crate::rate_limit::OpenGuard;
use crate::state::AppState;
use crate::transport::server::Peer;

/// How long a socket may take to show the token.
pub(super) const LOGIN_LIMIT: Duration = Duration::from_secs(5);

/// How long the last words to a socket may take.
pub(super) const GOODBYE_LIMIT: Duration = Duration::from_secs(2);

/// Serves a socket from its first frame to its end.
pub(super) async fn serve(socket: WebSocket, state: AppState, peer: Peer, place: OpenGuard) {
    // Each part is boxed, so that a socket that only waits holds no room for the other part.
    let Some(socket) = Box::pin(login(socket, &state, &peer)).await else { return };
    drop(place);
    peer.meter.unlimit();
    Box::pin(session::serve(socket, state, peer)).await;
}

/// Waits for the token. `None` when the socket is done.
async fn login(mut socket: WebSocket, state: &AppState, peer: &Peer) -> Option<WebSocket> {
    let verdict = tokio::select! {
        verdict = timeout(LOGIN_LIMIT, wait_for_token(&mut socket, state, peer)) => verdict,
        () = state.stopping.cancelled() => {
            goodbye(socket, close_code::RESTART, "the daemon is restarting").await;
            return None;
        }
    };
    match verdict {
        Ok(ControlFlow::Continue(())) => Some(socket),
        Ok(ControlFlow::Break(Some((id, error)))) => {
            // Room to read on to the other side's goodbye, or it would hear only a broken line.
            peer.meter.limit(MAX_BYTES_BEFORE_LOGIN);
            let code = match error.code {
                ErrorCode::TooLarge => close_code::SIZE,
                _ => close_code::POLICY,
            };
            last_words(socket, &id, &error, code).await;
            None
        }
        Ok(ControlFlow::Break(None)) => None,
        Err(_) => {
            // No frame: there is nothing that it would answer.
            goodbye(socket, close_code::POLICY, ErrorCode::Unauthenticated.word()).await;
            None
        }
    }
}

/// Reads until the token was shown, or something else was.
async fn wait_for_token(
    socket: &mut WebSocket,
    state: &AppState,
    peer: &Peer,
) -> ControlFlow<Option<(FrameId, CommandError)>> {
    loop {
        let text = match socket.recv().await {
            None | Some(Ok(Message::Close(_))) => return ControlFlow::Break(None),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => continue,
            Some(Err(_)) if peer.meter.is_exhausted() => return too_large(),
            Some(Err(_)) => return ControlFlow::Break(None),
        };
        if text.len() > MAX_FRAME_BEFORE_LOGIN {
            return too_large();
        }
        let answer = match frame::read(&text) {
            Ok(command) => match command.command {
                Command::Auth(request) => {
                    match state.gate.check(peer.address.ip(), request.token.expose()) {
                        Ok(()) => {
                            let reply = Reply::from(auth::Reply::default());
                            let text = frame::success(&command.id, &reply);
                            return match socket.send(Message::Text(text.into())).await {
                                Ok(()) => ControlFlow::Continue(()),
                                Err(_) => ControlFlow::Break(None),
                            };
                        }
                        Err(error) => {
                            if error.code == ErrorCode::RateLimited {
                                sleep(PENALTY).await;
                            }
                            return ControlFlow::Break(Some((command.id, error)));
                        }
                    }
                }
                _ => {
                    let error = CommandError::not_authenticated();
                    return ControlFlow::Break(Some((command.id, error)));
                }
            },
            // As it always was: what cannot be read is said, and the socket stays open.
            Err(bad) => frame::error(&bad.id, &bad.error),
        };
        if socket.send(Message::Text(answer.into())).await.is_err() {
            return ControlFlow::Break(None);
        }
    }
}

fn too_large() -> ControlFlow<Option<(FrameId, CommandError)>> {
    let error = CommandError::new(
        ErrorCode::TooLarge,
        "Invalid command format: more than 64 KiB before authentication",
    );
    ControlFlow::Break(Some((FrameId::none(), error)))
}

/// Says why, and closes only when that was written.
pub(super) async fn last_words(
    mut socket: WebSocket,
    id: &FrameId,
    error: &CommandError,
    code: u16,
) {
    let text = frame::error(id, error);
    if let Ok(Ok(())) = timeout(GOODBYE_LIMIT, socket.feed(Message::Text(text.into()))).await {
        goodbye(socket, code, error.code.word()).await;
    }
}

/// Closes with a code, and waits for the other side to have seen it.
pub(super) async fn goodbye(mut socket: WebSocket, code: u16, reason: &'static str) {
    let close = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    let farewell = async {
        socket.send(Message::Close(Some(close))).await?;
        // The other side's close frame, or its end of the connection: closing before would throw
        // away what is still on its way to a slow reader.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<(), axum::Error>(())
    };
    if let Ok(Err(error)) = timeout(GOODBYE_LIMIT, farewell).await {
        tracing::debug!(%error, "a socket was gone before it could be closed");
    }
}
