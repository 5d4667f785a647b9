//! When a failing event comes again, and when it is given up.

/// Pause after the first failure, in milliseconds; doubled after each further one.
pub const FIRST_PAUSE_MS: i64 = 200;
/// Longest pause, in milliseconds.
pub const LONGEST_PAUSE_MS: i64 = 60_000;
/// Attempts until an event is dead: some nine minutes of failing.
pub const ATTEMPTS: u32 = 16;

/// The pause after so many failed attempts, in milliseconds; `None` when it is dead.
#[must_use]
pub fn pause_ms(failed_attempts: u32) -> Option<i64> {
    if failed_attempts >= ATTEMPTS {
        return None;
    }
    let doubled = FIRST_PAUSE_MS << failed_attempts.saturating_sub(1);
    Some(doubled.min(LONGEST_PAUSE_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let pauses: Vec<_> = (1..).map_while(pause_ms).collect();
        assert_eq!(pauses[..4], [200, 400, 800, 1_600]);
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE_MS));
        assert_eq!(pauses.len(), ATTEMPTS as usize - 1);
        assert!(pauses.iter().sum::<i64>() > 7 * 60_000, "an outage of minutes is survived");
    }
}
