//! Orders: the versioned record that arbitrates cancel, ship and deliver.
