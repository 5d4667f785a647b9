//! Benchmarks of Souk, and the invariants that are checked after each.
