//! Benchmarks of Souk, and the invariants that are checked after each.
//!
//! A figure counts only if money and stock add up behind it, so every benchmark ends with [`invariants`], which the
//! crash tests of the whole shop call too.

pub mod engine;
pub mod invariants;
pub mod mesh;
pub mod orders;
pub mod stock;

mod backends;
mod child;
mod cpu;
mod metrics;
mod own_shop;
mod provider;
mod schedule;
mod statistics;
