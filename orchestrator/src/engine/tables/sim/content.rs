//! What the simulated tables hold: plain ordered maps, as simple as the rules can be written down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::engine::filter::Filter;
use crate::engine::ids::{LogId, RunId};
use crate::engine::limits::MAX_SCANNED_ROWS;
use crate::engine::partition::PartitionSet;
use crate::engine::row::{Cursor, HistoryChunk, RunRow, TimerRow};
use crate::engine::tables::{DrainStep, Listed};

/// A timer in the order in which timers are read.
type TimerKey = (i64, RunId, u64);

/// One change of the tables.
#[derive(Clone)]
pub(crate) enum TableWrite {
    Step(DrainStep),
    Expire(Vec<RunId>),
}

/// All tables.
#[derive(Clone, Default)]
pub(crate) struct TableContent {
    cursors: BTreeMap<LogId, Cursor>,
    runs: BTreeMap<RunId, RunRow>,
    workflow_ids: HashMap<String, RunId>,
    chunks: BTreeMap<(RunId, u64), HistoryChunk>,
    timers: BTreeSet<TimerKey>,
}

impl TableContent {
    /// Makes one change.
    pub(crate) fn apply(&mut self, write: &TableWrite) {
        match write {
            TableWrite::Step(step) => self.apply_step(step),
            TableWrite::Expire(runs) => runs.iter().for_each(|run_id| self.delete(*run_id)),
        }
    }

    /// The closed runs that may be deleted, and where to go on.
    pub(crate) fn expiring(
        &self,
        closed_before_ms: i64,
        after: Option<RunId>,
        limit: usize,
    ) -> (Vec<RunId>, Option<RunId>) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let closed: Vec<&RunRow> = self
            .runs
            .range((start, Bound::Unbounded))
            .take_while(|(run_id, _)| run_id.time_ms() < closed_before_ms)
            .map(|(_, row)| row)
            .filter(|row| row.state().is_closed())
            .take(limit)
            .collect();
        let next = closed.last().filter(|_| closed.len() == limit).map(|row| row.id());
        let ended = closed.iter().filter(|row| row.closed_at_ms < closed_before_ms);
        (ended.map(|row| row.id()).collect(), next)
    }

    fn delete(&mut self, run_id: RunId) {
        let Some(row) = self.runs.remove(&run_id) else { return };
        if self.workflow_ids.get(&row.workflow_id) == Some(&run_id) {
            self.workflow_ids.remove(&row.workflow_id);
        }
        self.chunks.retain(|(of, _), _| *of != run_id);
    }

    fn apply_step(&mut self, step: &DrainStep) {
        let mut newest_runs: BTreeMap<&str, RunId> = BTreeMap::new();
        for change in &step.runs {
            let run_id = change.row.id();
            let known = self.runs.get(&run_id).map_or(0, |row| row.next_sequence);
            if known > change.row.next_sequence {
                continue;
            }
            if change.is_new {
                let newest = newest_runs.entry(&change.row.workflow_id).or_insert(run_id);
                *newest = run_id.max(*newest);
            }
            if let Some(chunk) = &change.chunk {
                self.chunks.insert((run_id, chunk.first_sequence), chunk.clone());
            }
            self.timers.extend(change.timers_set.iter().map(timer_key));
            for timer in &change.timers_cleared {
                self.timers.remove(&timer_key(timer));
            }
            self.runs.insert(run_id, RunRow::clone(&change.row));
        }
        for (workflow_id, run_id) in newest_runs {
            let newest = self.workflow_ids.entry(workflow_id.to_owned()).or_insert(run_id);
            *newest = run_id.max(*newest);
        }
        let cursor = self.cursors.entry(step.cursor.log).or_insert(step.cursor);
        cursor.slot = cursor.slot.max(step.cursor.slot);
    }

    pub(crate) fn cursor(&self) -> Option<Cursor> {
        self.cursors.last_key_value().map(|(_, cursor)| *cursor)
    }

    pub(crate) fn cursor_of(&self, log: LogId) -> Option<Cursor> {
        self.cursors.get(&log).copied()
    }

    pub(crate) fn run(&self, run_id: RunId) -> Option<RunRow> {
        self.runs.get(&run_id).cloned()
    }

    pub(crate) fn run_by_workflow_id(&self, workflow_id: &str) -> Option<RunRow> {
        self.run(*self.workflow_ids.get(workflow_id)?)
    }

    pub(crate) fn history(
        &self,
        run_id: RunId,
        from_sequence: u64,
        limit_bytes: usize,
    ) -> Vec<HistoryChunk> {
        let mut chunks = Vec::new();
        let mut gathered = 0;
        let mut next = from_sequence;
        for chunk in self.chunks.range((run_id, 0)..=(run_id, u64::MAX)).map(|(_, chunk)| chunk) {
            if chunk.first_sequence + u64::from(chunk.count) <= next {
                continue;
            }
            next = chunk.first_sequence + u64::from(chunk.count);
            gathered += chunk.bytes.len();
            chunks.push(chunk.clone());
            if gathered >= limit_bytes {
                break;
            }
        }
        chunks
    }

    pub(crate) fn timers(
        &self,
        partitions: &PartitionSet,
        until_ms: i64,
        after: Option<&TimerRow>,
        limit: usize,
    ) -> Vec<TimerRow> {
        self.timers
            .iter()
            .skip_while(|key| after.is_some_and(|after| **key <= timer_key(after)))
            .take_while(|(fire_at_ms, _, _)| *fire_at_ms <= until_ms)
            .filter(|(_, run_id, _)| {
                let row = || self.runs.get(run_id);
                partitions.is_all() || row().is_some_and(|row| partitions.holds(&row.workflow_id))
            })
            .take(limit)
            .map(|&(fire_at_ms, run_id, command)| TimerRow { fire_at_ms, run_id, command })
            .collect()
    }

    pub(crate) fn open_runs(
        &self,
        partitions: &PartitionSet,
        only_active: bool,
        after: Option<RunId>,
        limit: usize,
    ) -> Vec<RunRow> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.runs
            .range((start, Bound::Unbounded))
            .map(|(_, row)| row)
            .filter(|row| !row.state().is_closed() && (row.is_active() || !only_active))
            .filter(|row| partitions.holds(&row.workflow_id))
            .take(limit)
            .cloned()
            .collect()
    }

    pub(crate) fn list(&self, filter: &Filter, before: Option<RunId>, limit: usize) -> Listed {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let mut listed = Listed::default();
        let scope = filter.scope();
        let is_within = |row: &RunRow| {
            let (run_id, types) = (row.id(), scope.types.as_ref());
            run_id >= scope.first_run()
                && scope.end_run().is_none_or(|end| run_id < end)
                && scope.states.contains(&row.state())
                && types.is_none_or(|types| types.contains(&row.workflow_type))
        };
        let rows = self.runs.range((Bound::Unbounded, end)).rev().map(|(_, row)| row);
        for (scanned, row) in rows.filter(|row| is_within(row)).enumerate() {
            if listed.rows.len() >= limit || scanned >= MAX_SCANNED_ROWS {
                return listed;
            }
            listed.next = Some(row.id());
            if filter.matches(row) {
                listed.rows.push(row.clone());
            }
        }
        Listed { next: None, ..listed }
    }
}

fn timer_key(timer: &TimerRow) -> TimerKey {
    (timer.fire_at_ms, timer.run_id, timer.command)
}
