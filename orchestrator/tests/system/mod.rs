//! The engine's own workflows.

mod batch;
mod batch_golden;
mod runs;
mod schedules;
