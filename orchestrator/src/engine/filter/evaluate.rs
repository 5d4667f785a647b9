//! Asks a condition of a row.

use std::cmp::Ordering;

use super::condition::{Condition, Field, NumberField, Test, TimeField, Wanted, WordField};
use super::expression::Operator;
use crate::engine::attribute::Value;
use crate::engine::row::{FailureRecord, RunRow, RunState};

/// Whether the condition is true of the run. A test that says nothing is not true, nor is its negation.
pub(super) fn is_true(condition: &Condition, row: &RunRow) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| is_true(part, row)),
        Condition::Any(parts) => parts.iter().any(|part| is_true(part, row)),
        Condition::Test { test, is_negated } => {
            says(test, row).is_some_and(|holds| holds != *is_negated)
        }
    }
}

/// What a test says of a run: nothing if the run does not have what is compared.
fn says(test: &Test, row: &RunRow) -> Option<bool> {
    Some(match test {
        Test::State(states) => states.contains(&row.state()),
        Test::Run(run_id) => row.id() == *run_id,
        Test::Word(field, pattern) => pattern.fits(word(*field, row)?),
        Test::Time(field, operator, ms) => holds(*operator, time(*field, row)?.cmp(ms)),
        Test::Number(field, operator, value) => holds(*operator, number(*field, row).cmp(value)),
        Test::Attribute(name, operator, wanted) => {
            return attribute(value(name, row)?, *operator, wanted);
        }
        Test::Has(field) => has(field, row),
    })
}

fn has(field: &Field, row: &RunRow) -> bool {
    match field {
        Field::State | Field::RunId | Field::Number(_) => true,
        Field::Word(field) => word(*field, row).is_some(),
        Field::Time(field) => time(*field, row).is_some(),
        Field::Attribute(name) => value(name, row).is_some(),
    }
}

fn word(field: WordField, row: &RunRow) -> Option<&str> {
    let text = match field {
        WordField::Type => &row.workflow_type,
        WordField::WorkflowId => &row.workflow_id,
        WordField::Failure if row.state() == RunState::Stuck => &row.stuck_code,
        WordField::Failure => &failure(row)?.code,
        WordField::Step => &failure(row)?.step,
        WordField::Parent => &row.parent.as_ref()?.workflow_id,
    };
    (!text.is_empty()).then_some(text)
}

/// Why the run is parked, or else why it failed: what lists show.
fn failure(row: &RunRow) -> Option<&FailureRecord> {
    row.parked_by.as_ref().or(row.failure.as_ref())
}

fn time(field: TimeField, row: &RunRow) -> Option<i64> {
    match field {
        TimeField::Started => Some(row.started_at_ms),
        TimeField::Updated => Some(row.updated_at_ms),
        TimeField::Closed => Some(row.closed_at_ms).filter(|ms| *ms != 0),
    }
}

fn number(field: NumberField, row: &RunRow) -> i64 {
    let number = match field {
        NumberField::Events => row.next_sequence,
        NumberField::OpenUndo => row.open_undo,
    };
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn value<'a>(name: &str, row: &'a RunRow) -> Option<&'a Value> {
    row.attributes.iter().find(|attribute| attribute.name == name)?.value.as_ref()
}

/// Nothing is said where kinds differ: 5 is neither equal to "five" nor unequal.
fn attribute(value: &Value, operator: Operator, wanted: &Wanted) -> Option<bool> {
    Some(match (value, wanted) {
        (Value::Text(text), Wanted::Text(pattern, _)) => match operator {
            Operator::Equal => pattern.fits(text),
            operator => holds(operator, text.as_str().cmp(&pattern.text)),
        },
        (Value::TimeMs(ms), Wanted::Text(_, Some(wanted)) | Wanted::TimeMs(wanted)) => {
            holds(operator, ms.cmp(wanted))
        }
        (Value::Integer(integer), Wanted::Integer(wanted)) => holds(operator, integer.cmp(wanted)),
        (Value::Flag(flag), Wanted::Flag(wanted)) => flag == wanted,
        _ => return None,
    })
}

/// Whether something compares so. `!=` and `:` are dealt with before.
fn holds(operator: Operator, ordering: Ordering) -> bool {
    match operator {
        Operator::Equal => ordering.is_eq(),
        Operator::Less => ordering.is_lt(),
        Operator::LessOrEqual => ordering.is_le(),
        Operator::Greater => ordering.is_gt(),
        Operator::GreaterOrEqual => ordering.is_ge(),
        Operator::Unequal | Operator::Has => ordering.is_ne(),
    }
}
