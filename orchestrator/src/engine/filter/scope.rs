//! Where the runs that a filter means can be: what the tables' indexes are asked for, so that the rest is not read.

use std::collections::BTreeSet;

use super::condition::{Condition, Test, TimeField, WordField};
use super::expression::Operator;
use crate::engine::ids::RunId;
use crate::engine::limits::START_SLACK_MS;
use crate::engine::row::RunState;

/// States, types and times of start; every run that the filter means is within all three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The states.
    pub states: BTreeSet<RunState>,
    /// The types; `None` for all.
    pub types: Option<BTreeSet<String>>,
    /// The earliest start, in unix milliseconds.
    pub first_ms: i64,
    /// The latest start, in unix milliseconds.
    pub last_ms: i64,
}

impl Scope {
    /// All runs.
    pub fn everything() -> Scope {
        let states = RunState::ALL.into_iter().collect();
        Scope { states, types: None, first_ms: i64::MIN, last_ms: i64::MAX }
    }

    /// Whether runs of every state and type are within it, so that only their ids matter.
    pub fn is_any_kind(&self) -> bool {
        self.types.is_none() && self.states.len() == RunState::ALL.len()
    }

    /// No run whose id is below this one is within it. An id may be made a while before or after the run's first event.
    pub fn first_run(&self) -> RunId {
        RunId::first_at(self.first_ms.saturating_sub(START_SLACK_MS))
    }

    /// No run whose id is this one or above it is within it; `None` if there is no such bound.
    pub fn end_run(&self) -> Option<RunId> {
        let end_ms = self.last_ms.checked_add(START_SLACK_MS + 1)?;
        Some(RunId::first_at(end_ms))
    }

    fn and(mut self, other: Scope) -> Scope {
        self.states.retain(|state| other.states.contains(state));
        self.types = match (self.types, other.types) {
            (Some(one), Some(two)) => Some(one.intersection(&two).cloned().collect()),
            (one, two) => one.or(two),
        };
        self.first_ms = self.first_ms.max(other.first_ms);
        self.last_ms = self.last_ms.min(other.last_ms);
        self
    }

    fn or(mut self, other: Scope) -> Scope {
        self.states.extend(other.states);
        self.types = match (self.types, other.types) {
            (Some(mut one), Some(two)) => {
                one.extend(two);
                Some(one)
            }
            _ => None,
        };
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self
    }
}

/// The scope of a condition.
pub(super) fn of(condition: &Condition) -> Scope {
    match condition {
        Condition::All(parts) => parts.iter().map(of).fold(Scope::everything(), Scope::and),
        Condition::Any(parts) => {
            parts.iter().map(of).reduce(Scope::or).unwrap_or_else(Scope::everything)
        }
        Condition::Test { test, is_negated } => of_test(test, *is_negated),
    }
}

fn of_test(test: &Test, is_negated: bool) -> Scope {
    let mut scope = Scope::everything();
    match test {
        Test::State(states) => {
            scope.states.retain(|state| states.contains(state) != is_negated);
        }
        Test::Word(WordField::Type, pattern) if !is_negated && !pattern.is_prefix => {
            scope.types = Some(BTreeSet::from([pattern.text.clone()]));
        }
        Test::Run(run_id) if !is_negated => {
            // Within the slack on either side: exactly this id.
            (scope.first_ms, scope.last_ms) = (run_id.time_ms(), run_id.time_ms());
        }
        Test::Time(field, operator, ms) => {
            let (from_ms, until_ms) = range(*operator, *ms, is_negated);
            // What was never updated or closed before a time was not started after it.
            scope.last_ms = until_ms;
            if *field == TimeField::Started {
                scope.first_ms = from_ms;
            }
        }
        _ => {}
    }
    scope
}

/// The times, first and last, that compare so.
fn range(operator: Operator, ms: i64, is_negated: bool) -> (i64, i64) {
    match (operator, is_negated) {
        (Operator::Equal, false) => (ms, ms),
        (Operator::Less | Operator::LessOrEqual, false)
        | (Operator::Greater | Operator::GreaterOrEqual, true) => (i64::MIN, ms),
        (Operator::Greater | Operator::GreaterOrEqual, false)
        | (Operator::Less | Operator::LessOrEqual, true) => (ms, i64::MAX),
        _ => (i64::MIN, i64::MAX),
    }
}
