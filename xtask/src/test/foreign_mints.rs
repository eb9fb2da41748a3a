//! Mints that others wrote, for the tests of our wallet: started here, found by a variable.
//!
//! | variable | what it is |
//! |---|---|
//! | `PORTAL_FOREIGN_MINT_NUTSHELL` | nutshell, `sat` only, paid at once, with a fee for each proof |

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Job;
use crate::process::Owned;
use crate::setup;
use crate::workspace::FEATURES;

const REQUIREMENTS: &str = "mint/tests/peers/nutshell.txt";

/// How long a mint may take to answer.
const START: Duration = Duration::from_secs(120);

/// Runs the tests of our wallet that need such a mint.
pub fn wallet(job: &Job) -> Result<()> {
    let nutshell = Nutshell::start(job)?;
    let mut command = job.workspace.cargo(&["test"]);
    command.args(FEATURES).args(["--test", "foreign_mints"]);
    command.env("PORTAL_FOREIGN_MINT_NUTSHELL", &nutshell.url);
    job.run(command)
}

/// nutshell's mint in a folder of its own.
struct Nutshell {
    url: String,
    folder: PathBuf,
    // Ends before the folder goes.
    process: Option<Owned>,
}

impl Nutshell {
    fn start(job: &Job) -> Result<Self> {
        let requirements = job.workspace.root.join(REQUIREMENTS);
        let wallet = setup::nutshell(job.workspace, &requirements, &job.output, job.deadline)?;
        let folder = job.workspace.target.join("xtask/nutshell-mint");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        // It cannot be told to take any free port: this one is free until somebody else takes it.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::create(folder.join("mint.log"))?;
        let mut command = job.workspace.command(wallet.with_file_name("mint"), ".", &[]);
        command
            .current_dir(&folder)
            .env("MINT_BACKEND_BOLT11_SAT", "FakeWallet")
            .env("FAKEWALLET_BRR", "TRUE")
            .env("MINT_PRIVATE_KEY", "a key of this test only")
            .env("MINT_LISTEN_HOST", "127.0.0.1")
            .env("MINT_LISTEN_PORT", port.to_string())
            .env("MINT_DATABASE", "data/mint")
            .env("TOR", "FALSE")
            .env("MINT_RATE_LIMIT", "FALSE")
            .stdout(log.try_clone()?)
            .stderr(Stdio::from(log));
        let process = Some(Owned::new(command.spawn()?));
        let mint = Self { url: format!("http://127.0.0.1:{port}"), folder, process };
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() >= deadline.min(job.deadline) {
                let log = std::fs::read_to_string(mint.folder.join("mint.log"))?;
                bail!("nutshell's mint does not answer: {log}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(mint)
    }
}

impl Drop for Nutshell {
    fn drop(&mut self) {
        drop(self.process.take());
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("xtask: {} stays: {error}", self.folder.display());
        }
    }
}
