//! Notifications: mail written from events, deduplicated, into a folder that a person can open.
