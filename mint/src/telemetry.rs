//! Logs: to the standard error, filtered by `RUST_LOG`, else `info`.
//!
//! No token, key or proof is ever logged by us. Libraries that print requests when asked for
//! detail are not asked, whatever the filter says; cdk logs each refusal as an error, which here
//! is a stranger's mistake and not news.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt, ParseError, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that print what goes over their sockets below `warn`.
const TALKATIVE: [&str; 8] = [
    "tungstenite",
    "tokio_tungstenite",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "nostr",
    "tokio_postgres",
];

/// Without a filter of somebody: ours, and of cdk only what matters.
const USUAL: &str = "info,cdk=warn,cdk_axum=off,cdk_common=warn,cdk_signatory=warn,\
                     cdk_sql_common=error,cdk_sqlite=warn";

/// Begins to log. Only once in a process; later calls change nothing.
///
/// # Errors
/// When the filter is not one.
pub fn init(rust_log: Option<&str>, json: bool) -> Result<(), ParseError> {
    let filter: EnvFilter = rust_log.filter(|text| !text.is_empty()).unwrap_or(USUAL).parse()?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = if json { layer.json().boxed() } else { layer.compact().boxed() };
    let quiet = TALKATIVE.map(|target| (target, LevelFilter::WARN));
    let muted = Targets::new().with_default(LevelFilter::TRACE).with_targets(quiet);
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter.and(muted)));
    if subscriber.try_init().is_err() {
        tracing::debug!("logging had begun already");
    }
    Ok(())
}
