//! Search attributes: a few named values of a run, by which people find it among others.
//!
//! They are given at the start and set by the workflow, stay through all turns of a run, and lie in its row: a list is
//! filtered by them without reading histories (see [`filter`](super::filter)). Not for secrets, nor for what the workflow
//! needs: that is its own state.

use std::collections::BTreeMap;
use std::fmt;

use prost::Message;

use super::limits::{MAX_ATTRIBUTE_NAME_BYTES, MAX_ATTRIBUTE_TEXT_BYTES, MAX_ATTRIBUTES};

/// What an attribute says.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Value {
    /// A word: an id, a code, a name.
    #[prost(string, tag = "2")]
    Text(String),
    /// A number. Of money: in minor units.
    #[prost(int64, tag = "3")]
    Integer(i64),
    /// Yes or no.
    #[prost(bool, tag = "4")]
    Flag(bool),
    /// A time, in unix milliseconds.
    #[prost(int64, tag = "5")]
    TimeMs(i64),
}

/// An attribute as it is recorded.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Attribute {
    /// See [`check_name`].
    #[prost(string, tag = "1")]
    pub name: String,
    /// Absent where the attribute is taken away.
    #[prost(oneof = "Value", tags = "2, 3, 4, 5")]
    pub value: Option<Value>,
}

/// The attributes of one run, by name.
pub type Attributes = BTreeMap<String, Value>;

/// Why an attribute cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Its name is not one.
    #[error(
        "{0:?} is not the name of an attribute: small letters, digits and _, a letter first, at most {MAX_ATTRIBUTE_NAME_BYTES} bytes"
    )]
    Name(String),
    /// Its text is too long.
    #[error("the attribute {name} has {actual} bytes, at most {MAX_ATTRIBUTE_TEXT_BYTES}")]
    Text {
        /// Whose.
        name: String,
        /// How many bytes there are.
        actual: usize,
    },
    /// There are too many.
    #[error("{0} attributes, at most {MAX_ATTRIBUTES}")]
    Number(usize),
}

/// Holds a name against what names are: small letters, digits and `_`, a letter first.
///
/// # Errors
/// [`Invalid::Name`].
pub fn check_name(name: &str) -> Result<(), Invalid> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && name.len() <= MAX_ATTRIBUTE_NAME_BYTES && name.bytes().all(is_inner) {
        return Ok(());
    }
    Err(Invalid::Name(name.chars().take(MAX_ATTRIBUTE_NAME_BYTES).collect()))
}

/// Holds attributes against their bounds.
///
/// # Errors
/// The first bound that is broken.
pub fn check(attributes: &Attributes) -> Result<(), Invalid> {
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(Invalid::Number(attributes.len()));
    }
    for (name, value) in attributes {
        check_name(name)?;
        if let Value::Text(text) = value
            && text.len() > MAX_ATTRIBUTE_TEXT_BYTES
        {
            return Err(Invalid::Text { name: name.clone(), actual: text.len() });
        }
    }
    Ok(())
}

/// Takes changes in: values are set, names without one are taken away.
pub(crate) fn change(attributes: &mut Attributes, changes: &[Attribute]) {
    for Attribute { name, value } in changes {
        match value {
            Some(value) => drop(attributes.insert(name.clone(), value.clone())),
            None => drop(attributes.remove(name)),
        }
    }
}

/// Attributes as they are recorded, in the order of their names.
pub(crate) fn recorded(attributes: &Attributes) -> Vec<Attribute> {
    let one = |(name, value): (&String, &Value)| Attribute {
        name: name.clone(),
        value: Some(value.clone()),
    };
    attributes.iter().map(one).collect()
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => formatter.write_str(text),
            Value::Integer(integer) => write!(formatter, "{integer}"),
            Value::Flag(flag) => write!(formatter, "{flag}"),
            Value::TimeMs(ms) => write!(formatter, "{ms}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Value {
        Value::Integer(integer)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}
