//! The durable-execution engine and the workflows that it drives.

pub mod engine;
