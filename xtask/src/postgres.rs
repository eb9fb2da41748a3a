//! A PostgreSQL server of our own: from the distribution's packages, as an unprivileged user, in a
//! folder and on a socket of its own, gone when it is dropped.
//!
//! It listens on no port at all: a socket in its folder is enough, and nobody else is in its way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::{self, Output, Owned};
use crate::workspace::Workspace;

/// Where Debian has the programs, by version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// How long the server may take to answer.
const START: Duration = Duration::from_secs(60);

/// Whom the server runs as when we are root, whom it refuses: the user of its package.
const USER: &str = "postgres";

/// A running server.
pub struct Postgres {
    /// How programs reach it: `host=… user=… dbname=…`.
    pub connection: String,
    // Ends the process before the folder goes.
    process: Option<Owned>,
    folder: PathBuf,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start(workspace: &Workspace, output: &Output, deadline: Instant) -> Result<Self> {
        let programs = programs()?;
        let root = process::ask(Command::new("id").arg("-u"))? == "0";
        // Paths of sockets are short: not below the tree, which can be deep.
        let folder = std::env::temp_dir().join(format!("portal-pg-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut server = Self { connection: String::new(), process: None, folder };
        if root {
            process::ask(Command::new("chown").arg(USER).arg(&server.folder))?;
        }
        let data = server.folder.join("data");
        let run = |program: &str| {
            let path = programs.join(program);
            let mut command = match root {
                true => workspace.command("setpriv", "/", &["--clear-groups"]),
                false => workspace.command(&path, "/", &[]),
            };
            if root {
                command.args(["--reuid", USER, "--regid", USER, "--"]).arg(&path);
            }
            command
        };
        let mut init = run("initdb");
        init.args(["--auth=trust", "--username=portal", "--encoding=UTF8", "--no-sync", "-D"]);
        init.arg(&data);
        process::run(init, output, deadline)?;
        let mut start = run("postgres");
        start.arg("-D").arg(&data).arg("-k").arg(&server.folder);
        // Every test has connections of its own; durability costs what it costs in earnest.
        start.args(["-c", "listen_addresses=", "-c", "max_connections=400"]);
        let child = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        server.process = Some(Owned::new(child));
        let began = Instant::now();
        while !ready(&programs, &server.folder) {
            if began.elapsed() > START || Instant::now() >= deadline {
                bail!("PostgreSQL does not answer");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let host = server.folder.display();
        server.connection = format!("host={host} user=portal dbname=postgres");
        Ok(server)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.process.take());
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("xtask: {} stays: {error}", self.folder.display());
        }
    }
}

/// The folder with `initdb`: Debian keeps it off the search path, one for each version.
pub fn programs() -> Result<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(DEBIAN)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    versions.retain(|folder| folder.join("initdb").is_file());
    versions.sort();
    if let Some(newest) = versions.pop() {
        return Ok(newest);
    }
    let found = process::find("initdb").context("PostgreSQL is not installed")?;
    Ok(found.parent().unwrap_or(Path::new("/")).to_owned())
}

fn ready(programs: &Path, folder: &Path) -> bool {
    Command::new(programs.join("pg_isready"))
        .args(["-q", "-h"])
        .arg(folder)
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
