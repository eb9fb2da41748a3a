//! The one way from the errors of the core to what JavaScript gets: napi carries a text, so it is
//! JSON, and `lib.js` makes a `PortalError` of it.

use napi_derive::napi;
use portal_core::primitives::ErrorCode;

/// An error with this code.
pub fn error(code: ErrorCode, message: &str) -> napi::Error {
    let portal = serde_json::json!({
        "portal": {
            "code": code.word(),
            "number": code.number(),
            "message": message,
            "retryable": code.retryable(),
        }
    });
    napi::Error::from_reason(portal.to_string())
}

/// An error of the core.
pub fn failed(cause: impl Into<portal_core::Error>) -> napi::Error {
    let cause = cause.into();
    error(cause.code(), &cause.to_string())
}

/// What came in cannot be used.
pub fn invalid(message: &str) -> napi::Error {
    error(ErrorCode::InvalidRequest, message)
}

/// The words of all error codes there are.
#[napi]
#[must_use]
pub fn error_codes() -> Vec<String> {
    ErrorCode::ALL.iter().map(|code| code.word().to_owned()).collect()
}
