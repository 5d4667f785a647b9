//! Events leave with the state change that they tell of: first into a table, then to the bus.

use std::cell::Cell;

thread_local! {
    /// Set on the writer thread by [`mark`], read after the commit: wakes the relay only
    /// when there is something for it.
    static MARK: Cell<bool> = const { Cell::new(false) };
}

/// Reads and clears the mark of this thread.
pub(crate) fn take_mark() -> bool {
    MARK.replace(false)
}
