//! Turns a drain step into one batch of writes.

use std::collections::BTreeMap;

use ::fjall::OwnedWriteBatch;
use prost::Message;

use super::values::encode_closed;
use super::{FjallTables, keys};
use crate::engine::ids::RunId;
use crate::engine::log::fjall::TablesDatabase;
use crate::engine::row::RunRow;
use crate::engine::tables::{DrainStep, Error, RunChange};

/// A history up to this size is kept within the record of its closed run: one write, one read.
const INLINE_HISTORY_BYTES: usize = 64 * 1024;
/// About how many writes a change makes; a hint for the batch's size.
const WRITES_OF_A_CHANGE: usize = 4;

/// Writes the whole step, or nothing.
pub(super) fn apply(tables: &FjallTables, step: DrainStep) -> Result<(), Error> {
    let _alone = tables.writing.lock();
    let keyspaces = &tables.store.tables;
    let writes = step.runs.len() * WRITES_OF_A_CHANGE + 1;
    let mut batch = OwnedWriteBatch::with_capacity(keyspaces.database.clone(), writes)
        .durability(Some(::fjall::PersistMode::Buffer));
    // A batch must not hold one key twice, and a workflow id may have been used again within the step.
    let mut newest_runs: BTreeMap<&str, RunId> = BTreeMap::new();
    let mut memory = Vec::new();
    for change in &step.runs {
        if change.is_new {
            let run_id = change.row.id();
            let newest = newest_runs.entry(&change.row.workflow_id).or_insert(run_id);
            *newest = run_id.max(*newest);
        }
        apply_change(tables, &mut batch, change, &mut memory)?;
    }
    for (workflow_id, run_id) in newest_runs {
        batch.insert(&keyspaces.workflow_ids, workflow_id.as_bytes(), &run_id.as_bytes()[..]);
    }
    batch.insert(&keyspaces.cursor, keys::CURSOR, &keys::encode_cursor(step.cursor)[..]);
    batch.commit().map_err(|error| tables.failed(error))
}

fn apply_change(
    tables: &FjallTables,
    batch: &mut OwnedWriteBatch,
    change: &RunChange,
    memory: &mut Vec<u8>,
) -> Result<(), Error> {
    let keyspaces = &tables.store.tables;
    let run_id = change.row.id();
    let RunChange { row, is_new, chunk, timers_set, timers_cleared } = change;
    let mut chunk = chunk.as_ref();
    let (before, mut inline) =
        if *is_new { (None, None) } else { tables.stored(&tables.snapshot(), run_id)? };
    index(keyspaces, batch, before.as_ref(), row);
    for timer in timers_cleared {
        batch.remove(&keyspaces.timers, &keys::timer(timer)[..]);
    }
    for timer in timers_set.iter().filter(|timer| !timers_cleared.contains(timer)) {
        batch.insert(&keyspaces.timers, &keys::timer(timer)[..], []);
    }
    if *is_new && row.state().is_closed() {
        inline = chunk.take_if(|chunk| chunk.bytes.len() <= INLINE_HISTORY_BYTES).cloned();
    }
    if let Some(chunk) = chunk {
        let key = keys::history(run_id, chunk.first_sequence);
        batch.insert(&keyspaces.history, &key[..], chunk.encode_to_vec());
    }
    if row.state().is_closed() {
        if before.is_some_and(|before| !before.state().is_closed()) {
            batch.remove(&keyspaces.open, &run_id.as_bytes()[..]);
        }
        memory.clear();
        encode_closed(row, inline.as_ref(), memory);
        batch.insert(&keyspaces.closed, &run_id.as_bytes()[..], &memory[..]);
    } else {
        batch.insert(&keyspaces.open, &run_id.as_bytes()[..], row.encode_to_vec());
    }
    Ok(())
}

/// Moves the run in the indexes that tell its type and state, and whether it is active.
fn index(
    keyspaces: &TablesDatabase,
    batch: &mut OwnedWriteBatch,
    before: Option<&RunRow>,
    row: &RunRow,
) {
    let listed_before = before.map(keys::listing);
    let listed = keys::listing(row);
    if listed_before.as_ref() != Some(&listed) {
        if let Some(listed_before) = listed_before {
            batch.remove(&keyspaces.listing, listed_before);
        }
        batch.insert(&keyspaces.listing, listed, []);
    }
    let run_id = row.id();
    match (before.is_some_and(RunRow::is_active), row.is_active()) {
        (false, true) => batch.insert(&keyspaces.active, &run_id.as_bytes()[..], []),
        (true, false) => batch.remove(&keyspaces.active, &run_id.as_bytes()[..]),
        _ => {}
    }
}
