//! CPU time of a program and all its descendants, from `/proc`.
//!
//! A child that has ended is counted by the one who waited for it, in `cutime` and `cstime` of proc_pid_stat(5).
//!
//! Bytes written are not summed up: `write_bytes` of proc_pid_io(5) counts whole large folios where a part of one is
//! overwritten, as PostgreSQL does in its log, which made 26 times as many as it wrote.

use std::collections::HashMap;
use std::time::Duration;

use crate::cpu;

/// Used by process `root` and its descendants so far. None where it cannot be read.
pub fn cpu_time(root: u32) -> Option<Duration> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, parent) in all() {
        children.entry(parent).or_default().push(pid);
    }
    let (mut total, mut left) = (None, vec![root]);
    while let Some(pid) = left.pop() {
        // Taken out, so that a process id that was used again cannot make this a circle.
        left.extend(children.remove(&pid).unwrap_or_default());
        total =
            total.into_iter().chain(cpu::used_with_waited_for(pid)).reduce(|sum, cpu| sum + cpu);
    }
    total
}

/// Every process, and its parent.
fn all() -> impl Iterator<Item = (u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, cpu::parent(pid)?))
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_grandchildren_use_is_counted_while_they_live_and_after() {
        // The grandchild burns CPU until it is told to end; the child then waits for it, and for its own end.
        let script = "sh -c 'while :; do :; done' & read end; kill $!; wait; echo waited; read end";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let pid = child.id();
        let used = || cpu_time(pid).unwrap_or_default();
        let begun = Instant::now();
        while used() < Duration::from_millis(50) {
            assert!(begun.elapsed() < Duration::from_secs(60), "its time is not seen");
            std::thread::yield_now();
        }
        let living = used();
        let mut input = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut input, b"end\n").expect("it reads");
        let mut said = [0; 7];
        let output = child.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(output, &mut said).expect("it answers");
        assert!(used() >= living);
        drop(input);
        child.wait().expect("it ends");
        assert_eq!(cpu_time(pid), None);
    }
}
