//! The whole shop as it is run: real processes, real ports, real kills. What each part promises by itself is in the
//! tests of its own crate.

#![allow(clippy::unwrap_used, reason = "a test's helper may panic as its test may")]

mod support;

mod architecture;
mod backends;
mod browser;
mod challenge;
mod cluster;
mod crash;
mod dead_letters;
mod doctor;
mod grpcurl;
mod mesh;
mod network;
mod nodes;
mod operations;
mod ordering;
mod process;
mod provider_away;
mod redis_away;
mod refusals;
mod same_request;
mod schedules;
mod stock_bench;
mod tools;
mod workflow_commands;
