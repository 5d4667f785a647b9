//! The library for those who test workflows: `souk_orchestrator::testing`.

mod environment;
mod faults;
mod return_window;
mod trio;
