//! svc-payment's behaviour through its gRPC service, against the real sandbox provider over HTTP.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access;
mod contract;
mod cql;
mod events;
mod lossy;
mod paying;
mod refunds;
mod requests;
mod shop;
mod undo;
