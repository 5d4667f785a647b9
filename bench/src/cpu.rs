//! CPU time of a process, from `/proc/<pid>/stat` (proc_pid_stat(5)).

use std::time::Duration;

/// How long one tick of `utime` and `stime` is: USER_HZ is 100 on every Linux that Rust supports.
const TICK: Duration = Duration::from_millis(10);
/// Places of `utime` and `stime` after the command's name: fields 14 and 15, where the name is field 2.
const USER_FIELD: usize = 11;
const SYSTEM_FIELD: usize = 12;
/// Places of `cutime` and `cstime`: of children that have ended and were waited for.
const CHILDREN_FIELDS: [usize; 2] = [13, 14];
/// Place of the parent's process id.
const PARENT_FIELD: usize = 1;

/// User and system time of process `pid` and all its threads so far; none where it cannot be read.
pub fn used(pid: u32) -> Option<Duration> {
    time(&stat(pid)?, &[USER_FIELD, SYSTEM_FIELD])
}

/// The same, and that of its children that have ended and were waited for.
pub fn used_with_waited_for(pid: u32) -> Option<Duration> {
    let [user, system] = CHILDREN_FIELDS;
    time(&stat(pid)?, &[USER_FIELD, SYSTEM_FIELD, user, system])
}

/// The parent of process `pid`; none where it cannot be read.
pub fn parent(pid: u32) -> Option<u32> {
    field(&stat(pid)?, PARENT_FIELD)
}

fn stat(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// The sum of the times at these places.
fn time(stat: &str, places: &[usize]) -> Option<Duration> {
    let ticks: Option<Vec<u32>> = places.iter().map(|place| field(stat, *place)).collect();
    Some(ticks?.into_iter().map(|ticks| TICK * ticks).sum())
}

fn field(stat: &str, place: usize) -> Option<u32> {
    // The name is in parentheses and may itself contain spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat =
            "4242 (a (very) odd) S 1 4242 4242 0 -1 4194560 900 0 3 0 150 25 7 8 20 0 9 0 100";
        assert_eq!(time(stat, &[USER_FIELD, SYSTEM_FIELD]), Some(Duration::from_millis(1_750)));
        assert_eq!(time(stat, &CHILDREN_FIELDS), Some(Duration::from_millis(150)));
        assert_eq!(field(stat, PARENT_FIELD), Some(1));
    }

    #[test]
    fn what_is_no_stat_line_gives_nothing() {
        assert_eq!(time("", &[USER_FIELD]), None);
        assert_eq!(time("4242 (souk) S 1 2 3", &[USER_FIELD]), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let own = std::process::id();
        let before = used(own);
        assert!(before.is_some() && used_with_waited_for(own) >= before);
        assert!(parent(own).is_some());
    }
}
