//! Field rules at run time: what a broken rule looks like, and the trait that the build implements
//! for every request from the options in the .proto files.

pub mod rules;

use std::collections::HashMap;
use std::fmt;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::ERROR_DOMAIN;

/// Reason of a request that breaks field rules.
pub const INVALID_FIELDS: &str = "INVALID_FIELDS";

/// Most violations that are told at once: they travel in the trailers, which are bounded too.
pub const MAX_VIOLATIONS: usize = 20;

/// A message that knows its field rules.
pub trait Validate {
    /// Whether it is the request of an RPC; responses come from our own side and are not judged.
    const REQUEST: bool = false;

    /// Adds every broken rule of this message, which stands at `at`, to `violations`.
    fn check(&self, at: &Path<'_>, violations: &mut Violations) {
        let _ = (at, violations);
    }

    /// Judges a whole message. Costs comparisons only; allocates when a rule is broken.
    ///
    /// # Errors
    /// The broken rules, at most [`MAX_VIOLATIONS`].
    fn validate(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        self.check(&Path::ROOT, &mut violations);
        if violations.0.is_empty() { Ok(()) } else { Err(violations) }
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field: `lines[2].quantity`.
    pub field: String,
    /// What is wrong, for people.
    pub description: String,
}

/// The broken rules of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The broken rules in order of field.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// Records a broken rule, unless there are enough already.
    pub(crate) fn add(&mut self, at: &Path<'_>, description: impl Into<String>) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push(Violation { field: at.to_string(), description: description.into() });
        }
    }
}

impl From<Violations> for Status {
    /// INVALID_ARGUMENT with ErrorInfo reason INVALID_FIELDS and a BadRequest violation per field.
    fn from(violations: Violations) -> Self {
        let mut details =
            ErrorDetails::with_error_info(INVALID_FIELDS, ERROR_DOMAIN, HashMap::new());
        let mut message = String::from("invalid fields");
        for (index, violation) in violations.0.into_iter().enumerate() {
            message.push_str(if index == 0 { ": " } else { ", " });
            message.push_str(&violation.field);
            details.add_bad_request_violation(violation.field, violation.description);
        }
        Status::with_error_details(Code::InvalidArgument, message, details)
    }
}

/// Where a field stands in a message. Lives on the stack and is written out for violations only.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'static str,
    index: Option<usize>,
}

impl Path<'_> {
    /// The message itself.
    pub const ROOT: Path<'static> = Path { parent: None, name: "", index: None };

    /// A field of what stands here.
    pub fn field(&self, name: &'static str) -> Path<'_> {
        Path { parent: Some(self), name, index: None }
    }

    /// An element of a repeated field of what stands here.
    pub fn element(&self, name: &'static str, index: usize) -> Path<'_> {
        Path { parent: Some(self), name, index: Some(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(formatter)?;
            if parent.parent.is_some() {
                formatter.write_str(".")?;
            }
        }
        formatter.write_str(self.name)?;
        match self.index {
            Some(index) => write!(formatter, "[{index}]"),
            None => Ok(()),
        }
    }
}

/// The impls, one per message that a request can hold; see build/validation.rs.
#[allow(clippy::all, unused_variables)]
mod generated {
    use super::rules::{self, Format};
    use super::{Path, Validate, Violations};

    include!(concat!(env!("OUT_DIR"), "/validation.rs"));
}
