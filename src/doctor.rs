//! `souk doctor`.
