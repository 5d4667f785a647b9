//! What a caught panic said.

use std::any::Any;

/// The message of a caught panic, when it is text, as it is for `panic!`, `assert!` and `expect`.
#[must_use]
pub fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}
