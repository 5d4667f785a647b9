//! What the stores build on, on a server that speaks CQL.

mod gathered;
mod lookup;
mod migrations;
mod start;
mod statements;
