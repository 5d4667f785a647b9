//! The behaviour of svc-search, seen through its service, the bus and a catalog.

#![allow(clippy::unwrap_used, reason = "a test's helper may panic as its test may")]

mod acknowledging;
mod finding;
mod following;
mod paging;
mod shop;
mod starting;
mod suggesting;
