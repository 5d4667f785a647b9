//! What this process has used: CPU time, and bytes that it handed to the disk.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::cpu;

/// Used so far, or between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Option<Duration>,
    /// Bytes that were, or will be, written to disk: `write_bytes` of proc_pid_io(5).
    pub written: Option<u64>,
}

impl Usage {
    /// So far.
    pub fn now() -> Usage {
        let io = std::fs::read_to_string("/proc/self/io").ok();
        Usage { cpu: cpu::used(std::process::id()), written: io.as_deref().and_then(written) }
    }

    /// Since an earlier look.
    pub fn since(self, earlier: Usage) -> Usage {
        let cpu = self.cpu.zip(earlier.cpu).map(|(now, then)| now.saturating_sub(then));
        let written = self.written.zip(earlier.written).map(|(now, then)| now.saturating_sub(then));
        Usage { cpu, written }
    }

    /// CPU for each of so many orders.
    pub fn cpu_per(&self, orders: u64) -> Option<Duration> {
        self.cpu.filter(|_| orders > 0).map(|cpu| cpu.div_f64(orders as f64))
    }

    /// Bytes for each of so many orders.
    pub fn written_per(&self, orders: u64) -> Option<f64> {
        self.written.filter(|_| orders > 0).map(|written| written as f64 / orders as f64)
    }
}

/// Memory of this process that is resident now, in millions of bytes; 0 where that cannot be read.
pub fn resident_mb() -> f64 {
    status_mb("VmRSS:")
}

/// The most that ever was.
pub fn greatest_resident_mb() -> f64 {
    status_mb("VmHWM:")
}

/// A figure of proc_pid_status(5), which counts in KiB.
fn status_mb(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1_024.0 / 1e6
}

/// What the files below a folder take on disk, in millions of bytes.
///
/// # Errors
/// When the folder cannot be read.
pub fn on_disk_mb(folder: &Path) -> std::io::Result<f64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                // In units of 512 bytes, whatever the file system's blocks are: stat(2).
                bytes += metadata.blocks() * 512;
            }
        }
    }
    Ok(bytes as f64 / 1e6)
}

fn written(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_written_are_found_among_the_other_counters() {
        let io =
            "rchar: 12\nwchar: 34\nread_bytes: 56\nwrite_bytes: 78\ncancelled_write_bytes: 9\n";
        assert_eq!(written(io), Some(78));
        assert_eq!(written("rchar: 12\n"), None);
    }

    #[test]
    fn what_was_used_between_two_looks_is_shared_among_the_orders() {
        let then = Usage { cpu: Some(Duration::from_millis(10)), written: Some(1_000) };
        let now = Usage { cpu: Some(Duration::from_millis(30)), written: Some(5_000) };
        let used = now.since(then);
        assert_eq!(used.cpu_per(10), Some(Duration::from_millis(2)));
        assert_eq!(used.written_per(10), Some(400.0));
        assert_eq!((used.cpu_per(0), used.written_per(0)), (None, None));
    }
}
