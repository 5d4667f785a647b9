//! What a command says when it fails, and how it ends when nobody reads what it prints any more.

use std::panic;
use std::process;

use souk_mesh::error::{reason_of, violations_of};
use tonic::Status;

/// What shells report of a program that was ended by SIGPIPE: 128 + 13.
const ENDED_BY_PIPE: i32 = 141;

/// An error as people read it: a refusal of the shop by its code and reason, anything else with all its causes.
pub fn of(error: &anyhow::Error) -> String {
    let status = error.chain().find_map(|cause| cause.downcast_ref::<Status>());
    let Some(status) = status else { return format!("{error:#}") };
    let reason = reason_of(status).map(|reason| format!(" ({reason})")).unwrap_or_default();
    let mut text = format!("{:?}{reason}: {}", status.code(), status.message());
    for violation in violations_of(status) {
        if !text.contains(&violation.description) {
            text.push_str(&format!("\n  {}: {}", violation.field, violation.description));
        }
    }
    text
}

/// Ends the process without a word when its output is a pipe that was closed, as `souk workflow list | head` does: Rust
/// ignores SIGPIPE, and `println!` panics.
pub fn end_quietly_when_nobody_reads() {
    let shown = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if text.is_some_and(|text| {
            text.contains("failed printing to std") && text.contains("Broken pipe")
        }) {
            process::exit(ENDED_BY_PIPE);
        }
        shown(panic);
    }));
}
