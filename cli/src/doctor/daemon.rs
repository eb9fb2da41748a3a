//! Is the daemon there, is it ready, does it take the token, and is its configuration complete?

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use portal_core::env::Env;
use portal_core::primitives::Secret;
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;

use super::{Finding, Level, relays};
use crate::demo::program;
use crate::socket::{DaemonSocket, SocketError, text};

const AREA: &str = "daemon";
const CONFIG: &str = "config";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is read of an answer.
const LARGEST: usize = 64 * 1024;

/// What was found out about the daemon.
pub(super) struct Examined {
    pub(super) findings: Vec<Finding>,
    /// Whether a daemon answers.
    pub(super) runs: bool,
    /// How far its clock is ahead of ours, in seconds.
    pub(super) clock_offset: Option<i64>,
}

/// Asks the daemon how it is.
pub(super) async fn check(url: &str, token: Option<&Secret<String>>, expected: bool) -> Examined {
    let mut examined = Examined { findings: Vec::new(), runs: false, clock_offset: None };
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(base) = parsed else {
        examined.findings.push(Finding::bad(
            AREA,
            "the daemon's URL cannot be read",
            "give it like http://127.0.0.1:3000, with --url or PORTAL_URL",
        ));
        return examined;
    };
    let client = match Client::builder().timeout(PATIENCE).no_proxy().build() {
        Ok(client) => client,
        Err(error) => {
            let advice = "this build of portal cannot speak HTTP; install it again";
            examined.findings.push(Finding::bad(AREA, error.to_string(), advice));
            return examined;
        }
    };
    let Some(version) = reachable(&client, &base, expected, &mut examined).await else {
        return examined;
    };
    examined.runs = true;
    examined.findings.push(Finding::ok(AREA, format!("answers at {}{version}", shown(&base))));
    examined.findings.extend(ready(&client, &base).await);
    examined.findings.push(match token {
        Some(token) => logs_in(&base, token).await,
        None => Finding::warn(
            AREA,
            "its token was not tried",
            "set AUTH_TOKEN, or --token-file, to the daemon's token to try it",
        ),
    });
    examined
}

/// Whether a daemon answers, and its version.
async fn reachable(
    client: &Client,
    base: &Url,
    expected: bool,
    examined: &mut Examined,
) -> Option<String> {
    let answer = match get(client, base, "/health").await {
        Ok(answer) => answer,
        Err(_) => {
            let message = format!("nobody answers at {}", shown(base));
            let advice = "start `portal-daemon` (`portal-daemon --dev` to try it out), or say \
                          where it is with --url";
            // A person who only has a wallet needs none.
            examined.findings.push(Finding::bad_if(expected, AREA, message, advice));
            return None;
        }
    };
    if answer.status != StatusCode::OK || answer.body != "OK" {
        examined.findings.push(Finding::bad(
            AREA,
            format!("something answers at {}, but it is no Portal daemon", shown(base)),
            "say where the daemon is with --url; another program may have taken its port",
        ));
        return None;
    }
    examined.clock_offset = answer.date.map(|date| date - now());
    let version = get(client, base, "/version").await.ok();
    let version = version.and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
    let version = version.map(|version| text(&version, "version")).unwrap_or_default();
    Some(if version.is_empty() { String::new() } else { format!(", version {version}") })
}

/// Without the slash that a lone host gets.
fn shown(base: &Url) -> &str {
    base.as_str().trim_end_matches('/')
}

async fn ready(client: &Client, base: &Url) -> Vec<Finding> {
    let Ok(answer) = get(client, base, "/readyz").await else {
        return vec![Finding::bad(AREA, "it does not say whether it is ready", "look at its log")];
    };
    let Ok(state) = serde_json::from_str::<Value>(&answer.body) else {
        // Older daemons have no such page.
        return Vec::new();
    };
    judge(&state)
}

