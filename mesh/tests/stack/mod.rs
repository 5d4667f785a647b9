//! The server and client stacks, each behaviour in one process and over sockets.

mod deadline;
mod drain;
mod identity;
mod limits;
mod replicas;
mod support;
mod telemetry;
