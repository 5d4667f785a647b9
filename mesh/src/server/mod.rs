//! The one server stack: what every call crosses before and after its handler, whether it came over a socket or from
//! a service in the same process.
//!
//! From the outside in: trace and log context ([`trace`]), metrics per method ([`metrics`]), admission by the number
//! of calls ([`overload`]), who calls ([`authenticate`]) and whether they may ([`access`]), the deadline
//! ([`deadline`]), panics ([`crate::panic`]), and details for errors that have none ([`details`]).

mod access;
mod authenticate;
mod body;
pub(crate) mod deadline;
mod details;
mod linger;
mod listen;
mod method;
mod metrics;
mod overload;
mod serve;
mod stack;
mod trace;

pub use listen::{Protocol, listen};
pub use overload::Limits;
pub use serve::{Error, serve};
pub use stack::{ServerStack, Stacked, StackedFuture};
