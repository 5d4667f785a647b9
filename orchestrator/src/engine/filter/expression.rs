//! What a filter says, before it is known whether it makes sense.

use std::fmt::{self, Display};

/// Where something stands in the text, in bytes. For messages only: what says the same is equal wherever it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position(pub usize);

impl PartialEq for Position {
    fn eq(&self, _: &Position) -> bool {
        true
    }
}

impl Eq for Position {}

/// A filter, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// All of them, two at least.
    And(Vec<Expression>),
    /// Any of them, two at least.
    Or(Vec<Expression>),
    /// Not this.
    Not(Box<Expression>),
    /// A field, held against a value.
    Comparison(Comparison),
}

/// A field, held against a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The field's name.
    pub field: String,
    /// Where it stands.
    pub field_at: Position,
    /// How they are compared.
    pub operator: Operator,
    /// Where that stands.
    pub operator_at: Position,
    /// The value; [`Literal::Any`] with [`Operator::Has`] and only there.
    pub value: Literal,
    /// Where it stands.
    pub value_at: Position,
}

/// How a field is held against a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `:`
    Has,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A text; with a `*` behind it, every text that begins so.
    Text {
        /// The text, without the `*`.
        text: String,
        /// Whether there was one.
        is_prefix: bool,
    },
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// `now`, so many milliseconds later.
    Now {
        /// Negative for earlier.
        offset_ms: i64,
    },
    /// `*`: anything at all.
    Any,
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::And(parts) => join(formatter, parts, " AND "),
            Expression::Or(parts) => join(formatter, parts, " OR "),
            Expression::Not(inner) => {
                formatter.write_str("NOT ")?;
                part(formatter, inner)
            }
            Expression::Comparison(comparison) => comparison.fmt(formatter),
        }
    }
}

fn join(formatter: &mut fmt::Formatter<'_>, parts: &[Expression], between: &str) -> fmt::Result {
    for (index, expression) in parts.iter().enumerate() {
        if index > 0 {
            formatter.write_str(between)?;
        }
        part(formatter, expression)?;
    }
    Ok(())
}

fn part(formatter: &mut fmt::Formatter<'_>, expression: &Expression) -> fmt::Result {
    match expression {
        Expression::And(_) | Expression::Or(_) => write!(formatter, "({expression})"),
        Expression::Not(_) | Expression::Comparison(_) => expression.fmt(formatter),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operator {
            Operator::Has => write!(formatter, "{}:{}", self.field, self.value),
            operator => write!(formatter, "{} {operator} {}", self.field, self.value),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Operator::Equal => "=",
            Operator::Unequal => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Has => ":",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Text { text, is_prefix } => {
                formatter.write_str("\"")?;
                for letter in text.chars() {
                    if matches!(letter, '"' | '\\' | '*') {
                        formatter.write_str("\\")?;
                    }
                    write!(formatter, "{letter}")?;
                }
                formatter.write_str(if *is_prefix { "*\"" } else { "\"" })
            }
            Literal::Integer(integer) => write!(formatter, "{integer}"),
            Literal::Flag(flag) => write!(formatter, "{flag}"),
            Literal::Now { offset_ms: 0 } => formatter.write_str("now"),
            Literal::Now { offset_ms } if *offset_ms < 0 => {
                write!(formatter, "now - {}ms", offset_ms.unsigned_abs())
            }
            Literal::Now { offset_ms } => write!(formatter, "now + {offset_ms}ms"),
            Literal::Any => formatter.write_str("*"),
        }
    }
}
