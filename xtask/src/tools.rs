//! The programs that the checks need beside Rust: installed under `target/tools`, from the package
//! registries, by name and version.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use souk_backends::Part;
use souk_backends::install::{debian, go, run};

/// A program that a step cannot do without.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    /// The linter of the protos, from npm.
    Buf,
    /// The gRPC client of internal teams, from the Go module proxy.
    Grpcurl,
    /// The browser, from Debian.
    Chromium,
    /// What drives the browser, from npm.
    Playwright,
    /// Redis, RabbitMQ, Cassandra and Toxiproxy: what souk-backends knows to install.
    Backends,
}

const BUF: &str = "@bufbuild/buf@1.75.0";
const PLAYWRIGHT: &str = "playwright-core@1.65.0";
const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4";

/// The workspace's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Where Go programs are installed.
pub fn binaries() -> PathBuf {
    root().join("target/tools/bin")
}

/// Where npm packages are installed.
pub fn node_modules() -> PathBuf {
    root().join("target/tools/npm/node_modules")
}

/// Whether a missing tool is a failure rather than a skip.
pub fn under_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Installs every tool.
pub fn install_all() -> Result<()> {
    for tool in [Tool::Buf, Tool::Grpcurl, Tool::Chromium, Tool::Playwright, Tool::Backends] {
        ensure(tool)?;
        println!("{tool:?}: ready");
    }
    println!("programs: {}\nnpm: {}", binaries().display(), node_modules().display());
    Ok(())
}

/// Makes sure that `tool` is there, installing it where it is not.
pub fn ensure(tool: Tool) -> Result<()> {
    match tool {
        Tool::Buf => npm(BUF, ".bin/buf"),
        Tool::Playwright => npm(PLAYWRIGHT, "playwright-core/package.json"),
        Tool::Grpcurl => go(GRPCURL, &binaries(), "grpcurl"),
        Tool::Chromium => debian("chromium", "/usr/bin/chromium"),
        Tool::Backends => Part::ALL.into_iter().try_for_each(souk_backends::ensure),
    }
}

/// Installs an npm package, unless the file `proof` of it is there.
pub fn npm(package: &str, proof: &str) -> Result<()> {
    if node_modules().join(proof).exists() {
        return Ok(());
    }
    let prefix = root().join("target/tools/npm");
    std::fs::create_dir_all(&prefix).with_context(|| format!("creating {}", prefix.display()))?;
    run(Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
        .arg(&prefix)
        .arg(package)
        // Some packages report their installation to their makers.
        .envs([("DO_NOT_TRACK", "1"), ("SCARF_ANALYTICS", "false")]))
}
