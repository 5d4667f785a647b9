//! Durable execution: workflows as plain async functions whose progress survives any crash.
//!
//! Architecture invariant: nothing in this folder knows of commerce, gRPC or a particular store.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`log`] | the one log of a node: slots, appended once and never changed |
//! | [`tables`] | the keyed tables that the log is drained into |
//! | [`row`] | the typed rows of those tables |
//! | [`seams`] | time, randomness and spawning, as the engine is given them |

pub mod ids;
pub mod log;
pub mod row;
pub mod seams;
pub mod tables;
