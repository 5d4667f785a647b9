//! The workflows of the shop, one file each, and what they share: the participants that their steps call.
//!
//! Workflows perform no I/O. What touches the world is a step, and lies beside its workflow.

mod participants;
pub mod place_order;
mod rpc;

pub use participants::Participants;

use crate::engine::Registry;

/// All workflows that this build can run.
pub fn registry() -> Registry {
    place_order::register(Registry::new())
}
