//! What this process has used: CPU time, and bytes that it handed to the disk.

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
