//! What every service stands on: server and client stacks, identity, config, telemetry, embedded store and event bus.

pub mod bus;
pub mod client;
pub mod clock;
pub mod config;
pub mod context;
pub mod cql;
pub mod error;
pub mod idempotency;
pub mod identity;
pub mod inbox;
mod mesh_tables;
pub mod money;
pub mod outbox;
pub mod page;
pub mod panic;
pub mod platform;
pub mod redis;
pub mod server;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod testing;

pub use platform::Platform;
