//! The binary: its configuration, its start and its end.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use portal_core::identity::{LocalKey, subkey};
use portal_core::protocol::subkey::SubkeyProof;
use serde_json::{Value, json};

use crate::harness::Socket;

const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";

fn daemon(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portal-daemon"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let Output { status, stdout, stderr } =
        daemon(arguments, environment).output().expect("it runs");
    let text = [stdout, stderr].concat();
    (status.success(), String::from_utf8(text).expect("text"))
}

#[test]
fn a_complete_configuration_is_told_so() {
    let environment =
        [("NOSTR_KEY", KEY), ("AUTH_TOKEN", "weak"), ("PORTAL_DATA_DIR", "/nonexistent/data")];
    let (ok, text) = run(&["config", "check"], &environment);
    assert!(ok, "{text}");
    assert!(text.contains("127.0.0.1:3000") && text.contains("warning: "), "{text}");
    assert!(!text.contains(KEY), "{text}");
}

#[test]
fn an_incomplete_one_is_told_what_is_missing() {
    let (ok, text) = run(&["config", "check"], &[("PORTAL__NOSTR__RELAY", "wss://x")]);
    assert!(!ok, "{text}");
    for part in ["NOSTR_KEY", "AUTH_TOKEN", "did you mean PORTAL__NOSTR__RELAYS?"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let placeholder = [("NOSTR_KEY", KEY), ("AUTH_TOKEN", "your-auth-token")];
    let (ok, text) = run(&["--listen", "127.0.0.1:0"], &placeholder);
    assert!(!ok && text.contains("placeholder"), "{text}");
}

#[test]
fn a_file_in_the_home_of_an_older_daemon_is_found() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join(".portal-rest");
    std::fs::create_dir(&folder).expect("made");
    let text = format!(
        "[info]\nlisten_port = 4321\n[nostr]\nprivate_key = \"{KEY}\"\n[auth]\nauth_token = \"0123456789\"\n"
    );
    std::fs::write(folder.join("config.toml"), text).expect("written");
    let home = home.path().to_str().expect("text");
    let (ok, text) = run(&["config", "check", "--json"], &[("HOME", home)]);
    assert!(ok, "{text}");
    let told: Value = serde_json::from_str(text.trim()).expect("one line of JSON");
    assert_eq!(told["listen"], "127.0.0.1:4321");
    assert!(told["file"].as_str().expect("a path").ends_with(".portal-rest/config.toml"));
}

#[test]
fn dev_reads_no_file_unless_one_is_named() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join(".portal-rest");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("config.toml"), "no TOML").expect("written");
    let home = home.path().to_str().expect("text");
    let check = |variables: &[(&str, &str)]| run(&["--dev", "config", "check"], variables);
    let (ok, text) = check(&[("HOME", home), ("PORTAL_CONFIG", "")]);
    assert!(ok, "{text}");
    let named = format!("{home}/.portal-rest/config.toml");
    let (ok, text) = check(&[("HOME", home), ("PORTAL_CONFIG", &named)]);
    assert!(!ok && text.contains("not TOML"), "{text}");
}

#[test]
fn the_check_finds_what_would_fail_only_at_the_start() {
    fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
        let usual =
            [("NOSTR_KEY", KEY), ("AUTH_TOKEN", "weak"), ("PORTAL_DATA_DIR", "/nonexistent")];
        usual.into_iter().chain([(name, value)]).collect()
    }
    for name in ["RUST_LOG", "PORTAL__LOGGING__FILTER"] {
        let (ok, text) = run(&["config", "check"], &with(name, "portal=nonsense"));
        assert!(!ok && text.contains("log filter"), "{text}");
    }
    let main = LocalKey::parse(KEY).expect("a key");
    for (expires_at, valid) in [("1700000001", false), ("99999999999", true)] {
        let proof = format!(
            r#"{{"main_key":"{}","metadata":{{"name":"web","nonce":"{}","valid_from":"1700000000","expires_at":"{expires_at}","permissions":["auth"],"version":2}}}}"#,
            main.public_key().to_hex(),
            "01".repeat(32)
        );
        let read: SubkeyProof = serde_json::from_str(&proof).expect("a proof");
        let derived = subkey::derive(&main, read.metadata).expect("derived");
        let secret = derived.secret_key().to_secret_hex();
        let mut environment = with("NOSTR_SUBKEY_PROOF", &proof);
        environment.retain(|(name, _)| *name != "NOSTR_KEY");
        environment.push(("NOSTR_KEY", &secret));
        let (ok, text) = run(&["config", "check"], &environment);
        assert_eq!(ok, valid, "{text}");
        assert!(valid || text.contains("subkey proof"), "{text}");
    }
    #[cfg(feature = "breez")]
    {
        let words = format!("{}about", "abandon ".repeat(11));
        let mut environment = with("PORTAL__WALLET__BREEZ__LIBRARY", "/nonexistent/lib.so");
        environment.extend([("BREEZ_MNEMONIC", words.as_str()), ("BREEZ_API_KEY", "x")]);
        let (ok, text) = run(&["config", "check"], &environment);
        assert!(!ok && text.contains("pip download breez-sdk-spark"), "{text}");
        assert!(!text.contains("abandon"), "{text}");
    }
}

