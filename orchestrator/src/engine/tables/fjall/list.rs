//! Pages of runs, newest first, merged from the keyspaces that hold or index them.

use std::ops::Bound;

use ::fjall::{Iter, Readable, Snapshot};

use super::{FjallTables, damaged, keys};
use crate::engine::filter::{Filter, Scope};
use crate::engine::ids::RunId;
use crate::engine::limits::MAX_SCANNED_ROWS;
use crate::engine::tables::{Error, Listed};

/// Bound on the workflow types that a list without a type looks through. A build registers some dozens.
const TYPE_LIMIT: usize = 10_000;

/// One page.
pub(super) fn list(
    tables: &FjallTables,
    filter: &Filter,
    before: Option<RunId>,
    limit: usize,
) -> Result<Listed, Error> {
    let snapshot = tables.snapshot();
    let scope = filter.scope();
    let Some(range) = Range::of(&scope, before) else { return Ok(Listed::default()) };
    let mut sources = if scope.is_any_kind() {
        all_runs(tables, &snapshot, &range)
    } else {
        listed_runs(tables, &snapshot, &scope, &range)?
    };
    let mut heads = Vec::with_capacity(sources.len());
    for source in &mut sources {
        heads.push(next_of(tables, source)?);
    }
    let mut listed = Listed::default();
    let mut scanned = 0;
    loop {
        let newest =
            heads.iter().enumerate().filter_map(|(at, head)| head.map(|id| (id, at))).max();
        let Some((run_id, at)) = newest else {
            listed.next = None;
            return Ok(listed);
        };
        if listed.rows.len() >= limit || scanned >= MAX_SCANNED_ROWS {
            return Ok(listed);
        }
        heads[at] = next_of(tables, &mut sources[at])?;
        let row = tables.indexed(&snapshot, run_id)?;
        scanned += 1;
        listed.next = Some(run_id);
        if filter.matches(&row) {
            listed.rows.push(row);
        }
    }
}

/// Ids of runs, from the first one up to the end, which is not within.
struct Range {
    first: RunId,
    end: Option<RunId>,
}

impl Range {
    /// `None` if no run can be within.
    fn of(scope: &Scope, before: Option<RunId>) -> Option<Range> {
        let (first, bound) = (scope.first_run(), scope.end_run());
        let end = match (bound, before) {
            (Some(bound), Some(before)) => Some(bound.min(before)),
            (bound, before) => bound.or(before),
        };
        end.is_none_or(|end| first < end).then_some(Range { first, end })
    }

    /// The range behind a prefix that all keys have in front.
    fn keys(&self, prefix: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let key = |run_id: &RunId| [prefix, run_id.as_bytes()].concat();
        let last = || Bound::Included([prefix, &[u8::MAX; 16]].concat());
        (
            Bound::Included(key(&self.first)),
            self.end.as_ref().map_or_else(last, |end| Bound::Excluded(key(end))),
        )
    }
}

/// Where runs come from, newest first.
struct Source {
    entries: Iter,
    run_of: fn(&[u8]) -> Option<RunId>,
}

fn next_of(tables: &FjallTables, source: &mut Source) -> Result<Option<RunId>, Error> {
    let Some(entry) = source.entries.next_back() else { return Ok(None) };
    let key = entry.key().map_err(|error| tables.failed(error))?;
    match (source.run_of)(&key) {
        Some(run_id) => Ok(Some(run_id)),
        None => Err(damaged("listing", "a key does not end in a run id")),
    }
}

fn all_runs(tables: &FjallTables, snapshot: &Snapshot, range: &Range) -> Vec<Source> {
    let keyspaces = &tables.store.tables;
    [&keyspaces.open, &keyspaces.closed]
        .into_iter()
        .map(|keyspace| Source {
            entries: snapshot.range(keyspace, range.keys(&[])),
            run_of: RunId::from_slice,
        })
        .collect()
}

fn listed_runs(
    tables: &FjallTables,
    snapshot: &Snapshot,
    scope: &Scope,
    range: &Range,
) -> Result<Vec<Source>, Error> {
    let types = match &scope.types {
        Some(types) => types.iter().cloned().collect(),
        None => known_types(tables, snapshot)?,
    };
    let mut sources = Vec::with_capacity(types.len() * scope.states.len());
    for workflow_type in &types {
        for state in &scope.states {
            let prefix = keys::listing_state(workflow_type, *state as i32);
            let entries = snapshot.range(&tables.store.tables.listing, range.keys(&prefix));
            sources.push(Source { entries, run_of: keys::run_of_listing });
        }
    }
    Ok(sources)
}

/// The types that have runs, found by skipping from one to the next.
fn known_types(tables: &FjallTables, snapshot: &Snapshot) -> Result<Vec<String>, Error> {
    let mut types = Vec::new();
    let mut from = Vec::new();
    while types.len() < TYPE_LIMIT {
        let next = snapshot.range(&tables.store.tables.listing, from..).next();
        let Some(entry) = next else { break };
        let key = entry.key().map_err(|error| tables.failed(error))?;
        let workflow_type = keys::type_of_listing(&key)
            .ok_or_else(|| damaged("listing", "a key has no type"))?
            .to_owned();
        from = keys::listing_type(&workflow_type);
        from.push(u8::MAX);
        types.push(workflow_type);
    }
    Ok(types)
}
