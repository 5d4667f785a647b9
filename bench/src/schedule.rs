//! When orders are sent in an open loop: at a fixed rate, whatever the shop does, as customers do who know nothing of
//! each other. Each order's time counts from when it was due and not from when it could be sent, so a shop that stalls
//! is charged for everybody who waited (no coordinated omission).

use std::time::Duration;

/// Evenly spaced sends.
#[derive(Clone, Copy)]
pub struct Schedule {
    per_second: f64,
    until: Duration,
}

impl Schedule {
    /// `per_second` sends a second, for `until`.
    ///
    /// # Panics
    /// Unless `per_second` is more than 0.
    pub fn new(per_second: f64, until: Duration) -> Self {
        assert!(per_second > 0.0, "a schedule has a rate");
        Self { per_second, until }
    }

    /// When send `index`, from 0, is due, counted from the start; none once the time is over.
    pub fn due(&self, index: u64) -> Option<Duration> {
        let due = Duration::from_secs_f64(index as f64 / self.per_second);
        (due < self.until).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_are_evenly_spaced_and_do_not_drift() {
        let schedule = Schedule::new(1_000.0, Duration::from_secs(3_600));
        assert_eq!(schedule.due(0), Some(Duration::ZERO));
        assert_eq!(schedule.due(1), Some(Duration::from_millis(1)));
        assert_eq!(schedule.due(3_599_999), Some(Duration::from_millis(3_599_999)));
    }

    #[test]
    fn there_are_as_many_as_the_rate_times_the_time() {
        let schedule = Schedule::new(300.0, Duration::from_secs(2));
        assert_eq!((0..).take_while(|index| schedule.due(*index).is_some()).count(), 600);
    }

    #[test]
    fn a_rate_below_one_a_second_is_one() {
        let schedule = Schedule::new(0.5, Duration::from_secs(5));
        let dues: Vec<_> = (0..).map_while(|index| schedule.due(index)).collect();
        assert_eq!(dues, [0, 2, 4].map(Duration::from_secs));
    }
}
