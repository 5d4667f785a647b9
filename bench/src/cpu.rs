//! CPU time of a process, from `/proc/<pid>/stat` (proc_pid_stat(5)).

use std::time::Duration;

/// How long one tick of `utime` and `stime` is: USER_HZ is 100 on every Linux that Rust supports.
const TICK: Duration = Duration::from_millis(10);
/// Places of `utime` and `stime` after the command's name: fields 14 and 15, where the name is field 2.
const USER_FIELD: usize = 11;
const SYSTEM_FIELD: usize = 12;

/// User and system time of process `pid` and all its threads so far; none where it cannot be read.
pub fn used(pid: u32) -> Option<Duration> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<Duration> {
    // The name is in parentheses and may itself contain spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u32>().ok();
    Some(TICK * ticks(USER_FIELD)?.checked_add(ticks(SYSTEM_FIELD)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat =
            "4242 (a (very) odd) S 1 4242 4242 0 -1 4194560 900 0 3 0 150 25 7 8 20 0 9 0 100";
        assert_eq!(parse(stat), Some(Duration::from_millis(1_750)));
    }

    #[test]
    fn what_is_no_stat_line_gives_nothing() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("4242 (souk) S 1 2 3"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(used(std::process::id()).is_some());
    }
}
