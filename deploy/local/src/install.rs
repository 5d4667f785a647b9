//! Finds programs, and installs those that are missing: from Debian's packages, from Maven Central and by the Go module
//! proxy. The checks of the project install theirs by the same functions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A part that may have to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Debian's `redis-server`.
    Redis,
    /// Debian's `rabbitmq-server`.
    RabbitMq,
    /// `org.apache.cassandra:cassandra-all`, on JDK 17.
    Cassandra,
    /// `github.com/Shopify/toxiproxy`, between the others and who calls them.
    Toxiproxy,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Redis, Self::RabbitMq, Self::Cassandra, Self::Toxiproxy];
}

/// The version that tests are written for.
const TOXIPROXY: &str = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0";
/// What is run of Cassandra.
const CASSANDRA: &str = include_str!("../cassandra/pom.xml");

/// Makes sure that a part is there.
///
/// # Errors
/// When it cannot be installed.
pub fn ensure(part: Part) -> Result<()> {
    match part {
        Part::Redis => debian("redis-server", "/usr/bin/redis-server"),
        Part::RabbitMq => debian("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server"),
        Part::Cassandra => cassandra_jars().map(drop),
        Part::Toxiproxy => toxiproxy().map(drop),
    }
}

/// For tests: whether a part is there. One that cannot be had is a loud skip, and a failure where `CI` is `true`.
///
/// # Panics
/// Under CI, when the part cannot be installed.
pub fn there_or_skipped(part: Part) -> bool {
    match ensure(part) {
        Ok(()) => true,
        Err(error) => {
            let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!is_ci, "{part:?} cannot be had: {error:#}");
            eprintln!("!!! SKIPPED: {part:?} cannot be had: {error:#}");
            false
        }
    }
}

/// Installs a package of Debian, unless the file `proof` of it is there.
///
/// # Errors
/// When it cannot be installed.
pub fn debian(package: &str, proof: &str) -> Result<()> {
    if Path::new(proof).exists() {
        return Ok(());
    }
    run(Command::new("apt-get").args(["update", "--quiet", "--quiet"]))?;
    run(Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends", "--quiet", "--quiet", package])
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Installs a program from the Go module proxy into `folder`, unless the file `program` is there.
///
/// # Errors
/// When it cannot be installed.
pub fn go(package: &str, folder: &Path, program: &str) -> Result<()> {
    if folder.join(program).exists() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    run(Command::new("go").args(["install", package]).env("GOBIN", folder.canonicalize()?))
}

/// The program of Toxiproxy.
pub(crate) fn toxiproxy() -> Result<PathBuf> {
    let folder = tools().join("toxiproxy");
    go(TOXIPROXY, &folder, "server")?;
    Ok(folder.join("server").canonicalize()?)
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

/// The folder with Cassandra's class path.
pub(crate) fn cassandra_jars() -> Result<PathBuf> {
    let root = tools().join("cassandra");
    let jars = root.join("jars");
    // Written last, with what it is the proof of.
    let proof = root.join("pom.installed.xml");
    if std::fs::read_to_string(&proof).is_ok_and(|installed| installed == CASSANDRA) {
        return Ok(jars);
    }
    std::fs::create_dir_all(&root)?;
    if jars.exists() {
        std::fs::remove_dir_all(&jars)?;
    }
    let project = root.join("pom.xml");
    std::fs::write(&project, CASSANDRA)?;
    run(Command::new("mvn")
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies"])
        .args(["-DincludeScope=runtime", "-DoutputDirectory=jars", "--file"])
        .arg(&project))?;
    std::fs::write(proof, CASSANDRA)?;
    Ok(jars)
}

/// Runs a command to its successful end, and shows it.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    eprintln!("installing: {shown}");
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}
