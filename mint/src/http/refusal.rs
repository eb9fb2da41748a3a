//! The body of every refusal: Cashu's `{ "code": …, "detail": … }`.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cdk::error::ErrorResponse;

use crate::supply::SupplyError;

/// A request that is not served, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    code: u16,
    detail: String,
    retry_after: Option<Duration>,
}

/// "Unknown error" of wallets: what has no code of its own.
const OTHER: u16 = 50_000;

impl Refusal {
    fn new(status: StatusCode, code: u16, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// There is nothing at this path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, OTHER, "there is nothing here")
    }

    /// No such unit.
    pub fn no_unit() -> Self {
        Self::new(StatusCode::NOT_FOUND, 11_013, "the mint does not have this unit")
    }

    /// A token is needed. The code is the one that wallets know.
    pub fn token_needed() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 30_001, "a token is needed here")
    }

    /// There is a token, and it is not one of ours.
    pub fn wrong_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 30_002, "the token is not valid")
    }

    /// The token is for something else.
    pub fn not_covered(what: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, 30_002, format!("the token does not cover {what}"))
    }

    /// Turned off for everybody.
    pub fn disabled(operation: &str) -> Self {
        let detail = format!("{operation} is turned off at this mint");
        Self::new(StatusCode::BAD_REQUEST, 20_003, detail)
    }

    /// Too many requests.
    pub fn too_many(wait: Duration) -> Self {
        let mut refusal =
            Self::new(StatusCode::TOO_MANY_REQUESTS, OTHER, "too many requests; try again later");
        refusal.retry_after = Some(wait);
        refusal
    }

    /// The body is too long.
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, OTHER, "the request is too large")
    }

    /// The body does not come.
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, OTHER, "the request took too long to arrive")
    }

    /// The body is not what belongs here.
    pub fn malformed(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, OTHER, format!("the request makes no sense: {what}"))
    }

    /// More than the mint can hold.
    pub fn too_much(most: u64) -> Self {
        let detail = format!("proofs of more than {most} cannot be melted at once");
        Self::new(StatusCode::BAD_REQUEST, 11_006, detail)
    }

    /// The unit's tickets have ended.
    pub fn ended() -> Self {
        Self::new(StatusCode::BAD_REQUEST, 12_003, "this unit has ended")
    }

    /// Our own fault.
    pub fn broken() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, OTHER, "the mint cannot do this now")
    }
}

impl From<cdk::Error> for Refusal {
    fn from(error: cdk::Error) -> Self {
        let ErrorResponse { code, detail } = error.into();
        Self::new(StatusCode::BAD_REQUEST, code.to_code(), detail)
    }
}

impl From<SupplyError> for Refusal {
    fn from(error: SupplyError) -> Self {
        match error {
            SupplyError::SoldOut { .. } => {
                Self::new(StatusCode::BAD_REQUEST, 11_006, format!("sold out: {error}"))
            }
            SupplyError::Books => Self::broken(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "code": self.code, "detail": self.detail });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
