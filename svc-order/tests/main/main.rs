//! Orders as callers see them: OrderService through the mesh, its neighbours played by fakes that
//! speak the same contract.

#![allow(clippy::unwrap_used, reason = "a test's helper may panic as its test may")]

mod changes;
mod fakes;
mod on_cql;
mod placing;
mod reading;
mod shop;
mod starting;
mod telling;
mod watching;
