//! The contract as the design states it, and the field rules through the public interfaces.

mod contract;
mod http;
mod rules;
mod wire;
