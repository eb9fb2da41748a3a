//! `portal doctor`: looks at everything a login and a payment need, and says for each what is
//! wrong and what to do about it.
//!
//! It only looks: nothing is changed, and nothing is paid. One file per thing that can be ill.

mod daemon;
mod files;
mod relays;
mod wallet;

use std::path::PathBuf;
use std::process::ExitCode;

use portal_core::primitives::Secret;
use serde::Serialize;

use crate::error::CliError;
use crate::password::small_file;
use crate::place::Place;
use crate::terminal::{Style, Terminal, clean};

/// Find out what is wrong with a set-up, and what to do about it.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the daemon is [default: http://127.0.0.1:3000].
    #[arg(long, value_name = "URL", env = "PORTAL_URL")]
    url: Option<String>,
    /// Read the daemon's token from this file [default: AUTH_TOKEN].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The daemon's configuration file [default: where the daemon looks].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's program [default: next to this one, else on the PATH].
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
    /// A relay to look at; give it several times [default: NOSTR_RELAYS, else the usual ones].
    #[arg(long = "relay", value_name = "URL", env = "NOSTR_RELAYS", value_delimiter = ',')]
    relays: Vec<String>,
    /// The lightning wallet's link.
    #[arg(long, value_name = "URI", env = "NWC_URL", hide_env_values = true)]
    nwc: Option<String>,
    /// The person's key [default: key.ncryptsec in the data directory].
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// Nothing to do.
    Ok,
    /// Works, or is not needed by everybody.
    Warn,
    /// Keeps something from working.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    r#type: &'static str,
    area: &'static str,
    level: Level,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(area: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { r#type: "finding", area, level: Level::Ok, message, advice: None }
    }

    fn warn(area: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { level: Level::Warn, advice, ..Self::ok(area, message) }
    }

    /// Bad for those who need it, odd for everybody else.
    fn bad_if(
        needed: bool,
        area: &'static str,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let level = if needed { Level::Bad } else { Level::Warn };
        Self { level, ..Self::warn(area, message, advice) }
    }

    fn bad(area: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { level: Level::Bad, advice, ..Self::ok(area, message) }
    }
}

/// Looks at everything. The exit code tells whether something is bad.
///
/// # Errors
/// When the output cannot be written or the token file cannot be read.
pub async fn run(
    arguments: Arguments,
    place: &Place,
    terminal: &Terminal,
) -> Result<ExitCode, CliError> {
    let Arguments { url, token_file, config, daemon: program, relays, nwc, key_file } = arguments;
    let set = |text: &String| !text.trim().is_empty();
    let token = match token_file {
        Some(path) => {
            let text = small_file(&path, 4096)?;
            Some(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
        }
        None => std::env::var("AUTH_TOKEN").ok().filter(set).map(Secret::new),
    };
    let nwc = nwc.filter(set).map(Secret::new);
    terminal.say(&format!("\n{}\n", terminal.paint(Style::Bold, "Portal doctor")))?;

    let expected = url.as_ref().is_some_and(set) || token.is_some();
    let url = url.filter(set).unwrap_or_else(|| "http://127.0.0.1:3000".to_owned());
    let files = async {
        let mut findings = files::data_folder(place);
        findings.extend(files::key(place, key_file));
        findings
    };
    let daemons = async {
        let examined = daemon::check(&url, token.as_ref(), expected).await;
        let needed = expected && !examined.runs;
        let config = daemon::check_config(program, config, needed).await;
        (examined, config)
    };
    let wallets = wallet::check(nwc.as_ref());
    let ((daemon, config), relays, wallet, files) =
        tokio::join!(daemons, relays::check(&relays), wallets, files);
    let (relays, mut offsets) = relays;
    offsets.extend(daemon.clock_offset);
    let all = [daemon.findings, config, relays, vec![relays::clock(offsets)], wallet, files];
    let all: Vec<Finding> = all.into_iter().flatten().collect();

    for finding in &all {
        show(terminal, finding)?;
    }
    let count = |level| all.iter().filter(|finding| finding.level == level).count();
    let (bad, warn) = (count(Level::Bad), count(Level::Warn));
    let record = serde_json::json!({
        "type": "result", "ok": bad == 0, "bad": bad, "warn": warn, "checked": all.len(),
    });
    terminal.tell(&record, || {
        let (style, text) = match (bad, warn) {
            (0, 0) => (Style::Good, "Everything is fine.".to_owned()),
            (0, _) => (Style::Good, format!("Nothing is broken. {} to look at.", things(warn))),
            _ => (Style::Bad, format!("{} to mend.", things(bad))),
        };
        format!("\n{}", terminal.paint(style, &text))
    })?;
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(terminal: &Terminal, finding: &Finding) -> Result<(), CliError> {
    terminal.tell(finding, || {
        let mark = match finding.level {
            Level::Ok => terminal.paint(Style::Good, terminal.either("✔", "ok  ")),
            Level::Warn => terminal.paint(Style::Warn, terminal.either("!", "warn")),
            Level::Bad => terminal.paint(Style::Bad, terminal.either("✘", "bad ")),
        };
        let area = terminal.paint(Style::Bold, &format!("{:<9}", finding.area));
        let mut text = format!("  {mark} {area} {}", clean(&finding.message, 300));
        if let Some(advice) = &finding.advice {
            let indent = if terminal.has_unicode() { 14 } else { 17 };
            let arrow = terminal.paint(Style::Dim, terminal.either("→", "->"));
            text.push_str(&format!("\n{:indent$}{arrow} {}", "", clean(advice, 600)));
        }
        text
    })
}

fn things(count: usize) -> String {
    if count == 1 { "One thing".to_owned() } else { format!("{count} things") }
}
