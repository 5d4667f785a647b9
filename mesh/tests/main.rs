//! Behaviour of the mesh through its public interfaces.

// The lint lets tests unwrap, and takes their helpers for something else.
#![allow(clippy::unwrap_used)]

mod bus;
mod config;
mod cql;
mod cql_outbox;
mod redis;
mod stack;
mod store;
mod tables;
