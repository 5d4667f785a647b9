//! The provider's behaviour as a merchant meets it: over HTTP, in its own words.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod faults;
mod idempotency;
mod payments;
mod running;
mod support;
