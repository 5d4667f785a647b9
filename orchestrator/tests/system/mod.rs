//! The engine's own workflows.

mod runs;
