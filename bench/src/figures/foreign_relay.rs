//! `foreign-relay`: logins over a relay that we did not write: PyPI `nostr-relay`, in a virtual
//! environment in the user's cache directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use portal_core::storage::memory::MemoryStore;
use tokio::net::TcpStream;

use crate::arguments::Arguments;
use crate::child::Child;
use crate::load::{Plan, logins};
use crate::report::{Report, Row};
use crate::world::{self, Core, Users};

const NAME: &str = "foreign-relay";
/// The version these figures are from.
const PACKAGE: &str = "nostr-relay==1.14";

/// Runs the logins, or says why there is no such relay.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let program = match install() {
        Ok(program) => program,
        Err(error) => {
            report.add(Row::skipped(NAME, format!("{PACKAGE} cannot be installed: {error:#}")));
            return Ok(());
        }
    };
    let people: u64 = arguments.size(500, 100);
    world::runtime(1)?.block_on(async {
        let folder = tempfile::tempdir()?;
        let (_relay, url) = start(&program, folder.path()).await?;
        let key = world::new_key();
        let urls = vec![url];
        let users = Users::start(&urls, key.public_key(), people, &[]).await?;
        let core = Core::start(&key, &urls, Arc::new(MemoryStore::new())).await?;
        let plan = Plan { people: 0..people, in_flight: 16, handshake: true };
        let outcome = logins(&core, &users.crowd, plan).await?;
        let note = format!("{PACKAGE}: {}", outcome.note());
        report.add(Row::faults(NAME, outcome.faults(), note));
        Ok(())
    })
}

/// The relay's program, installed on first use.
fn install() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".cache")))
        .context("no cache directory")?;
    let folder = cache.join("portal-bench").join(PACKAGE);
    let program = folder.join("bin/nostr-relay");
    if program.is_file() {
        return Ok(program);
    }
    let run = |program: &Path, arguments: &[&std::ffi::OsStr]| -> Result<()> {
        let status = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("run {}", program.display()))?;
        ensure!(status.success(), "{} fails", program.display());
        Ok(())
    };
    run("python3".as_ref(), &["-m".as_ref(), "venv".as_ref(), folder.as_os_str()])?;
    let pip = folder.join("bin/pip");
    run(&pip, &["install".as_ref(), "--quiet".as_ref(), PACKAGE.as_ref()])?;
    ensure!(program.is_file(), "it has no program of that name");
    Ok(program)
}

/// Starts it on a free port; its own limits on how much one client may say are lifted.
async fn start(program: &Path, folder: &Path) -> Result<(Child, String)> {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?;
        free.local_addr()?.port()
    };
    let config = folder.join("relay.yaml");
    let text = format!(
        "DEBUG: false\nrelay_name: bench\n\
         gunicorn:\n  bind: 127.0.0.1:{port}\n  workers: 1\n  loglevel: warning\n\
         storage:\n  sqlalchemy.url: sqlite+aiosqlite:///{}/nostr.sqlite3\n  validators:\n    \
         - nostr_relay.validators.is_signed\n\
         subscription_limit: 32\nmessage_timeout: 1800\n",
        folder.display()
    );
    std::fs::write(&config, text)?;
    // With uvicorn it is one process, which ends when it is killed.
    let arguments = ["-c", &config.display().to_string(), "serve", "--use-uvicorn"];
    let child = Child::quiet(program, &arguments.map(str::to_owned))?;
    let address = format!("127.0.0.1:{port}");
    for _ in 0..300 {
        if TcpStream::connect(&address).await.is_ok() {
            return Ok((child, format!("ws://{address}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{PACKAGE} does not listen")
}
