//! gRPC and plain HTTP on one port.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::ledger::Ledger;
use super::{operators, ssp};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Longer requests are not read.
const MAX_REQUEST: usize = 16 << 20;

/// What a call is answered with.
pub(super) enum Reply {
    /// One message.
    One(Vec<u8>),
    /// Messages until the connection ends.
    Many(mpsc::UnboundedReceiver<Vec<u8>>),
    /// A status, not zero.
    Status(u8, &'static str),
}

/// Status codes of gRPC.
pub(super) const UNAUTHENTICATED: u8 = 16;
pub(super) const UNAVAILABLE: u8 = 14;
pub(super) const UNIMPLEMENTED: u8 = 12;
pub(super) const INVALID_ARGUMENT: u8 = 3;

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, ledger: Arc<Ledger>) {
    let service = service_fn(move |request| answer(request, ledger.clone()));
    let builder = Builder::new(TokioExecutor::new());
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        tracing::debug!(error, "a connection to the fake of Spark ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    ledger: Arc<Ledger>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_REQUEST).collect().await else {
        return Ok(plain(StatusCode::BAD_REQUEST, Vec::new()));
    };
    let body = body.to_bytes();
    let token = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    if head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
    {
        // One byte that says "not compressed", four of length.
        let reply = match body.split_at_checked(5) {
            Some(([0, ..], message)) => operators::answer(&ledger, head.uri.path(), token, message),
            Some(_) | None => Reply::Status(INVALID_ARGUMENT, "no message"),
        };
        return Ok(framed(reply));
    }
    let (status, text) = ssp::answer(&ledger, token, &body);
    Ok(plain(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), text))
}

fn framed(reply: Reply) -> Response<Body> {
    let mut response = match reply {
        Reply::One(message) => {
            let frames = [Frame::data(frame(&message)), Frame::trailers(trailers())];
            Response::new(BodyExt::boxed_unsync(StreamBody::new(stream::iter(
                frames.map(Ok::<_, Infallible>),
            ))))
        }
        Reply::Many(receiver) => {
            let messages = stream::unfold(receiver, |mut receiver| async move {
                let message = receiver.recv().await?;
                Some((Ok::<_, Infallible>(Frame::data(frame(&message))), receiver))
            });
            let end = stream::once(async { Ok(Frame::trailers(trailers())) });
            Response::new(BodyExt::boxed_unsync(StreamBody::new(messages.chain(end))))
        }
        Reply::Status(code, message) => {
            let mut response = Response::new(BodyExt::boxed_unsync(Full::new(Bytes::new())));
            response.headers_mut().insert("grpc-status", HeaderValue::from(u16::from(code)));
            response.headers_mut().insert("grpc-message", HeaderValue::from_static(message));
            response
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("short messages");
    [&[0], length.to_be_bytes().as_slice(), message].concat().into()
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from(0u16))])
}

fn plain(status: StatusCode, text: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(BodyExt::boxed_unsync(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
