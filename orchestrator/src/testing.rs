//! Tests for workflows: the real engine on a simulated disk, in time that skips whenever nothing else can happen.
//!
//! The feature `testing` switches it on; put it into the dev-dependencies of the crate that has the workflows:
//!
//! ```toml
//! [dev-dependencies]
//! souk-orchestrator = { workspace = true, features = ["testing"] }
//! ```
//!
//! ```
//! use std::time::Duration;
//! use souk_orchestrator::engine::{Cx, Failure, Registry};
//! use souk_orchestrator::testing::TestEnvironment;
//!
//! async fn remind(cx: &Cx, days: u64) -> Result<String, Failure> {
//!     cx.sleep(Duration::from_secs(days * 24 * 3600)).await?;
//!     Ok(format!("{days} days are over"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() { // A plain #[tokio::test] does.
//! let registry = Registry::new().workflow("remind", remind);
//! let environment = TestEnvironment::builder().registry(registry).open().await;
//! environment.start("r1", "remind", &30).await.unwrap();
//! // A month passes in a millisecond.
//! assert_eq!(environment.result::<String>("r1").await, "30 days are over");
//! # }
//! ```
//!
//! - [`TestEnvironment`]: start, tell, ask, look, let time pass, crash and start again, roll out other code.
//! - [`Faults`]: what goes wrong with the attempts of a step or undo, by its name, without the participants' help.
//! - [`saga::Trio`]: every step fails in turn, every step is repeated, every undo is repeated; and the process dies at every
//!   append.
//!
//! What is used wrongly here, and what does not come although a year has passed, panics: these are tests.

#![allow(clippy::disallowed_methods)] // tests play the world around the engine, on tokio's paused time

mod ask;
mod environment;
mod faults;
mod look;
mod outline;
mod process;
pub mod saga;
mod time;

pub use environment::{Builder, START_MS, TestEnvironment, quick};
pub use faults::{Fault, Faults, Trouble};
pub use look::{ABANDONED_AFTER, PATIENCE};
pub use outline::{line, timeline};
pub use time::{HELD_AT_MOST, HeldTime};

pub use crate::engine::log::sim::{Disk, Fault as DiskFault, Operation, Unsynced};
