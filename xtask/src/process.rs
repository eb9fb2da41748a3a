//! Children: started, bounded in time, ended with everything they started.
//!
//! Only processes that were started here are ever signalled, by their ids. Children stay in our own
//! process group, so that Ctrl-C reaches them without our help.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a child may take to stop after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// Where the output of children goes.
#[derive(Clone)]
pub enum Output {
    /// To the terminal.
    Shown,
    /// To the end of a file.
    Log(PathBuf),
}

impl Output {
    fn attach(&self, command: &mut Command) -> Result<()> {
        if let Self::Log(path) = self {
            let file = File::options().create(true).append(true).open(path)?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        Ok(())
    }
}

/// Runs a child to its end; fails when it fails or when `deadline` passes.
pub fn run(mut command: Command, output: &Output, deadline: Instant) -> Result<()> {
    let shown = describe(&command);
    output.attach(&mut command)?;
    let child = command.spawn().with_context(|| format!("cannot start: {shown}"))?;
    let mut child = Owned::new(child);
    match child.wait(deadline.saturating_duration_since(Instant::now())) {
        Some(status) => match status?.success() {
            true => Ok(()),
            false => bail!("failed: {shown}"),
        },
        None => bail!("ran out of time: {shown}"),
    }
}

/// Runs a child to its end and returns what it printed; for short questions.
pub fn ask(command: &mut Command) -> Result<String> {
    let shown = describe(command);
    let output = command.output().with_context(|| format!("cannot start: {shown}"))?;
    if !output.status.success() {
        bail!("failed: {shown}\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Becomes the program; returns only when that fails.
pub fn become_program(mut command: Command) -> anyhow::Error {
    command.stdin(Stdio::inherit());
    let error = command.exec();
    anyhow::Error::new(error).context(format!("cannot start: {}", describe(&command)))
}

/// The program with this name on the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A child in the background that ends, with all it started, when this is dropped.
pub struct Owned {
    pid: u32,
    ended: mpsc::Receiver<std::io::Result<ExitStatus>>,
    running: bool,
}

impl Owned {
    /// Takes over a child.
    pub fn new(mut child: Child) -> Self {
        let pid = child.id();
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || {
            // Nobody listens any more once the owner was dropped.
            drop(sender.send(child.wait()));
        });
        Self { pid, ended, running: true }
    }

    /// Waits for its end, at most this long.
    pub fn wait(&mut self, limit: Duration) -> Option<std::io::Result<ExitStatus>> {
        let ended = self.ended.recv_timeout(limit).ok();
        self.running = self.running && ended.is_none();
        ended
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.running {
            return;
        }
        let family = descendants(self.pid);
        signal("TERM", &family);
        if self.wait(GRACE).is_none() {
            signal("KILL", &descendants(self.pid));
        }
        // What outlived its parent is no longer below it.
        let left: Vec<u32> = family.into_iter().filter(|pid| alive(*pid)).collect();
        signal("KILL", &left);
    }
}

/// A process and everything below it.
fn descendants(root: u32) -> Vec<u32> {
    let listing =
        ask(Command::new("ps").args(["-A", "-o", "pid=,ppid="])).unwrap_or_else(|error| {
            eprintln!("xtask: only the direct child can be ended: {error:#}");
            String::new()
        });
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for line in listing.lines() {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        if let (Some(Ok(pid)), Some(Ok(parent))) = (numbers.next(), numbers.next()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next) {
        if let Some(below) = children.remove(parent) {
            family.extend(below);
        }
        next += 1;
    }
    family
}

/// Whether it still runs; what has ended and waits for its parent to notice does not.
fn alive(pid: u32) -> bool {
    let state = ask(Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]));
    state.is_ok_and(|state| !state.starts_with('Z'))
}

fn signal(name: &str, pids: &[u32]) {
    if pids.is_empty() {
        return;
    }
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .args(pids.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
    if let Err(error) = sent {
        eprintln!("xtask: cannot signal {pids:?}: {error}");
    }
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text =
        program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn a_failing_child_is_a_failure() {
        assert!(run(shell("true"), &Output::Shown, soon()).is_ok());
        assert!(run(shell("exit 3"), &Output::Shown, soon()).is_err());
    }

    #[test]
    fn a_child_past_its_deadline_ends_with_all_it_started() {
        let log = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        let command = shell("sleep 600 & echo $!; echo $$; wait");
        let error =
            run(command, &Output::Log(log.clone()), Instant::now() + Duration::from_millis(300))
                .expect_err("it sleeps longer");
        assert!(error.to_string().starts_with("ran out of time"), "{error}");
        let pids = std::fs::read_to_string(&log).expect("it printed its ids");
        std::fs::remove_file(&log).expect("it is ours");
        assert_eq!(pids.lines().count(), 2);
        for pid in pids.lines().map(|pid| pid.parse().expect("a number")) {
            // It was signalled; the kernel may need a moment.
            let end = soon();
            while alive(pid) {
                assert!(Instant::now() < end, "{pid} is still there");
            }
        }
    }
}
