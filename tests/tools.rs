//! Programs that are not Rust's: found where `cargo xtask tools` puts them, or on the path.

use std::path::{Path, PathBuf};

/// Where `cargo xtask tools` installs; see xtask/src/tools.rs.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");

/// The first of `candidates` that exists: `None`, said loudly, where none does. With `CI=true` that is a failure.
fn first(name: &str, candidates: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let found = candidates.into_iter().find(|candidate| candidate.exists());
    if found.is_none() {
        let why = format!("{name} is not there; `cargo xtask tools` installs it");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("!!! A TEST IS SKIPPED: {why}");
    }
    found
}

/// A program.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let installed = Path::new(INSTALLED).join("bin");
    first(name, std::iter::once(installed).chain(folders).map(|folder| folder.join(name)))
}

/// The folder of Node's packages, if `package` is in it.
pub fn node_modules(package: &str) -> Option<PathBuf> {
    let folder = Path::new(INSTALLED).join("npm/node_modules");
    first(package, [folder.join(package)]).map(|_| folder)
}
