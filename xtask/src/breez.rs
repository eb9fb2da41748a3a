//! The official library of the built-in wallet, fetched from PyPI for its tests.
//!
//! It is what merchants are told to fetch, checked byte for byte: pip compares the wheel with the
//! sum written down here.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::process::{self, Output};
use crate::workspace::Workspace;

const PACKAGE: &str = "breez-sdk-spark";
const VERSION: &str = "0.27.2";

/// The wheel for a machine. Any of one platform will do: the library in all of them is the same.
struct Wheel {
    os: &'static str,
    arch: &'static str,
    platform: &'static str,
    sha256: &'static str,
    library: &'static str,
    library_sha256: &'static str,
}

const WHEELS: &[Wheel] = &[
    Wheel {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_31_x86_64",
        sha256: "097154ba324e71eafb76b5718787a045d356b4569659b94e1df9643566d36069",
        library: "libbreez_sdk_spark_bindings.so",
        library_sha256: "ae9a7e6a177f9962d83d4314c28ce1ecc0728f3b7d34c2e132470b151109eb3b",
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_31_aarch64",
        sha256: "3d9064e342814c91d582a1b952bd0a63486f58a545678ae3753cf90ce81070cf",
        library: "libbreez_sdk_spark_bindings.so",
        library_sha256: "ff9a4dee2852babd451d0ad97bb1b91357b11c2e30940e20f5d209c8ca43d0be",
    },
];

/// What compares a file with a sum and nothing else.
const COMPARE: &str = "import hashlib, sys; \
    sys.exit(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest() != sys.argv[2])";

/// Where the library is; fetched when it is not there yet. `None` where there is no wheel that was
/// tried.
pub fn library(
    workspace: &Workspace,
    output: &Output,
    deadline: Instant,
) -> Result<Option<PathBuf>> {
    let here = (std::env::consts::OS, std::env::consts::ARCH);
    let Some(wheel) = WHEELS.iter().find(|wheel| (wheel.os, wheel.arch) == here) else {
        return Ok(None);
    };
    let folder = workspace.cache.join("breez").join(format!("{VERSION}-{}", wheel.arch));
    let library = folder.join(wheel.library);
    if !library.exists() {
        fetch(workspace, wheel, &folder, output, deadline)?;
    }
    Ok(Some(library))
}

fn fetch(
    workspace: &Workspace,
    wheel: &Wheel,
    folder: &std::path::Path,
    output: &Output,
    deadline: Instant,
) -> Result<()> {
    // Put in its place at the end, so that a broken run leaves nothing that looks whole.
    let work = folder.with_extension("new");
    if work.exists() {
        std::fs::remove_dir_all(&work)?;
    }
    std::fs::create_dir_all(&work)?;
    let python = work.join("venv/bin/python");
    let mut venv = workspace.command("python3", ".", &["-m", "venv"]);
    venv.arg(work.join("venv"));
    process::run(venv, output, deadline)?;
    let wanted = work.join("wanted.txt");
    let line = format!("{PACKAGE}=={VERSION} --hash=sha256:{}\n", wheel.sha256);
    std::fs::write(&wanted, line)?;
    let mut download = workspace.command(&python, ".", &["-m", "pip", "download", "--quiet"]);
    download
        .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
        .args(["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"])
        .args(["--platform", wheel.platform, "--dest"])
        .arg(&work)
        .arg("--requirement")
        .arg(&wanted);
    process::run(download, output, deadline)?;
    let files = std::fs::read_dir(&work)?.collect::<std::io::Result<Vec<_>>>()?;
    let archive = files
        .iter()
        .map(std::fs::DirEntry::path)
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip brought no wheel")?;
    let mut unpack = workspace.command(&python, ".", &["-m", "zipfile", "-e"]);
    unpack.arg(&archive).arg(&work);
    process::run(unpack, output, deadline)?;
    let library = work.join("breez_sdk_spark").join(wheel.library);
    let mut compare = workspace.command(&python, ".", &["-c", COMPARE]);
    compare.arg(&library).arg(wheel.library_sha256);
    if process::run(compare, output, deadline).is_err() {
        bail!("the library in the wheel is not the one that was tested");
    }
    std::fs::create_dir_all(folder)?;
    std::fs::rename(&library, folder.join(wheel.library))?;
    std::fs::remove_dir_all(&work)?;
    Ok(())
}
