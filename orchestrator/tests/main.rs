//! Behaviour of the engine, the workflows and the service through their public interfaces.

// A test says what it expects by unwrapping it.
#![allow(clippy::disallowed_methods)] // tests play the world around the engine, on tokio's paused time
#![allow(clippy::unwrap_used)]

mod cluster;
mod engine;
mod forms;
mod log_contract;
mod log_damage;
mod membership_contract;
mod routing;
mod service;
mod system;
mod tables_contract;
mod tables_cql;
mod tables_damage;
mod tables_model;
mod testing;
mod workflows;
