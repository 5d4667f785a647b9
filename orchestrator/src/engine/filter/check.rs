//! Holds an expression against the fields that runs have.

use super::Invalid;
use super::condition::{Condition, Field, Pattern, Test, Wanted};
use super::expression::{Comparison, Expression, Literal, Operator};
use super::lexer::invalid;
use crate::engine::ids::RunId;
use crate::engine::row::RunState;

/// The condition that an expression means. `text` is what it was read from.
pub(super) fn check(
    text: &str,
    expression: &Expression,
    now_ms: i64,
) -> Result<Condition, Invalid> {
    Checker { text, now_ms }.expression(expression, false)
}

struct Checker<'a> {
    text: &'a str,
    now_ms: i64,
}

impl Checker<'_> {
    /// `NOT` goes inwards: not (a and b) is (not a) or (not b).
    fn expression(&self, of: &Expression, is_negated: bool) -> Result<Condition, Invalid> {
        let all = |parts: &[Expression]| {
            parts.iter().map(|part| self.expression(part, is_negated)).collect::<Result<_, _>>()
        };
        Ok(match (of, is_negated) {
            (Expression::Not(inner), _) => self.expression(inner, !is_negated)?,
            (Expression::And(parts), false) | (Expression::Or(parts), true) => {
                Condition::All(all(parts)?)
            }
            (Expression::Or(parts), false) | (Expression::And(parts), true) => {
                Condition::Any(all(parts)?)
            }
            (Expression::Comparison(comparison), _) => self.comparison(comparison, is_negated)?,
        })
    }

    fn comparison(&self, of: &Comparison, is_negated: bool) -> Result<Condition, Invalid> {
        let field = Field::named(&of.field).ok_or_else(|| {
            invalid(self.text, of.field_at.0, format!("no field is called {:?}", of.field))
        })?;
        // What is not equal is what is not (equal): where there is nothing to compare, neither says anything.
        let is_unequal = of.operator == Operator::Unequal;
        let operator = if is_unequal { Operator::Equal } else { of.operator };
        let test = match (operator, field) {
            (Operator::Has, field) => Test::Has(field),
            (_, Field::State) => Test::State(self.states(of)?),
            (_, Field::RunId) => Test::Run(self.run_id(of)?),
            (_, Field::Word(field)) => Test::Word(field, self.word(of)?),
            (_, Field::Time(field)) => Test::Time(field, operator, self.time(of)?),
            (_, Field::Number(field)) => Test::Number(field, operator, self.number(of)?),
            (_, Field::Attribute(name)) => Test::Attribute(name, operator, self.wanted(of)?),
        };
        Ok(Condition::Test { test, is_negated: is_negated != is_unequal })
    }

    fn value_error(&self, of: &Comparison, expected: &str) -> Invalid {
        let problem = format!("{} is compared with {expected}, not with {}", of.field, of.value);
        invalid(self.text, of.value_at.0, problem)
    }

    fn only_equal(&self, of: &Comparison) -> Result<(), Invalid> {
        if matches!(of.operator, Operator::Equal | Operator::Unequal) {
            return Ok(());
        }
        let problem = format!("this can only be compared by = and !=, not by {}", of.operator);
        Err(invalid(self.text, of.operator_at.0, problem))
    }

    fn word(&self, of: &Comparison) -> Result<Pattern, Invalid> {
        self.only_equal(of)?;
        match &of.value {
            Literal::Text { text, is_prefix } => {
                Ok(Pattern { text: text.clone(), is_prefix: *is_prefix })
            }
            _ => Err(self.value_error(of, "a text")),
        }
    }

    fn states(&self, of: &Comparison) -> Result<Vec<RunState>, Invalid> {
        let expected = "running, compensating, parked, stuck, paused, completed, failed, cancelled, terminated, continued, open or closed";
        let word = self.word(of)?;
        let name = word.text.to_ascii_lowercase();
        let states: Vec<RunState> = match name.as_str() {
            "open" => RunState::ALL.into_iter().filter(|state| !state.is_closed()).collect(),
            "closed" => RunState::ALL.into_iter().filter(|state| state.is_closed()).collect(),
            // As lists show it: a stuck run is a parked one whose cause is the code that has a page.
            "parked" => vec![RunState::Parked, RunState::Stuck],
            name => RunState::ALL.into_iter().filter(|state| state.name() == name).collect(),
        };
        if states.is_empty() || word.is_prefix {
            return Err(self.value_error(of, expected));
        }
        Ok(states)
    }

    fn run_id(&self, of: &Comparison) -> Result<RunId, Invalid> {
        let word = self.word(of)?;
        let id = uuid::Uuid::try_parse(&word.text).ok().filter(|_| !word.is_prefix);
        id.map(RunId).ok_or_else(|| self.value_error(of, "the UUID of a run"))
    }

    fn time(&self, of: &Comparison) -> Result<i64, Invalid> {
        let expected = "a time such as \"2026-11-01T00:00:00Z\", now - 1h or -7d";
        match &of.value {
            Literal::Now { offset_ms } => Ok(self.now_ms.saturating_add(*offset_ms)),
            Literal::Text { text, is_prefix: false } => {
                time_of(text).ok_or_else(|| self.value_error(of, expected))
            }
            _ => Err(self.value_error(of, expected)),
        }
    }

    fn number(&self, of: &Comparison) -> Result<i64, Invalid> {
        match of.value {
            Literal::Integer(integer) => Ok(integer),
            _ => Err(self.value_error(of, "a whole number")),
        }
    }

    fn wanted(&self, of: &Comparison) -> Result<Wanted, Invalid> {
        Ok(match &of.value {
            Literal::Integer(integer) => Wanted::Integer(*integer),
            Literal::Now { offset_ms } => Wanted::TimeMs(self.now_ms.saturating_add(*offset_ms)),
            Literal::Flag(flag) => {
                self.only_equal(of)?;
                Wanted::Flag(*flag)
            }
            Literal::Text { text, is_prefix } => {
                if *is_prefix {
                    self.only_equal(of)?;
                }
                let time = time_of(text).filter(|_| !is_prefix);
                Wanted::Text(Pattern { text: text.clone(), is_prefix: *is_prefix }, time)
            }
            Literal::Any => return Err(self.value_error(of, "a value")),
        })
    }
}

/// A time in RFC 3339, in unix milliseconds.
fn time_of(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
