//! What a run is summed up by: exact percentiles of the times that were measured, none of them estimated.

use std::time::Duration;

/// Times in ascending order.
pub struct Distribution {
    sorted: Vec<Duration>,
}

impl Distribution {
    /// Of these times, in any order.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }

    /// The least of the times that at least `percent` of all do not exceed (nearest rank); zero if there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.sorted.len() as f64).ceil() as usize;
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get(rank.saturating_sub(1).min(last)).copied().unwrap_or_default()
    }

    /// The greatest; zero if there are none.
    pub fn max(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(of: impl IntoIterator<Item = u64>) -> Distribution {
        Distribution::of(of.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_by_nearest_rank_whatever_the_order() {
        let times = milliseconds((1..=100).rev());
        assert_eq!(times.percentile(50.0), Duration::from_millis(50));
        assert_eq!(times.percentile(95.0), Duration::from_millis(95));
        assert_eq!(times.percentile(99.0), Duration::from_millis(99));
        assert_eq!(times.percentile(100.0), Duration::from_millis(100));
        assert_eq!(times.percentile(0.0), Duration::from_millis(1));
        assert_eq!(times.max(), Duration::from_millis(100));
    }

    #[test]
    fn a_rank_between_two_times_is_the_later_one() {
        let times = milliseconds([10, 20, 30]);
        assert_eq!(times.percentile(50.0), Duration::from_millis(20));
        assert_eq!(times.percentile(67.0), Duration::from_millis(30));
        assert_eq!(times.percentile(99.0), Duration::from_millis(30));
    }

    #[test]
    fn one_slow_order_in_a_hundred_is_seen_by_the_maximum_and_not_by_the_99th() {
        let times = milliseconds(std::iter::repeat_n(5, 99).chain([900]));
        assert_eq!(times.percentile(99.0), Duration::from_millis(5));
        assert_eq!(times.max(), Duration::from_millis(900));
    }

    #[test]
    fn nothing_measured_is_zero() {
        let times = milliseconds([]);
        assert_eq!((times.percentile(99.0), times.max()), (Duration::ZERO, Duration::ZERO));
    }
}
