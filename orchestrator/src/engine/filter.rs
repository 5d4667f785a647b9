//! The filter language: which runs a list shows, a count counts, a batch acts on. docs/FILTERS.md is its reference.
//!
//! A text goes through `lexer` and `parser` into an [`Expression`], which `check` holds against the fields that runs
//! have and turns into a condition; that is asked of rows (`evaluate`), and tells which rows need not be read at all
//! (`scope`). Nothing here reads or waits.

mod check;
mod condition;
mod evaluate;
mod expression;
mod lexer;
mod parser;
mod scope;

use self::condition::{Condition, Test};
pub use self::expression::{Comparison, Expression, Literal, Operator, Position};
pub use self::parser::parse;
pub use self::scope::Scope;
use super::row::{RunRow, RunState};

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {problem}")]
pub struct Invalid {
    /// Where, counted in characters from 1.
    pub at: usize,
    /// What is wrong there, and what was expected.
    pub problem: String,
}

/// Which runs are meant. The default means all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    condition: Option<Condition>,
}

impl Filter {
    /// Runs in one of these states.
    pub fn of_states(states: &[RunState]) -> Filter {
        let test = Test::State(states.to_vec());
        Filter { condition: Some(Condition::Test { test, is_negated: false }) }
    }

    /// Reads a filter; an empty text means all runs. `now_ms` is what `now` in it means, in unix milliseconds.
    ///
    /// # Errors
    /// The first thing that is wrong with the text.
    pub fn parse(text: &str, now_ms: i64) -> Result<Filter, Invalid> {
        let expression = parse(text)?;
        let condition =
            expression.map(|expression| check::check(text, &expression, now_ms)).transpose()?;
        Ok(Filter { condition })
    }

    /// Whether the run is meant.
    pub fn matches(&self, row: &RunRow) -> bool {
        self.condition.as_ref().is_none_or(|condition| evaluate::is_true(condition, row))
    }

    /// Where the runs that are meant can be: no run outside of it matches.
    pub fn scope(&self) -> Scope {
        self.condition.as_ref().map_or_else(Scope::everything, scope::of)
    }
}
