//! What goes wrong at the door of a mint.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;

/// The largest answer that is rewritten.
const MOST: usize = 8 * 1024 * 1024;

type Rewrite = Arc<dyn Fn(Value) -> Value + Send + Sync>;

/// Something that goes wrong with one request.
#[derive(Clone)]
pub enum Fault {
    /// The mint acts, and its answer is cut off.
    LoseAnswer,
    /// The request is cut off before the mint sees it.
    LoseRequest,
    /// Somebody else answers.
    Answer(u16, String),
    /// The mint acts, and somebody else answers.
    AnswerFor(u16, String),
    /// The mint acts, and its answer is another.
    Rewrite(Rewrite),
    /// No answer ever comes, and the mint does not see the request.
    Hang,
    /// Nothing.
    Pass,
}

impl Fault {
    /// The mint acts, and its answer is another.
    pub fn rewrite(with: impl Fn(Value) -> Value + Send + Sync + 'static) -> Self {
        Self::Rewrite(Arc::new(with))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LoseAnswer => "LoseAnswer",
            Self::LoseRequest => "LoseRequest",
            Self::Answer(..) => "Answer",
            Self::AnswerFor(..) => "AnswerFor",
            Self::Rewrite(_) => "Rewrite",
            Self::Hang => "Hang",
            Self::Pass => "Pass",
        })
    }
}

/// What is to go wrong, and what was asked.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    once: VecDeque<(String, Fault)>,
    always: Vec<(String, Fault)>,
    asked: Vec<String>,
}

impl Faults {
    /// The next request whose path begins like this goes wrong.
    pub fn once(&self, path: &str, fault: Fault) {
        self.lock().once.push_back((path.to_owned(), fault));
    }

    /// Every request whose path begins like this goes wrong, until [`Faults::clear`].
    pub fn always(&self, path: &str, fault: Fault) {
        self.lock().always.push((path.to_owned(), fault));
    }

    /// Nothing goes wrong any more.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.once.clear();
        state.always.clear();
    }

    /// How many requests had a path that begins like this.
    #[must_use]
    pub fn asked(&self, path: &str) -> usize {
        self.lock().asked.iter().filter(|asked| asked.starts_with(path)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, path: &str) -> Fault {
        let mut state = self.lock();
        state.asked.push(path.to_owned());
        if let Some(place) = state.once.iter().position(|(prefix, _)| path.starts_with(prefix))
            && let Some((_, fault)) = state.once.remove(place)
        {
            return fault;
        }
        let always = state.always.iter().find(|(prefix, _)| path.starts_with(prefix));
        always.map_or(Fault::Pass, |(_, fault)| fault.clone())
    }

    pub(super) async fn pass(&self, path: &str, request: Request, next: Next) -> Response {
        match self.next(path) {
            Fault::Pass => next.run(request).await,
            Fault::LoseRequest => cut_off(),
            Fault::Hang => std::future::pending().await,
            Fault::Answer(status, body) => said(status, body),
            Fault::AnswerFor(status, body) => {
                let response = next.run(request).await;
                drop(to_bytes(response.into_body(), MOST).await);
                said(status, body)
            }
            Fault::LoseAnswer => {
                let response = next.run(request).await;
                drop(to_bytes(response.into_body(), MOST).await);
                cut_off()
            }
            Fault::Rewrite(with) => {
                let response = next.run(request).await;
                let status = response.status();
                let Ok(body) = to_bytes(response.into_body(), MOST).await else {
                    return cut_off();
                };
                let Ok(value) = serde_json::from_slice::<Value>(&body) else {
                    return (status, body).into_response();
                };
                let body = with(value).to_string();
                (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

fn said(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    (status, body).into_response()
}

/// An answer that ends in the middle.
fn cut_off() -> Response {
    let broken = stream::iter([
        Ok(Vec::from(b"{".as_slice())),
        Err(std::io::Error::other("cut off on purpose")),
    ]);
    Body::from_stream(broken).into_response()
}