/// What the page that tells whether the daemon is ready means. Bad whenever it is not.
fn judge(state: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let relays = &state["relays"];
    let number = |member: &str| relays[member].as_u64().unwrap_or_default();
    match (number("connected"), number("total")) {
        (0, total) => findings.push(Finding::bad(
            AREA,
            format!("it is connected to none of its {total} relays, so nobody can log in"),
            "check its relays (NOSTR_RELAYS) and its way to the internet",
        )),
        (connected, total) if connected < total => findings.push(Finding::warn(
            AREA,
            format!("it is connected to {connected} of {total} relays"),
            "see below which relay does not answer; logins go on over the others",
        )),
        (connected, _) => {
            let relays = if connected == 1 { "its relay" } else { "all its relays" };
            findings.push(Finding::ok(AREA, format!("is connected to {relays}")));
        }
    }
    findings.extend(state["wallet"].as_str().map(wallet));
    if state["storage"] == false {
        findings.push(Finding::bad(
            AREA,
            "its database cannot be used",
            "check that its data directory is there, is writable and has space",
        ));
    }
    if state["driver"] == false {
        findings.push(Finding::bad(AREA, "its driver has stopped", "restart it; see its log"));
    }
    if state["stopping"] == true {
        findings.push(Finding::bad(AREA, "it is being stopped", "start it again"));
    }
    let told = findings.iter().any(|finding| finding.level == Level::Bad);
    if state["ready"] != true && !told {
        let advice = "look at its log, and at GET /readyz";
        findings.push(Finding::bad(AREA, "it is not ready, and does not say why", advice));
    }
    findings
}

/// What the daemon's word about its wallet means.
fn wallet(word: &str) -> Finding {
    match word {
        "ok" => Finding::ok(AREA, "its lightning wallet answers"),
        "none" => Finding::warn(
            AREA,
            "it has no lightning wallet: logins work, payments do not",
            "set NWC_URL to the link of a wallet that may receive",
        ),
        "unavailable" => Finding::bad(
            AREA,
            "its lightning wallet does not answer",
            "check that the wallet is running and that its link was not revoked",
        ),
        "not_answering" => Finding::bad(
            AREA,
            "its lightning wallet has not answered for a while, though its relay is there",
            "switch the wallet on; if the connection was deleted there, make a new link and set \
             NWC_URL to it",
        ),
        "rejected" => Finding::bad(
            AREA,
            "its lightning wallet says that there is no such connection",
            "make a new link in the wallet and set NWC_URL to it",
        ),
        "may_spend" => Finding::bad(
            AREA,
            "its wallet link may spend, so it is not used: logins work, payments do not",
            "make a link that may only receive; or, to pay out as well, set \
             PORTAL__WALLET__NWC__ALLOW_SPENDING=true",
        ),
        other => Finding::bad(
            AREA,
            format!("it says of its lightning wallet: {other}"),
            "look at its log; this doctor may be older than the daemon",
        ),
    }
}

async fn logs_in(base: &Url, token: &Secret<String>) -> Finding {
    let mut url = base.clone();
    let scheme = if base.scheme() == "https" { "wss" } else { "ws" };
    if url.set_scheme(scheme).is_err() {
        return Finding::bad(AREA, "its socket has no URL", "give --url like http://host:port");
    }
    url.set_path("/ws");
    match DaemonSocket::connect(url.as_str(), token).await {
        Ok(socket) => {
            socket.close().await;
            Finding::ok(AREA, "its socket takes the token")
        }
        Err(error) if error.is_wrong_token() => Finding::bad(
            AREA,
            "it refuses the token",
            "use the AUTH_TOKEN that the daemon was started with",
        ),
        Err(error @ SocketError::Refused { .. }) => {
            Finding::bad(AREA, error.to_string(), "wait a moment, and look at its log")
        }
        Err(error) => Finding::bad(
            AREA,
            error.to_string(),
            "a proxy in front of it must pass WebSocket upgrades on /ws",
        ),
    }
}

/// Lets the daemon's program look at the configuration. What runs already was started with
/// another one, so that this one is not complete need not matter.
pub(super) async fn check_config(
    named: Option<PathBuf>,
    config: Option<PathBuf>,
    needed: bool,
) -> Vec<Finding> {
    let Some(path) = program::find(named) else {
        let message = "portal-daemon was not found, so its configuration was not looked at";
        let advice = "put it next to `portal` or on the PATH, or name it with --daemon";
        return vec![Finding::warn(CONFIG, message, advice)];
    };
    let mut command = tokio::process::Command::new(&path);
    command.args(["config", "check", "--json"]).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(config) = &config {
        command.arg("--config").arg(config);
    }
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return vec![cannot_run(&path, &error.to_string())],
        Err(_) => return vec![cannot_run(&path, "it did not end in time")],
    };
    if output.status.success() {
        return complete(&String::from_utf8_lossy(&output.stdout));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("portal-daemon:").trim();
    // Somebody who has no daemon has no configuration either.
    let needed = needed || config.is_some();
    let advice = "mend it, then try `portal-daemon config check`";
    vec![Finding::bad_if(needed, CONFIG, format!("not complete: {said}"), advice)]
}

