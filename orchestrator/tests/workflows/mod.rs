//! The shop's workflows on the real engine, in simulated time, on a simulated disk, among participants that fail as
//! they are told.

mod books;
mod challenge;
mod crash;
mod golden;
mod parking;
mod place_order;
mod sagas;
mod services;
pub mod shop;
mod story;
pub mod world;
