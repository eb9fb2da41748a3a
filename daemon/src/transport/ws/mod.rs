//! The socket at `/ws`: the dialect of the 0.3 clients, with additions they do not notice.
//!
//! `frame` is the form of what goes over it, `login` the part before the token was shown,
//! `session` the loop after it, `streams` which event becomes which frame, `outbox` what waits
//! to be written. One task for each socket; commands run beside it and outlive it.

pub mod frame;
mod login;
mod outbox;
mod session;
mod streams;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, State, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::rest::{refusal, unauthorized};
use super::server::Peer;
use crate::error::CommandError;
use crate::state::AppState;

/// The largest frame before the token was shown.
pub const MAX_FRAME_BEFORE_LOGIN: usize = 64 * 1024;

/// The largest frame after it.
pub const MAX_FRAME: usize = 1024 * 1024;

/// All that a socket may send before the token was shown, in bytes on the wire.
const MAX_BYTES_BEFORE_LOGIN: usize = 2 * MAX_FRAME_BEFORE_LOGIN;

/// One read of the kernel. Small, since every idle socket keeps a buffer of this size.
const READ_BUFFER: usize = 2 * 1024;

/// What is gathered before the kernel is told to send.
const WRITE_BUFFER: usize = 16 * 1024;

/// `GET /ws`.
pub(crate) async fn upgrade(
    State(state): State<AppState>,
    Extension(mut peer): Extension<Peer>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    peer.address.set_ip(state.gate.speaker(peer.address.ip(), &headers));
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        // Not a socket at all: as with the first daemons, who has no token learns nothing else.
        Err(rejection) => {
            return match state.gate.admit(peer.address.ip(), &headers).await {
                Ok(()) => rejection.into_response(),
                Err(error) => unauthorized(&error),
            };
        }
    };
    if state.stopping.is_cancelled() {
        return refusal(&CommandError::shutting_down());
    }
    let place = match state.gate.wait(peer.address.ip()) {
        Ok(place) => place,
        Err(error) => return refusal(&error),
    };
    peer.meter.limit(MAX_BYTES_BEFORE_LOGIN);
    let tasks = state.tasks.clone();
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME)
        .on_upgrade(move |socket| tasks.track_future(login::serve(socket, state, peer, place)))
}
