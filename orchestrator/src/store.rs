//! Where the engine's log and tables are kept beside a folder: the engine itself knows of no particular server.

pub mod cql;
