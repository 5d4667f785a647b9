//! The engine on a toy saga.

mod bank;
mod crash;
mod messages;
mod saga;
mod transfer;
mod world;
