//! The real parts on this machine, without containers: Redis, RabbitMQ, and Apache Cassandra as the CQL server.
//!
//! Each part runs on ports and in a folder of its own, is started by [`Redis::start`] and its like, is ready when that
//! returns, and ends with its handle, even if the process that holds it is killed. Tests and benchmarks use the
//! library; people use `cargo run -p souk-backends -- up`.
//!
//! The tests of the whole shop kill these parts, freeze them and bring them back: [`Server`] can. What a network does to
//! connections (waits, resets, ends that only one side knows of, a trickle of bytes) does [`Toxiproxy`].

mod all;
mod cassandra;
pub mod install;
mod ports;
mod rabbitmq;
mod redis;
mod server;
mod shared;
mod toxiproxy;

pub use all::{All, configuration};
pub use cassandra::Cassandra;
pub use install::{Part, ensure, there_or_skipped};
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
pub use server::Server;
pub use shared::{
    CQL_VARIABLE, PREVIOUS_VARIABLE, PROVE_VARIABLE, cql_for_tests, redis_for_tests, rounds,
};
pub use toxiproxy::{Direction, Proxy, Toxic, Toxiproxy};
