//! What a start does when the tables' folder is damaged: they are drained again, or nothing starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use souk_orchestrator::engine::ids::{LogId, Slot};
use souk_orchestrator::engine::log::fjall::{FjallLog, Store};
use souk_orchestrator::engine::log::{Appended, Error, Log};
use souk_orchestrator::engine::row::RunState;
use souk_orchestrator::engine::tables::Tables;
use souk_orchestrator::engine::tables::fjall::FjallTables;
use tempfile::TempDir;

use crate::log_damage::{copy_of, cut_copy, flip, used_bytes};
use crate::tables_contract::{change, row, run_id, step};

const LOG: LogId = LogId(1);
const STEPS: u64 = 8;

fn journal(folder: &Path) -> PathBuf {
    folder.join("store/tables/0.jnl")
}

/// A log of some slots, each drained in a step of its own. The tables' journal ends at the returned offsets after each step.
async fn folder_with_steps(trim_before: Slot) -> (TempDir, Vec<u64>) {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let (log, tables) = (FjallLog::new(store.clone()), FjallTables::new(store));
    let mut ends = Vec::new();
    for slot in 0..STEPS {
        assert_eq!(log.append(LOG, Slot(slot), "slot".into()).await, Appended::Applied);
        let run = change(row(u128::from(slot), "place_order", RunState::Running));
        tables.apply(step(slot + 1, vec![run])).await.unwrap();
        tables.sync().await.unwrap();
        ends.push(used_bytes(&journal(folder.path())));
    }
    log.trim(LOG, trim_before).await.unwrap();
    (folder, ends)
}

/// Steps behind the damage are gone, whole, and the log has what they were made from.
#[tokio::test]
async fn steps_behind_damage_are_taken_back_and_can_be_drained_again() {
    let (folder, ends) = folder_with_steps(Slot(3)).await;
    for left in 3..STEPS {
        let step_begins = ends[usize::try_from(left).unwrap() - 1];
        let step_ends = ends[usize::try_from(left).unwrap()];
        let copy = copy_of(&folder);
        flip(&journal(copy.path()), step_begins.midpoint(step_ends));
        let store = Arc::new(Store::open(copy.path()).unwrap());
        let (log, tables) = (FjallLog::new(store.clone()), FjallTables::new(store));
        let cursor = tables.cursor().await.unwrap().unwrap();
        assert_eq!(cursor.slot, Slot(left));
        assert!(tables.run(run_id(u128::from(left - 1))).await.unwrap().is_some());
        assert!(tables.run(run_id(u128::from(left))).await.unwrap().is_none());
        let slots = log.read(LOG, cursor.slot, usize::MAX).await.unwrap();
        assert_eq!(slots.len() as u64, STEPS - left);
        assert!(cut_copy(copy.path()).is_some(), "what was cut is kept");
    }
}

/// If the log has been trimmed of it, reading on from the cursor says so.
#[tokio::test]
async fn damage_to_steps_that_the_log_has_no_more_is_refused() {
    let (folder, ends) = folder_with_steps(Slot(6)).await;
    flip(&journal(folder.path()), ends[3].midpoint(ends[4]));
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let (log, tables) = (FjallLog::new(store.clone()), FjallTables::new(store));
    let cursor = tables.cursor().await.unwrap().unwrap();
    let read = log.read(LOG, cursor.slot, usize::MAX).await;
    let Err(Error::Damaged { slot, what, .. }) = read else { panic!("{read:?}") };
    assert_eq!(slot, cursor.slot);
    assert!(what.contains("the tables held it"), "{what}");
}
