//! Behaviour of the mesh through its public interfaces.

mod store;
mod tables;
