//! Schedules: runs that are started by the clock.
//!
//! Each schedule is one run of [`TYPE`], which goes on for ever in turns. What it does is decided by pure functions
//! (`calendar`, `due`, `overlap`) from what is on record; the run (`run`) only waits, starts and takes note.

mod calendar;
pub mod command;
mod cron;
pub mod definition;
mod due;
mod overlap;
mod run;
pub mod state;
mod steps;

pub use calendar::{Calendar, Problem};
pub use due::{Firing, Lens, Look};
pub use overlap::{Decision, Pending, Source, Stop, decide};
pub use run::{Deleted, schedule};
pub use steps::Ended;

/// The workflow type of schedules.
pub const TYPE: &str = "souk.schedule";
/// What the workflow ids of schedules begin with; the schedule's id follows.
const ID_PREFIX: &str = "souk.schedule/";

/// The workflow id of a schedule's run.
pub fn workflow_id(schedule_id: &str) -> String {
    format!("{ID_PREFIX}{schedule_id}")
}

/// The schedule whose run has this workflow id.
pub fn schedule_id(workflow_id: &str) -> Option<&str> {
    workflow_id.strip_prefix(ID_PREFIX)
}