/// A process that does not outlive its test.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts it for trying out, with its data in this folder.
fn dev_in(folder: &Path) -> (Owned, Value) {
    let folder = folder.to_str().expect("text");
    let mut child = Owned(
        daemon(&["--dev", "--json", "--listen", "127.0.0.1:0", "--data-dir", folder], &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs"),
    );
    let mut line = String::new();
    let out = child.0.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("a line");
    (child, serde_json::from_str(&line).expect("JSON"))
}

#[test]
fn dev_says_that_it_is_play_only_when_it_is() {
    let told = |environment: &[(&str, &str)]| {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().to_str().expect("text");
        let arguments = ["--dev", "--listen", "127.0.0.1:0", "--data-dir", data];
        let child = daemon(&arguments, environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut child = Owned(child);
        let lines = BufReader::new(child.0.stdout.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("text"));
        lines.find(|line| line.contains(" play:") || line.contains("no real money"))
    };
    let play = told(&[]).expect("told");
    assert!(play.contains("no real money, no real secrets"), "{play}");
    let real = [("NOSTR_KEY", KEY), ("NOSTR_RELAYS", "ws://127.0.0.1:9")];
    let real = told(&real).expect("told");
    assert!(real.contains("Not all of this is play: configured by you: key, relays."), "{real}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let params = json!({"static_token": "tag"});
    let (child, ready) = dev_in(folder.path());
    let address = |ready: &Value| ready["ws"].as_str().expect("a URL").to_owned();
    let token = ready["dev"]["auth_token"].clone();
    let mut socket = Socket::open(&address(&ready)).await;
    assert_eq!(socket.call("Auth", json!({"token": token})).await["type"], "success");
    let tag = socket.data("NewKeyHandshakeUrl", params.clone()).await;
    let id = socket.send_once("jwt", "IssueJwt", jwt(&ready)).await;
    let kept = socket.answer(&id).await["data"].take();
    let id = socket.send_once("url", "NewKeyHandshakeUrl", Value::Null).await;
    let once = socket.answer(&id).await["data"].take();
    drop((child, socket));

    let (child, again) = dev_in(folder.path());
    assert_eq!((&again["public_key"], &again["relays"]), (&ready["public_key"], &ready["relays"]));
    let mut socket = Socket::open(&address(&again)).await;
    assert_eq!(socket.call("Auth", json!({"token": token})).await["type"], "success");
    assert_eq!(socket.data("NewKeyHandshakeUrl", params).await, tag);
    let id = socket.send_once("jwt", "IssueJwt", jwt(&ready)).await;
    assert_eq!(socket.answer(&id).await["data"], kept, "not a new one");
    let id = socket.send_once("url", "NewKeyHandshakeUrl", Value::Null).await;
    assert_eq!(socket.answer(&id).await["data"], once);
    let resumed = socket.data("ResumeStream", json!({"stream_id": once["stream_id"]})).await;
    assert_eq!((&resumed["events"], &resumed["open"]), (&json!(0), &json!(true)));
    drop((child, socket));
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_prices_fiat_without_a_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let (child, ready) = dev_in(folder.path());
    let mut socket = Socket::open(ready["ws"].as_str().expect("a URL")).await;
    let token = ready["dev"]["auth_token"].clone();
    assert_eq!(socket.call("Auth", json!({"token": token})).await["type"], "success");
    let payment = |currency: &str| {
        json!({"main_key": ready["public_key"], "subkeys": [],
            "payment_request": {"description": "x", "amount": 100_000, "currency": currency}})
    };
    for currency in ["EUR", "USD", "JPY", "KRW", "KWD", "RON", "ARS", "IRR"] {
        let opened = socket.data("RequestSinglePayment", payment(currency)).await;
        assert_eq!(opened["type"], "single_payment", "{currency}");
    }
    let answer = socket.call("RequestSinglePayment", payment("SEK")).await;
    assert_eq!(answer["code"], "rate_unavailable", "{answer}");
    drop((child, socket));
}

fn jwt(ready: &Value) -> Value {
    json!({"target_key": ready["public_key"], "duration_hours": 1})
}

#[cfg(unix)]
#[test]
fn dev_starts_tells_is_healthy_and_ends_on_sigterm() {
    let mut child = Owned(
        daemon(&["--dev", "--json", "--listen", "127.0.0.1:0"], &[("RUST_LOG", "trace")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs"),
    );
    // From the beginning: with everything in the log, its pipe is full before the daemon is ready.
    let mut log = child.0.stderr.take().expect("piped");
    let log = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| text)
    });
    let mut line = String::new();
    let out = child.0.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(ready["type"], "ready");
    let token = ready["dev"]["auth_token"].as_str().expect("a token");
    let link = ready["dev"]["nwc_url"].as_str().expect("a link");
    assert!(link.starts_with("nostr+walletconnect://"));
    let address =
        ready["http"].as_str().and_then(|url| url.strip_prefix("http://")).expect("a URL");
    let (ok, text) = run(&["health", "--listen", address], &[]);
    assert!(ok, "{text}");

    let data = std::path::PathBuf::from(ready["data_dir"].as_str().expect("a path"));
    assert!(data.exists());
    let id = child.0.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
    assert!(killed.success());
    let limit = Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = child.0.try_wait().expect("ours") {
            break status;
        }
        assert!(Instant::now() < limit, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
    assert!(!data.exists(), "temporary data is gone");
    let log = log.join().expect("it does not panic").expect("text");
    let secret = link.split("secret=").nth(1).expect("a secret");
    let mint_token = ready["dev"]["mint_token"].as_str().expect("a token");
    assert!(!log.contains('\u{1b}'), "colours, and nobody looks at a terminal");
    for secret in [token, secret, mint_token] {
        assert!(!log.contains(secret), "a secret in the log");
    }
}
