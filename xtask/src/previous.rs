//! The program as the commit before this one builds it: tests upgrade a running shop from it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use souk_backends::install::run;

use crate::tools::root;

/// Which commit that is.
const COMMIT: &str = "HEAD~1";

/// Builds it, and says where it is; `None` where the history does not reach back that far, which is said aloud.
///
/// # Errors
/// When it cannot be built.
pub fn program() -> Result<Option<PathBuf>> {
    let folder = root().join("target/previous");
    let Some(commit) = commit()? else {
        eprintln!(
            "!!! there is no commit before this one: upgrades are tested from this build to itself"
        );
        return Ok(None);
    };
    let program = folder.join(format!("souk-{commit}"));
    if program.exists() {
        return Ok(Some(program));
    }
    let source = folder.join("source");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&source)?;
    let archive = folder.join("source.tar");
    run(Command::new("git")
        .args(["archive", "--output"])
        .arg(&archive)
        .arg(&commit)
        .current_dir(root()))?;
    run(Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&source))?;
    // A target folder of its own: in a common one, cargo takes what it compiled of one source for that of the other, as
    // their crates have the same names and places within their workspaces.
    let target = folder.join("target");
    run(Command::new("cargo")
        .args(["build", "--locked", "--package", "souk", "--manifest-path"])
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_INCREMENTAL", "0"))?;
    std::fs::rename(target.join("debug/souk"), &program)?;
    std::fs::remove_dir_all(target)?;
    std::fs::remove_file(archive)?;
    Ok(Some(program))
}

fn commit() -> Result<Option<String>> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--quiet", "--verify", COMMIT]).current_dir(root());
    let answer = git.output().context("starting git")?;
    if !answer.status.success() {
        return Ok(None);
    }
    let commit = String::from_utf8(answer.stdout)?.trim().to_owned();
    ensure!(!commit.is_empty(), "git names no commit");
    Ok(Some(commit))
}
