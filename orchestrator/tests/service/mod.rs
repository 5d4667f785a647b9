//! The orchestrator from outside: by gRPC and by the shop's events.

mod access;
mod attributes;
mod batches;
mod children;
mod events;
mod history;
mod lists;
mod nodes;
mod replay;
mod starts;
