//! The engine on a toy saga.

mod bank;
mod saga;
mod transfer;
mod world;
