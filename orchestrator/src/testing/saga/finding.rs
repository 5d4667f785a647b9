//! What the trio has found.

use std::fmt;

use crate::engine::event::Event;
use crate::testing::timeline;

/// What is wrong with a saga: what was done to it, what came of that, and the history of the run.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was done to it: which step or undo met which fault, or where the process died.
    pub told: String,
    /// What is wrong.
    pub problem: String,
    /// The history of the run, for people.
    pub timeline: String,
}

impl Finding {
    pub(super) fn new(told: &str, problem: &str, history: &[Event]) -> Finding {
        Finding { told: told.to_owned(), problem: problem.to_owned(), timeline: timeline(history) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}\n{}", self.told, self.problem, self.timeline)
    }
}

/// Like [`fmt::Display`]: it is what `unwrap` shows.
impl fmt::Debug for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Finding {}
