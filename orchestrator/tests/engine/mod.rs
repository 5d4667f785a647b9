//! The engine on a toy saga.

mod architecture;
mod attributes;
mod bank;
mod chaos;
mod crash;
mod embedded;
mod errors;
mod filters;
mod filters_page;
mod golden;
mod heartbeat;
mod lengths;
mod messages;
mod pause;
mod queries;
mod replay;
mod retention;
mod rounds;
mod saga;
mod shapes;
mod survey;
mod transfer;
mod turns;
mod unmoved;
pub mod world;
