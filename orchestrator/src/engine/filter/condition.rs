//! A filter that makes sense: its fields exist, its values fit them, and `NOT` stands at single comparisons only.

use crate::engine::ids::RunId;
use crate::engine::row::RunState;

use super::expression::Operator;

/// See the module.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    /// True if what the test says is the other of `is_negated`; never where it says nothing.
    Test {
        test: Test,
        is_negated: bool,
    },
}

/// One comparison. It says nothing about a run that does not have what is compared.
#[derive(Clone, Debug)]
pub(super) enum Test {
    State(Vec<RunState>),
    Run(RunId),
    Word(WordField, Pattern),
    Time(TimeField, Operator, i64),
    Number(NumberField, Operator, i64),
    Attribute(String, Operator, Wanted),
    Has(Field),
}

/// A text that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub text: String,
    pub is_prefix: bool,
}

impl Pattern {
    pub fn fits(&self, text: &str) -> bool {
        if self.is_prefix { text.starts_with(&self.text) } else { text == self.text }
    }
}

/// What an attribute is held against.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// A text; and the time that it tells, if it tells one.
    Text(Pattern, Option<i64>),
    Integer(i64),
    Flag(bool),
    TimeMs(i64),
}

/// What a run can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    State,
    RunId,
    Word(WordField),
    Time(TimeField),
    Number(NumberField),
    Attribute(String),
}

/// A field that holds a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordField {
    Type,
    WorkflowId,
    Failure,
    Step,
    Parent,
}

/// A field that holds a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeField {
    Started,
    Updated,
    Closed,
}

/// A field that holds a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberField {
    Events,
    OpenUndo,
}

impl Field {
    /// The field of this name; an attribute may be named without `attributes.` in front.
    pub fn named(name: &str) -> Option<Field> {
        Some(match name {
            "state" => Field::State,
            "run_id" => Field::RunId,
            "type" => Field::Word(WordField::Type),
            "workflow_id" => Field::Word(WordField::WorkflowId),
            "failure" => Field::Word(WordField::Failure),
            "step" => Field::Word(WordField::Step),
            "parent" => Field::Word(WordField::Parent),
            "started_at" => Field::Time(TimeField::Started),
            "updated_at" => Field::Time(TimeField::Updated),
            "closed_at" => Field::Time(TimeField::Closed),
            "events" => Field::Number(NumberField::Events),
            "open_undo" => Field::Number(NumberField::OpenUndo),
            name => {
                let name = name.strip_prefix("attributes.").unwrap_or(name);
                crate::engine::attribute::check_name(name).ok()?;
                Field::Attribute(name.to_owned())
            }
        })
    }
}
