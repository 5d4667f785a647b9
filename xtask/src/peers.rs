//! `cargo xtask bench-peers`: the engines that `souk bench engine` compares ours with, installed under
//! `target/tools/peers`. What each file there is for: bench/peers/README.md.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use souk_backends::install::{debian, run};

use crate::tools::{self, root};

const RESTATE_SERVER: &str = "@restatedev/restate-server@1.7.12";
/// Debian's default version; `postgres` lies below a folder of its version.
const POSTGRESQL: &str = "postgresql";
const POSTGRESQL_VERSIONS: &str = "/usr/lib/postgresql";

/// Installs them, and says how to measure.
pub fn install() -> Result<()> {
    let folder = root().join("target/tools/peers");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    restate(&folder)?;
    dbos(&folder)?;
    println!(
        "peers: {}\n`cargo run --release -- bench engine` measures beside them",
        folder.display()
    );
    Ok(())
}

/// The server from npm, and our service and load for it.
fn restate(folder: &Path) -> Result<()> {
    let binary = format!("@restatedev/{}/bin/restate-server", platform()?);
    tools::npm(RESTATE_SERVER, &binary)?;
    link(&tools::node_modules().join(binary), &folder.join("restate-server"))?;
    let manifest = root().join("bench/peers/restate/Cargo.toml");
    let build = folder.join("build");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--manifest-path"]).arg(manifest);
    run(cargo.env("CARGO_TARGET_DIR", &build))?;
    link(&build.join("release/souk-peer-restate"), &folder.join("souk-peer-restate"))
}

/// The npm package that holds the server's binary for this machine.
fn platform() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("restate-server-linux-x64"),
        "aarch64" => Ok("restate-server-linux-arm64"),
        other => bail!("there is no Restate server for {other}"),
    }
}

/// DBOS in a Python environment of its own, our program for it, and the database.
fn dbos(folder: &Path) -> Result<()> {
    let environment = folder.join("dbos");
    let python = environment.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let sources = root().join("bench/peers/dbos");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run(pip.arg(sources.join("requirements.txt")))?;
    link(&sources.join("peer.py"), &folder.join("dbos.py"))?;
    debian(POSTGRESQL, POSTGRESQL_VERSIONS)?;
    link(&newest_postgresql()?, &folder.join("postgres"))
}

/// The programs of the newest PostgreSQL that Debian has installed.
fn newest_postgresql() -> Result<PathBuf> {
    let versions = std::fs::read_dir(POSTGRESQL_VERSIONS)
        .with_context(|| format!("reading {POSTGRESQL_VERSIONS}"))?;
    let numbers =
        versions.flatten().filter_map(|version| version.file_name().to_str()?.parse().ok());
    let newest: u32 = numbers.max().context("no PostgreSQL is installed")?;
    Ok(Path::new(POSTGRESQL_VERSIONS).join(newest.to_string()).join("bin"))
}

/// Makes `link` lead to `target`, whatever it led to before.
fn link(target: &Path, link: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(link).with_context(|| format!("removing {}", link.display()))?;
    }
    std::os::unix::fs::symlink(target, link)
        .with_context(|| format!("linking {} to {}", link.display(), target.display()))
}
