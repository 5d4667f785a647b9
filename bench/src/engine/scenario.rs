//! The scenarios, one file each. Each gives a [`Report`](super::report::Report).

pub mod growth;
pub mod long;
pub mod orders;
pub mod sleeping;
