//! Unix milliseconds, which services count in, and google.protobuf.Timestamp and Duration, which
//! travel.

use prost_types::{Duration, Timestamp};

const MS_PER_SECOND: i64 = 1_000;
const NANOS_PER_MS: i32 = 1_000_000;

/// Unix milliseconds as a timestamp.
pub fn timestamp(unix_ms: i64) -> Timestamp {
    // The remainder is 0 to 999, so it fits.
    let rest_ms = unix_ms.rem_euclid(MS_PER_SECOND) as i32;
    Timestamp { seconds: unix_ms.div_euclid(MS_PER_SECOND), nanos: rest_ms * NANOS_PER_MS }
}

/// A timestamp as unix milliseconds, rounded down; what is out of range is brought to its end.
pub fn unix_ms(timestamp: &Timestamp) -> i64 {
    let whole_ms = timestamp.seconds.saturating_mul(MS_PER_SECOND);
    whole_ms.saturating_add(i64::from(timestamp.nanos.div_euclid(NANOS_PER_MS)))
}

/// Milliseconds as a duration.
pub fn duration(ms: i64) -> Duration {
    // The remainder is -999 to 999, so it fits; a duration's parts have the same sign.
    let rest_ms = (ms % MS_PER_SECOND) as i32;
    Duration { seconds: ms / MS_PER_SECOND, nanos: rest_ms * NANOS_PER_MS }
}

/// A duration as milliseconds, rounded toward zero; what is out of range is brought to its end.
pub fn duration_ms(duration: &Duration) -> i64 {
    let whole_ms = duration.seconds.saturating_mul(MS_PER_SECOND);
    whole_ms.saturating_add(i64::from(duration.nanos / NANOS_PER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_come_back_before_and_after_1970() {
        for ms in [-1_001, -1_000, -1, 0, 1, 999, 1_000, 1_764_000_000_123] {
            assert_eq!(unix_ms(&timestamp(ms)), ms);
            assert_eq!(duration_ms(&duration(ms)), ms);
            assert!((0..1_000_000_000).contains(&timestamp(ms).nanos));
        }
    }

    #[test]
    fn what_does_not_fit_is_brought_to_the_end() {
        assert_eq!(unix_ms(&Timestamp { seconds: i64::MAX, nanos: 1 }), i64::MAX);
        assert_eq!(duration_ms(&Duration { seconds: i64::MIN, nanos: -1_000_000 }), i64::MIN);
    }
}
