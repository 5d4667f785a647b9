//! What becomes of firings while a run of the schedule has not ended: a pure function.

use serde::{Deserialize, Serialize};

use super::definition::Overlap;

/// Firings that wait for a run to end, at most; others are dropped, and counted.
pub const MAX_WAITING: usize = 1_000;

/// Where a firing comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Its time has come.
    Schedule,
    /// Somebody had it run after the fact.
    Backfill {
        /// When, in unix milliseconds.
        requested_at_ms: i64,
    },
    /// Somebody had it run now.
    Trigger {
        /// The number of the trigger, from 1.
        number: u64,
    },
}

/// A firing that has no run yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The time that names it, in unix milliseconds.
    pub nominal_ms: i64,
    /// Where it comes from.
    pub source: Source,
    /// What happens if a run has not ended.
    pub overlap: Overlap,
}

impl Pending {
    /// Whether a person asked for it: neither a pause nor the limit of actions concerns it.
    pub fn is_manual(&self) -> bool {
        self.source != Source::Schedule
    }
}

/// How a run is made to end. The later one is the stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It is asked to end, and undoes what it did.
    Cancel,
    /// It ends at once.
    Terminate,
}

/// What to do with firings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// To be started now, in order.
    pub start: Vec<Pending>,
    /// To be decided on again when a run has ended.
    pub wait: Vec<Pending>,
    /// Never to be started, because of a run that has not ended.
    pub skipped: Vec<Pending>,
    /// What is done to the runs that have not ended.
    pub stop: Option<Stop>,
}

/// Decides on firings, the oldest first. Each of them ends up in exactly one place.
pub fn decide(pending: impl IntoIterator<Item = Pending>, is_running: bool) -> Decision {
    let mut decision = Decision::default();
    for firing in pending {
        let is_busy = is_running || !decision.start.is_empty() || !decision.wait.is_empty();
        if firing.overlap == Overlap::AllowAll || !is_busy {
            decision.start.push(firing);
            continue;
        }
        let stop = match firing.overlap {
            Overlap::Skip => None,
            Overlap::BufferOne if decision.wait.is_empty() => None,
            Overlap::BufferAll if decision.wait.len() < MAX_WAITING => None,
            Overlap::BufferOne | Overlap::BufferAll | Overlap::AllowAll => {
                decision.skipped.push(firing);
                continue;
            }
            Overlap::CancelOther => Some(Stop::Cancel),
            Overlap::TerminateOther => Some(Stop::Terminate),
        };
        match (firing.overlap, stop) {
            (Overlap::Skip, _) => decision.skipped.push(firing),
            (_, None) => decision.wait.push(firing),
            (_, Some(stop)) => decision.replace(firing, stop, is_running),
        }
    }
    decision
}

impl Decision {
    /// The newest firing takes the place of all that have not begun, and of the runs that have.
    fn replace(&mut self, firing: Pending, stop: Stop, is_running: bool) {
        self.skipped.append(&mut self.wait);
        // What runs beside others by its own policy is left to do so.
        let (beside, replaced): (Vec<_>, Vec<_>) =
            self.start.drain(..).partition(|other| other.overlap == Overlap::AllowAll);
        self.skipped.extend(replaced);
        self.start = beside;
        if is_running || !self.start.is_empty() {
            self.stop = self.stop.max(Some(stop));
            self.wait.push(firing);
        } else {
            self.start.push(firing);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Overlap::{AllowAll, BufferAll, BufferOne, CancelOther, Skip, TerminateOther};
    use super::*;

    fn firings(overlaps: &[Overlap]) -> Vec<Pending> {
        let numbered = overlaps.iter().zip(0..);
        numbered
            .map(|(overlap, nominal_ms)| Pending {
                nominal_ms,
                source: Source::Schedule,
                overlap: *overlap,
            })
            .collect()
    }

    fn times(firings: &[Pending]) -> Vec<i64> {
        firings.iter().map(|firing| firing.nominal_ms).collect()
    }

    #[test]
    fn each_policy_does_what_it_says() {
        for (overlap, is_running, start, wait, skipped, stop) in [
            (Skip, false, vec![0], vec![], vec![1, 2], None),
            (Skip, true, vec![], vec![], vec![0, 1, 2], None),
            (BufferOne, false, vec![0], vec![1], vec![2], None),
            (BufferOne, true, vec![], vec![0], vec![1, 2], None),
            (BufferAll, false, vec![0], vec![1, 2], vec![], None),
            (BufferAll, true, vec![], vec![0, 1, 2], vec![], None),
            (CancelOther, false, vec![2], vec![], vec![0, 1], None),
            (CancelOther, true, vec![], vec![2], vec![0, 1], Some(Stop::Cancel)),
            (TerminateOther, true, vec![], vec![2], vec![0, 1], Some(Stop::Terminate)),
            (AllowAll, true, vec![0, 1, 2], vec![], vec![], None),
        ] {
            let decision = decide(firings(&[overlap; 3]), is_running);
            assert_eq!(times(&decision.start), start, "{overlap:?} {is_running}");
            assert_eq!(times(&decision.wait), wait, "{overlap:?} {is_running}");
            assert_eq!(times(&decision.skipped), skipped, "{overlap:?} {is_running}");
            assert_eq!(decision.stop, stop, "{overlap:?} {is_running}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let decision = decide(firings(&[BufferAll; MAX_WAITING + 5]), true);
        assert_eq!((decision.wait.len(), decision.skipped.len()), (MAX_WAITING, 5));
    }

    fn overlaps() -> impl Strategy<Value = Vec<Overlap>> {
        let one = prop::sample::select(vec![
            Skip,
            BufferOne,
            BufferAll,
            CancelOther,
            TerminateOther,
            AllowAll,
        ]);
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn every_firing_ends_up_in_one_place_and_in_order(overlaps in overlaps(), is_running: bool) {
            let pending = firings(&overlaps);
            let decision = decide(pending.clone(), is_running);
            let mut all = [times(&decision.start), times(&decision.wait), times(&decision.skipped)].concat();
            all.sort_unstable();
            prop_assert_eq!(all, times(&pending));
            prop_assert!(decision.start.is_sorted_by_key(|firing| firing.nominal_ms));
            prop_assert!(decision.wait.is_sorted_by_key(|firing| firing.nominal_ms));
            // Nothing but what asks for it runs beside another.
            let alone = decision.start.iter().filter(|firing| firing.overlap != AllowAll).count();
            prop_assert!(alone <= usize::from(!is_running));
            // Nothing is stopped without somebody who takes its place.
            prop_assert!(decision.stop.is_none() || !decision.wait.is_empty());
            prop_assert!(decision.stop.is_none() || overlaps.iter().any(|overlap| matches!(overlap, CancelOther | TerminateOther)));
            // Where nothing runs, nothing waits in vain.
            prop_assert!(is_running || decision.wait.is_empty() || !decision.start.is_empty());
        }

        #[test]
        fn deciding_again_on_what_waits_changes_nothing_while_the_run_goes_on(overlaps in overlaps()) {
            let first = decide(firings(&overlaps), true);
            let again = decide(first.wait.clone(), true);
            prop_assert_eq!(&again.wait, &first.wait);
            prop_assert!(again.start.is_empty() && again.skipped.is_empty());
        }
    }
}
