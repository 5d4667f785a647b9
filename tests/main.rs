//! The whole shop as it is run: real processes, real ports, real kills. What each part promises by itself is in the
//! tests of its own crate.

#![allow(clippy::unwrap_used, reason = "a test's helper may panic as its test may")]

#[expect(dead_code, reason = "the tests that need all of it are on their way")]
mod support;

mod architecture;
mod browser;
mod cancelling;
mod challenge;
mod grpcurl;
mod process;
mod refusals;
mod same_request;
mod tools;
