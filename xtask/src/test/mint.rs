//! The steps about the mint: its tests on PostgreSQL too, and wallets that others wrote against it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::Job;
use crate::postgres::Postgres;
use crate::process::{self, Output, Owned};
use crate::setup;
use crate::workspace::FEATURES;

const PEERS: &str = "mint/tests/peers";

/// What the mint's tests know PostgreSQL by.
const POSTGRES: &str = "PORTAL_TEST_POSTGRES";

/// How long a mint may take to print its address.
const START: Duration = Duration::from_secs(60);

/// How long a peer's command may take, on a busy machine too.
const COMMAND: Duration = Duration::from_secs(180);

/// A mint for peers, with what they need: tickets, a balance, and a `sat` that is paid at once.
/// It is open where peers cannot send a token.
const MINT: &str = r#"
[mint_info]
name = "Peers"
[portal_wallet.supported_units]
UNITS
[portal_wallet.unit_info.sat]
title = "Satoshi"
INFO
[auth]
OPEN
"#;

const TICKETS: &str = r#"
[portal_wallet.unit_info.vip]
title = "VIP Pass"
show_individually = true
[portal_wallet.unit_info.vip.kind.Event]
date = "2030-12-31"
location = "Everywhere"
"#;

const GUARDED: &str = "[auth.method.Static]\ntoken = \"TOKEN\"\nenabled_swap = false\n\
                       enabled_restore = false\nenabled_check_proof_state = false\n";

/// The mint's own tests, on SQLite and on a PostgreSQL of this run.
pub fn databases(job: &Job) -> Result<()> {
    let server = Postgres::start(job.workspace, &job.output, job.deadline)?;
    let mut command = job.workspace.cargo(&["test"]);
    command.args(FEATURES).args(["--test", "mint"]).env(POSTGRES, &server.connection);
    job.run(command)
}

/// `@cashu/cashu-ts`, `cdk-cli` and nutshell's wallet.
pub fn peers(job: &Job) -> Result<()> {
    job.run(job.workspace.build_programs())?;
    cashu_ts(job)?;
    cdk_cli(job)?;
    nutshell(job)
}

fn cashu_ts(job: &Job) -> Result<()> {
    let folder = format!("{PEERS}/cashu-ts");
    let npm = |arguments: &[&str]| {
        let mut command = job.workspace.command("npm", &folder, arguments);
        command.env("npm_config_fund", "false").env("npm_config_audit", "false");
        command
    };
    job.run(npm(&["ci"]))?;
    let mint = Mint::start(job, &["vip", "drinks", "sat"], false)?;
    let mut test = npm(&["test"]);
    test.env("PORTAL_MINT_URL", &mint.url).env("PORTAL_MINT_TOKEN", &mint.token);
    job.run(test)
}

/// Mints and passes on with the command line of cdk, on a mint that asks for no token: it has no
/// way to send one.
fn cdk_cli(job: &Job) -> Result<()> {
    let program = setup::cdk(job.workspace, &job.output, job.deadline)?.cli;
    let mint = Mint::start(job, &["vip", "sat"], true)?;
    let wallet = |name: &str, unit: &str, arguments: &[&str]| -> Result<String> {
        let folder = mint.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let mut command = job.workspace.command(&program, ".", &["-n", "-u", unit, "-w"]);
        command.arg(&folder).args(arguments);
        said(job, command)
    };
    for (unit, amount) in [("vip", "2"), ("sat", "100")] {
        wallet("one", unit, &["mint", &mint.url, amount, "--method", "bolt11"])?;
        let sent = wallet("one", unit, &["send", "-a", "1", "--mint-url", &mint.url])?;
        let token = token_in(&sent)?;
        wallet("two", unit, &["receive", "--allow-untrusted", token])?;
        ensure!(
            wallet("three", unit, &["receive", "--allow-untrusted", token]).is_err(),
            "a spent token was received with cdk-cli"
        );
    }
    Ok(())
}

/// nutshell knows a closed list of units, so it gets a mint that has `sat` only.
fn nutshell(job: &Job) -> Result<()> {
    let requirements = job.workspace.root.join(PEERS).join("nutshell.txt");
    let program = setup::nutshell(job.workspace, &requirements, &job.output, job.deadline)?;
    let mint = Mint::start(job, &["sat"], true)?;
    let wallet = |name: &str, arguments: &[&str]| -> Result<String> {
        let mut command = job.workspace.command(&program, ".", &["-y", "-h", &mint.url]);
        // Away from files called `.env`, which would win.
        command.args(arguments).current_dir(&mint.folder);
        command.env("CASHU_DIR", mint.folder.join(name)).env("TOR", "FALSE");
        said(job, command)
    };
    // In two calls. In one, it subscribes first and remembers its subscription afterwards: what is
    // told meanwhile, and a quote that is paid already is told at once, it throws away, and then it
    // waits until the quote ends.
    let invoice = wallet("one", &["invoice", "100", "--no-check"])?;
    wallet("one", &["invoice", "100", "--id", quote_in(&invoice)?])?;
    let balance = wallet("one", &["balance"])?;
    ensure!(balance.contains("100 sat"), "nutshell's wallet has not got 100 sat: {balance}");
    let sent = wallet("one", &["send", "21"])?;
    let token = token_in(&sent)?;
    wallet("two", &["receive", token])?;
    let balance = wallet("two", &["balance"])?;
    ensure!(balance.contains("21 sat"), "nutshell's wallet has not got 21 sat: {balance}");
    let again = wallet("two", &["receive", token]);
    let refused = match again {
        Err(_) => true,
        Ok(text) => text.to_lowercase().contains("spent"),
    };
    ensure!(refused, "a spent token was received with nutshell");
    Ok(())
}

