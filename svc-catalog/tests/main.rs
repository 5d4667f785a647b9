//! What the catalog promises, through its public interfaces.

// Clippy takes only functions marked #[test] for tests, not the helpers that they share.
#![allow(clippy::unwrap_used)]

mod contract;
mod cql;
mod do_undo;
mod events;
mod grpc;
mod memory;
mod parts;
mod seeding;
mod sequences;
mod support;