fn complete(output: &str) -> Vec<Finding> {
    let line = output.lines().next().unwrap_or_default();
    let told = serde_json::from_str::<Value>(line).unwrap_or(Value::Null);
    let file = told["file"].as_str().map_or("no file, the environment alone", |file| file);
    let mut findings = vec![Finding::ok(CONFIG, format!("complete ({file})"))];
    for warning in told["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        findings.push(Finding::warn(CONFIG, warning, "the daemon starts all the same"));
    }
    findings
}

fn cannot_run(path: &Path, reason: &str) -> Finding {
    let message = format!("{} cannot be run: {reason}", path.display());
    Finding::warn(CONFIG, message, "check that it is the program of this machine and version")
}

struct Answer {
    status: StatusCode,
    body: String,
    date: Option<i64>,
}

async fn get(client: &Client, base: &Url, path: &str) -> Result<Answer, reqwest::Error> {
    let mut url = base.clone();
    url.set_path(path);
    let mut response = client.get(url).send().await?;
    let date = response.headers().get(reqwest::header::DATE);
    let date = date.and_then(|date| relays::read_date(date.to_str().ok()?));
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            break;
        }
    }
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), date })
}

fn now() -> i64 {
    i64::try_from(Env::system().now().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn warnings_of_the_configuration_are_passed_on() {
        let findings = complete(r#"{"type":"config","file":"/etc/p.toml","warnings":["short"]}"#);
        assert_eq!(findings[0], Finding::ok(CONFIG, "complete (/etc/p.toml)"));
        assert_eq!((findings[1].level, findings[1].message.as_str()), (Level::Warn, "short"));
        assert_eq!(complete("not json").len(), 1);
    }

    fn page(change: impl FnOnce(&mut Value)) -> Vec<Finding> {
        let mut state = json!({"ready": true, "stopping": false, "driver": true, "storage": true,
            "relays": {"connected": 2, "total": 2}, "wallet": "ok"});
        change(&mut state);
        judge(&state)
    }

    fn worst(findings: &[Finding]) -> Level {
        findings.iter().map(|finding| finding.level).max().expect("something is said")
    }

    #[test]
    fn every_word_about_the_wallet_has_its_finding() {
        assert_eq!(worst(&page(|_| ())), Level::Ok);
        assert_eq!(worst(&page(|state| state["wallet"] = "none".into())), Level::Warn);
        let mut said = std::collections::HashSet::new();
        for word in ["unavailable", "not_answering", "rejected", "may_spend", "on_fire"] {
            let findings = page(|state| {
                state["wallet"] = word.into();
                state["ready"] = false.into();
            });
            assert_eq!(worst(&findings), Level::Bad, "{word}");
            let bad: Vec<_> = findings.iter().filter(|one| one.level == Level::Bad).collect();
            assert!(bad.len() == 1 && said.insert(bad[0].message.clone()), "{word}: {bad:?}");
        }
        let spends = wallet("may_spend").advice.expect("advice");
        assert!(spends.contains("PORTAL__WALLET__NWC__ALLOW_SPENDING=true"), "{spends}");
    }

    #[test]
    fn a_daemon_that_is_not_ready_is_bad_whatever_it_says() {
        assert_eq!(worst(&page(|state| state["ready"] = false.into())), Level::Bad);
        for (member, value) in [("stopping", true), ("driver", false), ("storage", false)] {
            let findings = page(|state| {
                state[member] = value.into();
                state["ready"] = false.into();
            });
            assert_eq!(worst(&findings), Level::Bad, "{member}");
        }
        let silent = page(|state| state["relays"]["connected"] = 0.into());
        assert_eq!(worst(&silent), Level::Bad);
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_bad_only_for_those_who_expect_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        drop(listener);
        for (expected, level) in [(true, Level::Bad), (false, Level::Warn)] {
            let examined = check(&url, None, expected).await;
            assert_eq!(examined.findings[0].level, level);
            assert!(examined.findings[0].message.contains("nobody answers"));
        }
        let nonsense = check("not a url", None, true).await;
        assert_eq!(nonsense.findings[0].level, Level::Bad);
    }
}
