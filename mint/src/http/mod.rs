//! The mint over HTTP: the door, what we answer ourselves, and cdk's router for the rest.

mod bounded;
mod door;
mod issue;
mod quotes;
mod refusal;
pub mod server;
mod sockets;
mod swap;
mod units;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cdk_axum::cache::HttpCache;
use portal_core::env::Env;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

pub use self::door::Door;
use self::door::{Passed, cross_origin};
pub use self::refusal::Refusal;
use self::sockets::Place;
pub use self::sockets::Sockets;
use crate::auth::Endpoint;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::supply::Supply;
use crate::units::Units;

/// The largest body; a request with a thousand proofs has half of it.
const MAX_BODY: usize = 2 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(15);

/// What requests work with.
pub struct Shared {
    /// The mint.
    pub mint: Arc<cdk::mint::Mint>,
    /// Its books.
    pub store: Arc<Store>,
    /// What it issues.
    pub units: Units,
    /// What is left of it.
    pub supply: Supply,
    /// Who may pass.
    pub door: Door,
    /// How many sockets there are.
    pub sockets: Arc<Sockets>,
    /// What is counted.
    pub metrics: Metrics,
    /// The most that is melted in one request.
    pub melt_inputs_max: Option<u64>,
    /// Clock.
    pub env: Env,
    /// cdk's own router.
    pub cdk: Router,
    /// What was answered a moment ago, for those who did not hear it.
    pub answers: Arc<HttpCache>,
    /// What is left to do of requests whose wallets hung up.
    pub tasks: TaskTracker,
}

/// Every way in, as a service: for [`server::run`], and for tests that want no socket.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(shared)
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let passed =
            shared.door.pass(request.method(), request.uri().path(), request.headers(), peer);
        let counted = passed.as_ref().ok().and_then(|passed| passed.endpoint.operation());
        let response = match passed {
            Ok(passed) if passed.endpoint == Endpoint::Socket => {
                socket(&shared, peer, request).await
            }
            Ok(passed) if passed.endpoint.changes() => finish(&shared, passed, request).await,
            Ok(passed) => answer(&shared, passed, request).await,
            Err(refusal) => refusal.into_response(),
        };
        let name = counted.map_or("other", |operation| operation.name());
        shared.metrics.count(name, response.status().as_u16());
        response
    };
    cross_origin(&mut response);
    response
}

/// Lets a connection become a socket, if there is a place. It has the place for as long as it is
/// one: a request that is no upgrade gives it back at once.
async fn socket(shared: &Arc<Shared>, peer: SocketAddr, request: Request) -> Response {
    /// How long to wait for a place.
    const WAIT: Duration = Duration::from_secs(60);

    let address = shared.door.address(request.headers(), peer);
    let Some(seat) = shared.sockets.enter(address) else {
        return Refusal::too_many(WAIT).into_response();
    };
    let place = request.extensions().get::<Place>().cloned();
    let response = forward(shared, request).await;
    if let Some(place) = place.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
        place.hold(seat);
    }
    response
}

/// Answers, and goes on doing so when nobody waits any more.
fn finish(shared: &Arc<Shared>, passed: Passed, request: Request) -> Finishing {
    let own = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    let work = Box::pin(async move { answer(&own, passed, request).await });
    Finishing { work: Some(work), tasks, handle: Handle::current() }
}

/// A request that changes the books. A wallet that hangs up in the middle of a swap must not leave
/// its proofs pending until the mint starts again: what is left of the work is then done in a task
/// of its own. Only then, since a task for each request costs more than the door does.
struct Finishing {
    work: Option<Pin<Box<dyn Future<Output = Response> + Send>>>,
    tasks: TaskTracker,
    handle: Handle,
}

impl Future for Finishing {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(Refusal::broken().into_response());
        };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tasks.spawn_on(async move { drop(work.await) }, &self.handle);
        }
    }
}

async fn answer(shared: &Arc<Shared>, passed: Passed, request: Request) -> Response {
    let Passed { endpoint, grant, lightning_only } = passed;
    let looks = lightning_only || !shared.supply.is_empty();
    let answered = match endpoint {
        Endpoint::Health => units::health(shared).await,
        Endpoint::Metrics => units::metrics(shared).await,
        Endpoint::Info => units::info(shared).await,
        Endpoint::Unit(unit) => units::unit(shared, &unit),
        Endpoint::KeysOf(of) => match units::keys_of(shared, &of) {
            Some(keys) => Ok(keys),
            None => Ok(forward(shared, request).await),
        },
        Endpoint::NewMintQuote(by) => {
            quotes::new_mint_quote(shared, by, grant.as_deref(), lightning_only, request).await
        }
        Endpoint::NewMeltQuote(_) => {
            quotes::new_melt_quote(shared, grant.as_deref(), request).await
        }
        Endpoint::Mint(_) if looks => issue::mint(shared, lightning_only, request).await,
        Endpoint::MintBatch(_) if looks => issue::batch(shared, lightning_only, request).await,
        Endpoint::Melt(_) if shared.melt_inputs_max.is_some() => issue::melt(shared, request).await,
        Endpoint::Swap => swap::swap(shared, request).await,
        Endpoint::Keys
        | Endpoint::Keysets
        | Endpoint::MintQuote(_)
        | Endpoint::MintQuotes(_)
        | Endpoint::Mint(_)
        | Endpoint::MintBatch(_)
        | Endpoint::MeltQuote(_)
        | Endpoint::Melt(_)
        | Endpoint::CheckState
        | Endpoint::Restore
        | Endpoint::Socket => Ok(forward(shared, request).await),
    };
    answered.unwrap_or_else(Refusal::into_response)
}

/// Hands a request to cdk's router.
async fn forward(shared: &Shared, request: Request) -> Response {
    shared.cdk.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// The whole body.
async fn body(request: Request, limit: usize) -> Result<Bytes, Refusal> {
    axum::body::to_bytes(request.into_body(), limit).await.map_err(|_| Refusal::too_large())
}

/// Takes the body out of a request, so that it can be read and the request handed on.
async fn read(request: Request) -> Result<(axum::http::request::Parts, Bytes), Refusal> {
    let (parts, content) = request.into_parts();
    let content = tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(content, MAX_BODY))
        .await
        .map_err(|_| Refusal::too_slow())?
        .map_err(|_| Refusal::too_large())?;
    Ok((parts, content))
}

/// Puts a request together again.
fn whole(mut parts: axum::http::request::Parts, content: Bytes) -> Request {
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.insert(header::CONTENT_LENGTH, content.len().into());
    Request::from_parts(parts, Body::from(content))
}
