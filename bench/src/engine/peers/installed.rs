//! Which peers there are, whether they are installed, and how they are started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// A peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Restate's server, and a service by its Rust SDK.
    Restate,
    /// DBOS for Python, on PostgreSQL.
    Dbos,
}

/// Whether a peer can be started.
pub enum Place {
    /// By this command.
    Here(Command),
    /// No: this file is not there.
    Missing(PathBuf),
}

/// Where `cargo xtask bench-peers` puts them: below the target folder of the checkout that this was built from.
pub fn default_folder() -> PathBuf {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench).join("target/tools/peers")
}

impl Kind {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Restate => "Restate",
            Kind::Dbos => "DBOS",
        }
    }

    /// With how many orders in flight it still works by its default settings. DBOS has a pool of 20 connections in each
    /// process, for which an order waits 30 s at most.
    pub fn in_flight_limit(self) -> u32 {
        match self {
            Kind::Restate => 10_000,
            Kind::Dbos => 256,
        }
    }

    /// How long it must at least order before it counts, and how long it must count. A customer's first order waits in a
    /// queue of all the others', which must have passed; with one in flight there are few orders a second.
    pub fn least_times(self, in_flight: u32) -> (Duration, Duration) {
        let seconds =
            |warm_up, measured| (Duration::from_secs(warm_up), Duration::from_secs(measured));
        match (self, in_flight) {
            (Kind::Restate, 0..=256) => seconds(1, 3),
            (Kind::Restate, _) => seconds(4, 5),
            (Kind::Dbos, 0..=16) => seconds(1, 4),
            (Kind::Dbos, _) => seconds(4, 6),
        }
    }

    /// The command by which it is started from `folder`, with its data on the disk of `beside`.
    pub fn command(self, folder: &Path, beside: &Path) -> Place {
        let (program, arguments): (_, &[&str]) = match self {
            Kind::Restate => ("souk-peer-restate", &["restate-server"]),
            Kind::Dbos => ("dbos/bin/python", &["dbos.py", "postgres"]),
        };
        let mut command = Command::new(folder.join(program));
        for file in arguments {
            command.arg(folder.join(file));
        }
        command.arg(beside);
        let mut needed = arguments.iter().chain([&program]).map(|file| folder.join(file));
        match needed.find(|file| !file.exists()) {
            Some(missing) => Place::Missing(missing),
            None => Place::Here(command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_what_is_there_is_started() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |file: &str| folder.path().join(file);
        let missing = |kind: Kind| match kind.command(folder.path(), Path::new("data")) {
            Place::Missing(file) => Some(file),
            Place::Here(_) => None,
        };
        assert_eq!(missing(Kind::Restate), Some(path("restate-server")));
        std::fs::write(path("restate-server"), "").expect("a file can be written");
        assert_eq!(missing(Kind::Restate), Some(path("souk-peer-restate")));
        std::fs::write(path("souk-peer-restate"), "").expect("a file can be written");
        let Place::Here(command) = Kind::Restate.command(folder.path(), Path::new("data")) else {
            panic!("everything is there");
        };
        let command = command.as_std();
        assert_eq!(command.get_program(), path("souk-peer-restate"));
        let given: Vec<_> = command.get_args().collect();
        assert_eq!(given, [path("restate-server").as_os_str(), "data".as_ref()]);
        assert_eq!(missing(Kind::Dbos), Some(path("dbos.py")));
    }
}
