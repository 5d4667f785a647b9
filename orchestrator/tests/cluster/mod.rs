//! Engines on many nodes, over one simulated store and in paused time.

mod away;
mod deaths;
mod frozen;
mod gate;
mod growth;
mod handover;
mod network;
mod node;
mod real;
mod world;
