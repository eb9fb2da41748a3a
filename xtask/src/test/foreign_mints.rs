//! Mints that others wrote, for the tests of our wallet: started here, found by a variable.
//!
//! | variable | what it is |
//! |---|---|
//! | `PORTAL_FOREIGN_MINT_NUTSHELL` | nutshell, `sat` only, with a fee for each proof |
//! | `PORTAL_FOREIGN_MINT_CDK` | cdk-mintd, `sat`, and `vip` by the method `portal` |
//!
//! Both have a backend that pays every quote by itself, after a moment.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Job;
use crate::process::Owned;
use crate::setup;
use crate::workspace::FEATURES;

const REQUIREMENTS: &str = "mint/tests/peers/nutshell.txt";

/// How long a mint may take to answer.
const START: Duration = Duration::from_secs(120);

/// What cdk-mintd keeps in its database before it starts. The words are those of every example.
const CDK_MINTD: &str = r#"
[info]
url = "http://127.0.0.1:PORT"
listen_host = "127.0.0.1"
listen_port = PORT
mnemonic = "env:CDK_MINTD_MNEMONIC"

[info.logging]
output = "stderr"
console_level = "warn"

[database]
engine = "sqlite"

[[payment_backend]]
backend = "fakewallet"
unit = "sat"

[[payment_backend]]
backend = "fakewallet"
unit = "vip"

[fake_wallet]
supported_units = ["sat", "vip"]
fee_percent = 0.0
reserve_fee_min = 0
min_delay_time = 0
max_delay_time = 1
custom_payment_methods = [{ method = "portal", unit = "vip" }]
"#;
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";

/// Runs the tests of our wallet that need such mints.
pub fn wallet(job: &Job) -> Result<()> {
    let cdk = Foreign::cdk_mintd(job)?;
    let nutshell = Foreign::nutshell(job)?;
    let mut command = job.workspace.cargo(&["test"]);
    command.args(FEATURES).args(["--test", "foreign_mints"]);
    command.env("PORTAL_FOREIGN_MINT_NUTSHELL", &nutshell.url);
    command.env("PORTAL_FOREIGN_MINT_CDK", &cdk.url);
    job.run(command)
}

/// A mint in a folder of its own.
struct Foreign {
    url: String,
    folder: PathBuf,
    // Ends before the folder goes.
    process: Option<Owned>,
}

impl Foreign {
    fn nutshell(job: &Job) -> Result<Self> {
        let requirements = job.workspace.root.join(REQUIREMENTS);
        let wallet = setup::nutshell(job.workspace, &requirements, &job.output, job.deadline)?;
        let (folder, port) = place(job, "nutshell-mint")?;
        let mut command = job.workspace.command(wallet.with_file_name("mint"), ".", &[]);
        command
            .env("MINT_BACKEND_BOLT11_SAT", "FakeWallet")
            .env("FAKEWALLET_BRR", "TRUE")
            .env("FAKEWALLET_DELAY_INCOMING_PAYMENT", "0.2")
            .env("MINT_PRIVATE_KEY", "a key of this test only")
            .env("MINT_LISTEN_HOST", "127.0.0.1")
            .env("MINT_LISTEN_PORT", port.to_string())
            .env("MINT_DATABASE", "data/mint")
            .env("TOR", "FALSE")
            .env("MINT_RATE_LIMIT", "FALSE");
        Self::start(job, folder, port, command)
    }

    fn cdk_mintd(job: &Job) -> Result<Self> {
        let program = setup::cdk(job.workspace, &job.output, job.deadline)?.mintd;
        let (folder, port) = place(job, "cdk-mintd")?;
        let config = folder.join("config.toml");
        std::fs::write(&config, CDK_MINTD.replace("PORT", &port.to_string()))?;
        let mintd = |arguments: &[&str]| {
            let mut command = job.workspace.command(&program, ".", &["--work-dir"]);
            command.arg(&folder).args(arguments).env("CDK_MINTD_MNEMONIC", WORDS);
            command
        };
        let mut init = mintd(&["config", "init", "--new-mint", "--file"]);
        init.arg(&config);
        job.run(init)?;
        let start = mintd(&[]);
        Self::start(job, folder, port, start)
    }

    fn start(job: &Job, folder: PathBuf, port: u16, mut command: Command) -> Result<Self> {
        let log = File::create(folder.join("mint.log"))?;
        command.current_dir(&folder).stdout(log.try_clone()?).stderr(Stdio::from(log));
        let process = Some(Owned::new(command.spawn().context("a foreign mint")?));
        let mut mint = Self { url: format!("http://127.0.0.1:{port}"), folder, process };
        let deadline = job.deadline.min(Instant::now() + START);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let process = mint.process.as_mut().context("it was started")?;
            let ended = process.wait(Duration::from_millis(200)).is_some();
            if ended || Instant::now() >= deadline {
                let log = std::fs::read_to_string(mint.folder.join("mint.log"))?;
                bail!("the mint in {} does not answer: {log}", mint.folder.display());
            }
        }
        Ok(mint)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.process.take());
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("xtask: {} stays: {error}", Path::new(&self.folder).display());
        }
    }
}

/// An empty folder, and a port. These mints cannot be told to take any free one: it is free until
/// somebody else takes it.
fn place(job: &Job, name: &str) -> Result<(PathBuf, u16)> {
    let folder = job.workspace.target.join("xtask").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok((folder, port))
}
