//! The library for those who test workflows: `souk_orchestrator::testing`.

mod children;
mod environment;
mod faults;
mod return_window;
mod trio;
