//! `footprint`: how large the daemon is, at rest and on disk, and how soon it is ready.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::arguments::Arguments;
use crate::child::sibling;
use crate::daemon::Daemon;
use crate::gauge::{Samples, anonymous_of, rss_of};
use crate::report::{Report, Row, count};
use crate::world;

const MIB: f64 = 1_048_576.0;

/// Measures all three; the size on disk only in the whole form, since it needs a build of its own.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let program = if arguments.short {
        sibling("portal-daemon", "PORTAL_DAEMON")?
    } else {
        let program = build()?;
        // Decimal, as disks and downloads are counted, and the stricter of the two.
        let size = count(std::fs::metadata(&program)?.len()) / 1e6;
        let row = Row::new("footprint: stripped binary", size, "MB").at_most(12.0);
        report.add(row.note("release, without default features"));
        program
    };
    let starts: usize = arguments.size(20, 8);
    world::runtime(1)?.block_on(async {
        let key = world::new_key();
        let relays = world::relays(1).await?;
        let urls = world::urls(&relays);
        let (mut ready, mut bare) = (Samples::default(), Samples::default());
        let mut last = None;
        for _ in 0..starts {
            drop(last.take());
            bare.add(bare_start(&program)?);
            let began = Instant::now();
            let daemon = Daemon::start_program(&program, &key, &urls).await?;
            daemon.ready().await?;
            ready.add(began.elapsed());
            last = Some(daemon);
        }
        report.add(
            Row::new("footprint: start to ready", ready.median(), "ms")
                .over(bare.median())
                .at_most(100.0)
                .note(format!(
                    "{starts} starts with an empty database, worst {:.1} ms; floor: `--version`",
                    ready.most()
                )),
        );
        let daemon = last.context("at least one start")?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (all, own) = (rss_of(daemon.pid()?)?, anonymous_of(daemon.pid()?)?);
        report.add(
            Row::new("footprint: idle RSS", count(all) / MIB, "MiB")
                .at_most(20.0)
                .note(format!("{:.1} MiB of it not of files", count(own) / MIB)),
        );
        Ok(())
    })
}

/// A start of the same program that does nothing.
fn bare_start(program: &Path) -> Result<Duration> {
    let began = Instant::now();
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).status()?;
    ensure!(status.success(), "`--version` fails");
    Ok(began.elapsed())
}

/// The daemon as it is shipped to a server, in a target folder of its own.
fn build() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = workspace.join("target/footprint");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "portal-daemon", "--no-default-features"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&workspace)
        .stdout(Stdio::null())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the daemon does not build without default features");
    let built = target.join("release/portal-daemon");
    let stripped = target.join("release/portal-daemon.stripped");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(&built).status();
    match status {
        Ok(status) if status.success() => Ok(stripped),
        // The release profile strips most of it already.
        _ => Ok(built),
    }
}
