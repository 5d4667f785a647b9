//! What every service stands on: server and client stacks, identity, config, telemetry, embedded store and event bus.

mod mesh_tables;
pub mod outbox;
pub mod store;
