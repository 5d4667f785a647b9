//! Which partitions of time must be looked at: those that may hold something, and none of yesterday's.
//!
//! For tables of things to be looked after (markers, lost starts) whose partitions are slots of time: rows are deleted as
//! they are done with, and a partition that was found empty after nobody writes to it any more is never read again, so
//! that the tombstones of what was deleted are not scanned for ever.

use std::collections::BTreeSet;

/// Old slots that one look takes in, beside the newest.
const OLD_SLOTS: i64 = 256;
/// The newest slots are looked at however far behind the old ones are: what happens now does not wait for what happened
/// before a long stop.
const NEW_SLOTS: i64 = 12;
/// What is saved stays behind what was found empty, in slots: for clocks that are worse than they should be.
pub const SAVED_BEHIND: i64 = 60;
/// Slots between two savings.
const SAVED_EVERY: i64 = 6;

/// How far one shard of such a table has been looked through.
#[derive(Debug)]
pub struct Slots {
    /// All before are done.
    low: i64,
    /// Those from `low` on that are done.
    done: BTreeSet<i64>,
    saved: i64,
}

impl Slots {
    /// Begins with `low`, which an earlier process saved.
    #[must_use]
    pub fn new(low: i64) -> Slots {
        Slots { low, done: BTreeSet::new(), saved: low }
    }

    /// Those to look at, up to the newest; oldest first.
    #[must_use]
    pub fn to_look_at(&self, newest: i64) -> Vec<i64> {
        let old = self.low..(self.low + OLD_SLOTS).min(newest + 1);
        let new = (newest - NEW_SLOTS + 1).max(old.end)..newest + 1;
        old.chain(new).filter(|slot| !self.done.contains(slot)).collect()
    }

    /// Whether a look leaves older slots for the next one.
    #[must_use]
    pub fn is_behind(&self, newest: i64) -> bool {
        newest - self.low > OLD_SLOTS
    }

    /// The slot is empty, and stays so.
    pub fn set_done(&mut self, slot: i64) {
        self.done.insert(slot);
        while self.done.remove(&self.low) {
            self.low += 1;
        }
    }

    /// Where the next process is to begin, when it is time to save that.
    #[must_use]
    pub fn to_save(&mut self) -> Option<i64> {
        let begin = self.low - SAVED_BEHIND;
        (begin >= self.saved + SAVED_EVERY).then(|| {
            self.saved = begin;
            begin
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_long_stop_old_and_new_slots_are_looked_at() {
        let far = 100 + 10_000;
        let slots = Slots::new(100);
        let looked_at = slots.to_look_at(far);
        assert_eq!(looked_at.len() as i64, OLD_SLOTS + NEW_SLOTS);
        assert_eq!((looked_at[0], looked_at.last()), (100, Some(&far)));
        assert!(slots.is_behind(far) && !slots.is_behind(102));
        assert_eq!(slots.to_look_at(102), [100, 101, 102]);
    }

    #[test]
    fn slots_that_are_done_are_not_looked_at_again() {
        let mut slots = Slots::new(100);
        [103, 101, 100].into_iter().for_each(|slot| slots.set_done(slot));
        assert_eq!(slots.to_look_at(104), [102, 104]);
    }

    #[test]
    fn what_is_saved_stays_behind() {
        let mut slots = Slots::new(0);
        (0..SAVED_BEHIND + 5).for_each(|slot| slots.set_done(slot));
        assert_eq!(slots.to_save(), None);
        slots.set_done(SAVED_BEHIND + 5);
        assert_eq!((slots.to_save(), slots.to_save()), (Some(6), None));
    }
}
