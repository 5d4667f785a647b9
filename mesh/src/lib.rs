//! What every service stands on: server and client stacks, identity, config, telemetry, embedded store and event bus.

pub mod idempotency;
pub mod inbox;
mod mesh_tables;
pub mod outbox;
pub mod store;
pub mod testing;
