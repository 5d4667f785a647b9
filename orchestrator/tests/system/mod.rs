//! The engine's own workflows.

mod batch;
mod runs;
mod schedules;
