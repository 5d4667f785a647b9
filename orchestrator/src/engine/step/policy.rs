//! How a step is retried, and how long it may take.

use std::time::Duration;

/// A retry policy with its time limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Pause after the first failed attempt.
    pub initial: Duration,
    /// By how much each pause is longer than the one before.
    pub factor: f64,
    /// The longest pause.
    pub maximum: Duration,
    /// How many attempts are made at most; at least one is.
    pub attempts: u32,
    /// How long one attempt may take.
    pub start_to_close: Duration,
    /// How long all attempts and pauses together may take, from when the step was scheduled.
    pub total: Duration,
    /// How long an attempt may give no sign of life ([`StepContext::heartbeat`](super::StepContext::heartbeat)).
    pub heartbeat: Option<Duration>,
    /// Codes of failures that are not worth another attempt, although whoever reports them says that they may be retried.
    pub non_retryable: &'static [&'static str],
}

/// By how much a pause is spread, so that what failed together does not return together.
const JITTER: f64 = 0.2;

impl Policy {
    /// What a step does unless it says otherwise: pauses of 2 to 10 s, six attempts, at most two minutes.
    pub const fn step() -> Policy {
        Policy {
            initial: Duration::from_secs(2),
            factor: 2.0,
            maximum: Duration::from_secs(10),
            attempts: 6,
            start_to_close: Duration::from_secs(10),
            total: Duration::from_secs(120),
            heartbeat: None,
            non_retryable: &[],
        }
    }

    /// What a compensation does unless it says otherwise: it is more patient, for giving up needs a person.
    pub const fn compensation() -> Policy {
        Policy { attempts: 30, total: Duration::from_secs(600), ..Policy::step() }
    }

    /// One attempt only.
    pub const fn once() -> Policy {
        Policy { attempts: 1, ..Policy::step() }
    }

    /// The pause after failed attempt number `attempt` (from 1). `random` spreads it by a fifth either way.
    pub fn pause_after(&self, attempt: u32, random: u64) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.initial.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        let seconds = seconds.min(self.maximum.as_secs_f64());
        let unit = (random >> 11) as f64 / (1u64 << 53) as f64;
        Duration::from_secs_f64(seconds * (1.0 - JITTER + 2.0 * JITTER * unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_maximum_and_spread_by_a_fifth() {
        let policy = Policy::step();
        assert_eq!(policy.pause_after(1, 0), Duration::from_secs_f64(1.6));
        assert_eq!(policy.pause_after(2, 0), Duration::from_secs_f64(3.2));
        assert_eq!(policy.pause_after(9, 0), Duration::from_secs_f64(8.0));
        assert!(policy.pause_after(u32::MAX, u64::MAX) <= Duration::from_secs(12));
    }
}
