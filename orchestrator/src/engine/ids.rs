//! Identifiers of the engine.

use std::fmt;

use uuid::Uuid;

/// One execution of a workflow. A UUIDv7: ordered by the time at which the run was started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub Uuid);

impl RunId {
    /// The id as its sixteen bytes, in an order that sorts as time does.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// An id that is not above that of any run whose id was made at this time (unix milliseconds) or later.
    pub fn first_at(ms: i64) -> RunId {
        // The first six bytes are the time.
        let ms = u128::try_from(ms).unwrap_or(0).min((1 << 48) - 1);
        RunId(Uuid::from_u128(ms << 80))
    }

    /// When the id was made, in unix milliseconds.
    pub fn time_ms(&self) -> i64 {
        i64::try_from(self.0.as_u128() >> 80).unwrap_or(i64::MAX)
    }

    /// Reads the sixteen bytes of [`RunId::as_bytes`]; `None` if there are not exactly sixteen.
    pub fn from_slice(bytes: &[u8]) -> Option<RunId> {
        Uuid::from_slice(bytes).ok().map(RunId)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// One log of a node. A log that was sealed is never written again: its successor has a higher id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LogId(pub u64);

/// A place in a log: the number of a slot, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot behind this one.
    pub fn next(self) -> Slot {
        Slot(self.0 + 1)
    }
}
