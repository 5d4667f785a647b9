//! Schedules: runs that are started by the clock.

mod calendar;
mod changes;
mod crash;
mod due;
mod endless;
mod golden;
mod overlaps;
mod service;
mod window;
mod world;
