//! Processes of our own: lines in, lines out, killed by their id when dropped.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

/// How long a child may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A process that reads lines and answers each with a line.
pub struct Child {
    process: Process,
    stdin: Option<ChildStdin>,
    /// `None` for a program that is not listened to.
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Child {
    /// Starts this program with a subcommand.
    pub fn own(arguments: &[String]) -> Result<Self> {
        Self::start(std::env::current_exe()?, arguments, [])
    }

    /// Starts any program.
    pub fn start<'a>(
        program: impl AsRef<OsStr>,
        arguments: &[String],
        environment: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self> {
        Self::start_without(Vec::new(), program, arguments, environment)
    }

    /// Starts any program, without some of the variables that we have.
    pub fn start_without<'a>(
        variables: Vec<OsString>,
        program: impl AsRef<OsStr>,
        arguments: &[String],
        environment: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        for name in variables {
            command.env_remove(name);
        }
        command.args(arguments).envs(environment);
        Self::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// Starts a program that is not listened to.
    pub fn quiet(program: impl AsRef<OsStr>, arguments: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments);
        // Its words go nowhere, so that it never waits for a reader.
        Self::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let mut process =
            command.kill_on_drop(true).spawn().with_context(|| format!("start {name}"))?;
        let stdin = process.stdin.take();
        let lines = process.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Ok(Self { process, stdin, lines })
    }

    /// Its id, while it runs.
    pub fn pid(&self) -> Result<u32> {
        self.process.id().context("the process has ended")
    }

    /// The next line it says.
    pub async fn line(&mut self) -> Result<String> {
        match tokio::time::timeout(PATIENCE, self.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => bail!("a child has ended"),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("a child says nothing"),
        }
    }

    /// Says a line.
    pub async fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the input is taken")?;
        stdin.write_all(format!("{line}\n").as_bytes()).await.context("write to a child")
    }

    /// Says a line and reads the answer.
    pub async fn ask(&mut self, line: &str) -> Result<String> {
        self.say(line).await?;
        self.line().await
    }

    /// A queue whose lines are written in batches.
    pub fn feed(&mut self) -> Result<mpsc::UnboundedSender<String>> {
        let mut stdin = self.stdin.take().context("the input is taken")?;
        let (sender, mut lines) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            let mut batch = Vec::new();
            let mut text = String::new();
            while lines.recv_many(&mut batch, 256).await > 0 {
                text.clear();
                for line in batch.drain(..) {
                    text.push_str(&line);
                    text.push('\n');
                }
                // A child that has ended shows where its answers are awaited.
                if stdin.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        Ok(sender)
    }

    /// The next line it says, however long that takes; `None` when it has ended.
    pub async fn next_line(&mut self) -> Result<Option<String>> {
        let lines = self.lines.as_mut().context("the child is not listened to")?;
        lines.next_line().await.context("read from a child")
    }

    /// Kills it without a warning (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("kill a child")
    }
}

/// A program built beside this one, or named by a variable.
pub fn sibling(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
        return Ok(named.into());
    }
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!(
            "{} is not built; `cargo xtask bench` builds it, {variable} names another",
            path.display()
        );
    }
    Ok(path)
}
