//! Pages of runs, newest first, merged from the keyspaces that hold or index them.

use ::fjall::{Iter, Readable, Snapshot};

use super::{FjallTables, damaged, keys};
use crate::engine::ids::RunId;
use crate::engine::row::{RunRow, RunState};
use crate::engine::tables::{Error, ListFilter};

/// Bound on the workflow types that a list without a type looks through. A build registers some dozens.
const TYPE_LIMIT: usize = 10_000;

const STATES: [RunState; 10] = [
    RunState::Running,
    RunState::Compensating,
    RunState::Parked,
    RunState::Stuck,
    RunState::Completed,
    RunState::Failed,
    RunState::Cancelled,
    RunState::Terminated,
    RunState::Paused,
    RunState::Continued,
];

/// One page.
pub(super) fn list(
    tables: &FjallTables,
    filter: &ListFilter,
    before: Option<RunId>,
    limit: usize,
) -> Result<Vec<RunRow>, Error> {
    let snapshot = tables.snapshot();
    let mut sources = if filter.states.is_none() && filter.workflow_type.is_none() {
        all_runs(tables, &snapshot, before)
    } else {
        listed_runs(tables, &snapshot, filter, before)?
    };
    let mut heads = Vec::with_capacity(sources.len());
    for source in &mut sources {
        heads.push(next_of(tables, source)?);
    }
    let mut rows = Vec::new();
    while rows.len() < limit {
        let newest =
            heads.iter().enumerate().filter_map(|(at, head)| head.map(|id| (id, at))).max();
        let Some((run_id, at)) = newest else { break };
        heads[at] = next_of(tables, &mut sources[at])?;
        rows.push(tables.indexed(&snapshot, run_id)?);
    }
    Ok(rows)
}

/// Where runs older than `before` come from, newest first.
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

fn all_runs(tables: &FjallTables, snapshot: &Snapshot, before: Option<RunId>) -> Vec<Source> {
    let keyspaces = &tables.store.tables;
    [&keyspaces.open, &keyspaces.closed]
        .into_iter()
        .map(|keyspace| Source {
            entries: match before {
                Some(before) => snapshot.range(keyspace, ..before.as_bytes().to_vec()),
                None => snapshot.iter(keyspace),
            },
            run_of: RunId::from_slice,
        })
        .collect()
}

fn listed_runs(
    tables: &FjallTables,
    snapshot: &Snapshot,
    filter: &ListFilter,
    before: Option<RunId>,
) -> Result<Vec<Source>, Error> {
    let types = match &filter.workflow_type {
        Some(workflow_type) => vec![workflow_type.clone()],
        None => known_types(tables, snapshot)?,
    };
    let wanted = |state: &RunState| filter.states.as_ref().is_none_or(|only| only.contains(state));
    let states: Vec<RunState> = STATES.into_iter().filter(wanted).collect();
    let mut sources = Vec::with_capacity(types.len() * states.len());
    for workflow_type in &types {
        for state in &states {
            let prefix = keys::listing_state(workflow_type, *state as i32);
            let entries = match before {
                Some(before) => {
                    let end = [prefix.as_slice(), before.as_bytes()].concat();
                    snapshot.range(&tables.store.tables.listing, prefix..end)
                }
                None => snapshot.prefix(&tables.store.tables.listing, prefix),
            };
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