/// What a command printed; it is copied to the log, and must end well and in time.
fn said(job: &Job, command: Command) -> Result<String> {
    let path = job.log.with_extension("peer.log");
    std::fs::write(&path, "")?;
    let deadline = job.deadline.min(Instant::now() + COMMAND);
    let ended = process::run(command, &Output::Log(path.clone()), deadline);
    let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
    if let Output::Log(log) = &job.output {
        let mut log = std::fs::File::options().append(true).open(log)?;
        std::io::Write::write_all(&mut log, text.as_bytes())?;
    }
    ended.map(|()| text)
}

fn token_in(text: &str) -> Result<&str> {
    text.split_whitespace()
        .find(|word| word.starts_with("cashuA") || word.starts_with("cashuB"))
        .context("no token was printed")
}

/// The quote that nutshell says to look at later.
fn quote_in(text: &str) -> Result<&str> {
    let (_, rest) = text.split_once("--id ").context("no quote was printed")?;
    rest.split_whitespace().next().context("no quote was printed")
}

/// A mint of ours on a port the kernel chose, with a folder of its own.
struct Mint {
    url: String,
    token: String,
    folder: PathBuf,
    // Ends before the folder goes.
    process: Option<Owned>,
}

impl Mint {
    fn start(job: &Job, units: &[&str], open: bool) -> Result<Self> {
        let folder = job.workspace.target.join("xtask").join(format!("mint-{}", units.join("-")));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let token = format!("peers-{}", std::process::id());
        let token = format!("{token:-<24}");
        let list: Vec<String> = units.iter().map(|unit| format!("{unit} = 32")).collect();
        let text = MINT
            .replace("UNITS", &list.join("\n"))
            .replace("INFO", if units.contains(&"vip") { TICKETS } else { "" })
            .replace("OPEN", if open { "open = true\n" } else { GUARDED })
            .replace("TOKEN", &token);
        let config = folder.join("config.toml");
        std::fs::write(&config, text)?;
        let mut command =
            job.workspace.command(job.workspace.built("portal-mint")?, ".", &["--json"]);
        command.args(["--listen", "127.0.0.1:0", "--config"]).arg(&config);
        command.arg("--data-dir").arg(folder.join("data"));
        for name in ["CONFIG_PATH", "MINT_CONFIG", "DATA_DIR", "MNEMONIC_FILE"] {
            command.env_remove(name);
        }
        let log =
            std::fs::File::options().create(true).append(true).open(folder.join("mint.log"))?;
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().context("the mint")?;
        let printed = child.stdout.take().context("its output is piped")?;
        let mut mint = Self { url: String::new(), token, folder, process: Some(Owned::new(child)) };
        mint.url = address(printed).with_context(|| {
            let log = std::fs::read_to_string(mint.folder.join("mint.log"))
                .unwrap_or_else(|_| String::new());
            format!("the mint did not print its address: {log}")
        })?;
        Ok(mint)
    }
}

impl Drop for Mint {
    fn drop(&mut self) {
        drop(self.process.take());
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("xtask: {} stays: {error}", Path::new(&self.folder).display());
        }
    }
}

fn address(printed: impl std::io::Read + Send + 'static) -> Result<String> {
    let (sender, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(printed).lines().map_while(Result::ok) {
            // Nobody listens any more once the address is known.
            drop(sender.send(line));
        }
    });
    let deadline = Instant::now() + START;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = said.recv_timeout(left) else { bail!("nothing was printed") };
        if let Some(url) = url_in(&line) {
            return Ok(url.to_owned());
        }
    }
}

/// The address in the line of JSON that says "ready".
fn url_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("\"url\":\"")?;
    rest.split_once('"').map(|(url, _)| url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_tokens_are_found_in_what_programs_print() {
        let line = "{\"token\":null,\"type\":\"ready\",\"url\":\"http://127.0.0.1:1\",\"x\":1}";
        assert_eq!(url_in(line), Some("http://127.0.0.1:1"));
        assert_eq!(url_in("{}"), None);
        assert_eq!(token_in("Token: cashuBo2F0\n").expect("there"), "cashuBo2F0");
        assert!(token_in("cash only").is_err());
        let invoice = "Invoice: lnbcrt1\n\ncheck the invoice: cashu invoice 100 --id 01-ab\n";
        assert_eq!(quote_in(invoice).expect("there"), "01-ab");
        assert!(quote_in("Invoice: lnbcrt1").is_err());
    }
}
