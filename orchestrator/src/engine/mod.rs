//! Durable execution: workflows as plain async functions whose progress survives any crash.
//!
//! Architecture invariant: nothing in this folder knows of commerce, gRPC or a particular store.
//!
//! # Layout, in the order in which an event travels
//!
//! | part | what it is |
//! | --- | --- |
//! | [`engine`] | the handle: start, signal, update, cancel, look |
//! | [`cx`], [`step`], [`rounds`], [`failure`], [`registry`], [`resources`] | what workflows are written with |
//! | `run` | one run in memory: live and in replay |
//! | `cell`, `tail`, `directory`, `load`, `idle` | which runs are in memory, and how they come and go |
//! | [`attribute`], [`filter`] | by what runs are found, and how |
//! | [`lineage`] | the runs under one workflow id |
//! | [`event`], `slot` | what is recorded, and its bytes |
//! | `core`, `committer` | group commit: nothing leaves before it is durable |
//! | `effects`, `call`, `drive`, `timers`, `child` | what a durable event lets out |
//! | `drainer`, [`projection`], [`row`] | from the log into the tables |
//! | [`partition`] | the shares of the work, by workflow id |
//! | `retention` | and out of them again |
//! | `recovery` | start = recover |
//! | [`membership`], [`ownership`], [`cluster`] | many nodes: who they are, which runs are whose, and how that changes |
//! | [`peers`] | what nodes ask of each other |
//! | [`reset`] | a run begins again from an event of its history, and no undo is forgotten |
//! | [`recorded`], [`stored`] | histories as text and out of a store, and the check of a build against them |
//! | [`log`], [`tables`], [`seams`], [`attempt`] | what the engine stands on |
//! | [`ids`], [`limits`], [`error`] | every id, every bound, every refusal |

pub mod attempt;
pub mod attribute;
mod call;
mod cell;
mod child;
pub mod cluster;
mod committer;
mod core;
pub mod cx;
mod directory;
mod drainer;
mod drive;
mod effects;
#[allow(clippy::module_inception)]
pub mod engine;
pub mod error;
pub mod event;
pub mod failure;
pub mod filter;
mod idle;
pub mod ids;
pub mod limits;
pub mod lineage;
mod load;
pub mod log;
pub mod membership;
pub mod ownership;
pub mod partition;
pub mod peers;
pub mod projection;
pub mod recorded;
mod recovery;
pub mod registry;
pub mod reset;
pub mod resources;
mod retention;
pub mod rounds;
pub mod row;
mod run;
pub mod seams;
mod slot;
pub mod step;
pub mod stored;
pub mod tables;
mod tail;
mod timers;

pub(crate) use self::drainer::unpack_from;

pub use self::cell::Outcome;
pub use self::core::Options;
pub use self::cx::{ChildHandle, ChildWorkflow, Cx, Saga};
pub use self::engine::{Answer, Anywhere, Engine, RunRef, StartRequest, Started, WeakEngine};
pub use self::error::Error;
pub use self::event::ParentClose;
pub use self::failure::Failure;
pub use self::filter::Filter;
pub use self::lineage::IdReuse;
pub use self::registry::Registry;
pub use self::resources::Resources;
pub use self::rounds::Round;
pub use self::run::PendingCall;
