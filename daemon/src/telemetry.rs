//! Logs: to the standard error, filtered by `RUST_LOG`, else by `logging.filter`, else `info`; with
//! colours only on a terminal.
//!
//! A filter is a list of `level` and `target=level`; what nothing in it is about is not logged.
//! Filters by field would bring a regular expression engine along, of half a megabyte.
//!
//! No frame, token or key is ever logged by us. Libraries that print what goes over their sockets
//! when asked for detail are not asked, whatever the filter says.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that print frames, requests or messages below `warn`.
const TALKATIVE: [&str; 9] = [
    "tungstenite",
    "tokio_tungstenite",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "nostr",
    "nostr_relay_builder",
    "nostr_database",
];

/// The filter that the process runs with.
///
/// # Errors
/// When the text is not a filter.
pub fn filter(rust_log: Option<&str>, configured: Option<&str>) -> Result<Targets, ParseError> {
    rust_log.filter(|text| !text.is_empty()).or(configured).unwrap_or("info").parse()
}

/// Begins to log. Only once in a process; later calls change nothing.
///
/// # Errors
/// When a filter is not one.
pub fn init(
    rust_log: Option<&str>,
    configured: Option<&str>,
    json: bool,
) -> Result<(), ParseError> {
    let filter = filter(rust_log, configured)?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::stderr().is_terminal() && !plain;
    if subscriber(filter, json, colour, std::io::stderr).try_init().is_err() {
        tracing::debug!("logging had begun already");
    }
    Ok(())
}

/// The filter says what is wanted; a second one, which nobody can overrule, what is not to be had.
fn subscriber<W>(
    filter: Targets,
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

    /// What comes out when talkative libraries, and we, say something.
    fn said(asked: &str) -> String {
        let (sender, lines) = std::sync::mpsc::channel::<Vec<u8>>();
        let writer = std::sync::Mutex::new(Line(sender));
        let subscriber =
            subscriber(filter(Some(asked), None).expect("a filter"), false, false, writer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "tungstenite::protocol", "frame");
            tracing::debug!(target: "hyper::proto::h1", "frame");
            tracing::info!(target: "nostr_relay_builder", "frame");
            tracing::warn!(target: "hyper_util::client", "trouble");
            tracing::trace!(target: "portal_daemon::start", "ours");
        });
        String::from_utf8(lines.iter().flatten().collect()).expect("text")
    }

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
    fn talkative_libraries_stay_quiet_whatever_is_asked_for() {
        for asked in [
            "trace",
            "trace,tungstenite=trace",
            "trace,tungstenite::protocol=trace,hyper::proto::h1=trace",
            "trace,nostr_relay_builder=info",
        ] {
            let text = said(asked);
            assert!(!text.contains("frame"), "{asked}: {text}");
            assert!(text.contains("ours") && text.contains("trouble"), "{asked}: {text}");
        }
        assert_eq!(said("off"), "");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let text = |rust_log, file| filter(rust_log, file).expect("a filter").to_string();
        assert!(text(Some("warn"), Some("debug")).contains("warn"));
        assert!(text(None, Some("debug")).contains("debug"));
        assert!(text(Some(""), None).contains("info"));
        assert!(filter(Some("portal=nonsense"), None).is_err());
    }
}
