//! Logs: to the standard error, filtered by `RUST_LOG`, else `info`; with colours only on a
//! terminal.
//!
//! No token, key or proof is ever logged by us. Libraries that print requests when asked for
//! detail are not asked, whatever the filter says; cdk logs each refusal as an error, which here
//! is a stranger's mistake and not news.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
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
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::stderr().is_terminal() && !plain;
    if subscriber(filter, json, colour, std::io::stderr).try_init().is_err() {
        tracing::debug!("logging had begun already");
    }
    Ok(())
}

fn subscriber<W>(
    filter: EnvFilter,
    json: bool,
    colour: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    let layer = layer.with_ansi(colour);
    let layer = if json { layer.json().boxed() } else { layer.compact().boxed() };
    let quiet = TALKATIVE.map(|target| (target, LevelFilter::WARN));
    let muted = Targets::new().with_default(LevelFilter::TRACE).with_targets(quiet);
    tracing_subscriber::registry().with(layer.with_filter(filter.and(muted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Line(std::sync::mpsc::Sender<Vec<u8>>);

    impl std::io::Write for Line {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn colours_are_for_terminals() {
        let said = |colour| {
            let (sender, lines) = std::sync::mpsc::channel();
            let writer = std::sync::Mutex::new(Line(sender));
            let filter = EnvFilter::new("info");
            let subscriber = subscriber(filter, false, colour, writer);
            tracing::subscriber::with_default(subscriber, || tracing::warn!("trouble"));
            String::from_utf8(lines.iter().flatten().collect()).expect("text")
        };
        assert!(said(true).contains('\u{1b}'));
        let plain = said(false);
        assert!(plain.contains("trouble") && !plain.contains('\u{1b}'), "{plain}");
    }
}
