//! The rules of `engine::tables`, held on every form.

mod lists;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::ids::{LogId, RunId, Slot};
use souk_orchestrator::engine::partition::{Partition, PartitionSet};
use souk_orchestrator::engine::row::{Cursor, HistoryChunk, RunRow, RunState, TimerRow};
use souk_orchestrator::engine::tables::{DrainStep, Expired, RunChange, Tables};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::forms::{Clustered, Embedded, Form, Keyspace, Simulated};

const ALL: PartitionSet = PartitionSet::all();

#[tokio::test]
async fn the_simulated_tables_keep_the_contract() {
    contract(|| Simulated::new(1)).await;
}

#[tokio::test]
async fn the_embedded_tables_keep_the_contract() {
    contract(Embedded::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_on_cql_keep_the_contract() {
    let Some(keyspace) = Keyspace::open().await else { return };
    contract(|| Clustered::new(&keyspace)).await;
}

/// Every rule, each on tables of its own.
async fn contract<F: Form>(form: impl Fn() -> F) {
    empty_tables_answer_emptily(form()).await;
    an_open_run_is_found_in_every_way(form()).await;
    a_run_that_closes_leaves_the_scans_and_keeps_its_history(form()).await;
    a_run_that_was_never_open_is_whole(form()).await;
    a_history_is_read_from_any_event_in_pages(form()).await;
    timers_are_read_by_time(form()).await;
    runs_and_timers_are_found_by_partition(form()).await;
    a_workflow_id_leads_to_its_newest_run(form()).await;
    lists::lists_are_filtered_and_paged(form()).await;
    lists::filters_are_answered_as_if_every_row_was_read(form()).await;
    lists::a_page_reads_a_bounded_number_of_rows(form()).await;
    applying_again_changes_nothing(form()).await;
    a_crash_keeps_whole_steps_in_order(form()).await;
    what_was_synced_survives(form()).await;
    old_closed_runs_are_deleted_with_all_that_leads_to_them(form()).await;
    nobody_sees_half_a_step(form()).await;
}

pub fn run_id(number: u128) -> RunId {
    RunId(Uuid::from_u128(number))
}

pub fn row(number: u128, workflow_type: &str, state: RunState) -> RunRow {
    RunRow {
        run_id: Bytes::copy_from_slice(run_id(number).as_bytes()),
        workflow_id: format!("order/{number}"),
        workflow_type: workflow_type.to_owned(),
        state: state as i32,
        started_at_ms: 1_000,
        next_sequence: 1,
        ..RunRow::default()
    }
}

/// The row when the run has so many events.
pub fn aged(row: RunRow, next_sequence: u64) -> RunRow {
    RunRow { next_sequence, ..row }
}

pub fn active(mut row: RunRow) -> RunRow {
    row.open_steps = vec![3];
    row
}

pub fn chunk(first_sequence: u64, count: u32, size: usize) -> HistoryChunk {
    let text = format!("events from {first_sequence} on ");
    HistoryChunk {
        first_sequence,
        count,
        packing: 0,
        bytes: text.bytes().cycle().take(size).collect(),
    }
}

pub fn change(row: RunRow) -> RunChange {
    RunChange {
        row: row.into(),
        is_new: true,
        chunk: None,
        timers_set: vec![],
        timers_cleared: vec![],
    }
}

pub fn later(row: RunRow) -> RunChange {
    RunChange { is_new: false, ..change(row) }
}

pub fn step(slot: u64, runs: Vec<RunChange>) -> DrainStep {
    DrainStep { cursor: Cursor { log: LogId(1), slot: Slot(slot) }, runs }
}

pub fn timer(fire_at_ms: i64, run: u128, command: u64) -> TimerRow {
    TimerRow { fire_at_ms, run_id: run_id(run), command }
}

async fn listed(tables: &dyn Tables, filter: &Filter) -> Vec<RunRow> {
    tables.list(filter, None, 1_000).await.unwrap().rows
}

async fn open_runs(tables: &dyn Tables, only_active: bool) -> Vec<RunRow> {
    tables.open_runs(&ALL, only_active, None, 1_000).await.unwrap()
}

async fn empty_tables_answer_emptily(mut form: impl Form) {
    let tables = form.open().await.tables;
    assert_eq!(tables.cursor().await.unwrap(), None);
    assert_eq!(tables.run(run_id(1)).await.unwrap(), None);
    assert_eq!(tables.run_by_workflow_id("order/1").await.unwrap(), None);
    assert_eq!(tables.history(run_id(1), 0, 1_000).await.unwrap(), vec![]);
    assert_eq!(tables.timers(&ALL, i64::MAX, None, 10).await.unwrap(), vec![]);
    assert_eq!(open_runs(&*tables, false).await, vec![]);
    assert_eq!(listed(&*tables, &Filter::default()).await, vec![]);
    tables.sync().await.unwrap();
}

async fn an_open_run_is_found_in_every_way(mut form: impl Form) {
    let tables = form.open().await.tables;
    let waiting = row(1, "place_order", RunState::Running);
    let working = active(row(2, "place_order", RunState::Running));
    let runs = vec![change(waiting.clone()), change(working.clone())];
    tables.apply(step(7, runs)).await.unwrap();
    let cursor = Some(Cursor { log: LogId(1), slot: Slot(7) });
    assert_eq!(tables.cursor().await.unwrap(), cursor);
    assert_eq!(tables.cursor_of(LogId(1)).await.unwrap(), cursor);
    assert_eq!(tables.cursor_of(LogId(2)).await.unwrap(), None);
    assert_eq!(tables.run(run_id(1)).await.unwrap(), Some(waiting.clone()));
    assert_eq!(tables.run_by_workflow_id("order/1").await.unwrap(), Some(waiting.clone()));
    assert_eq!(tables.run_by_workflow_id("order").await.unwrap(), None);
    assert_eq!(open_runs(&*tables, false).await, [waiting.clone(), working.clone()]);
    assert_eq!(open_runs(&*tables, true).await, std::slice::from_ref(&working));
    let behind_first = tables.open_runs(&ALL, false, Some(run_id(1)), 9).await.unwrap();
    assert_eq!(behind_first, std::slice::from_ref(&working));
    let first = tables.open_runs(&ALL, false, None, 1).await.unwrap();
    assert_eq!(first, std::slice::from_ref(&waiting));
    // The step ends; the run waits.
    let idle = aged(row(2, "place_order", RunState::Running), 2);
    tables.apply(step(8, vec![later(idle.clone())])).await.unwrap();
    assert_eq!(open_runs(&*tables, true).await, vec![]);
    assert_eq!(open_runs(&*tables, false).await, [waiting, idle]);
}

async fn a_run_that_closes_leaves_the_scans_and_keeps_its_history(mut form: impl Form) {
    let tables = form.open().await.tables;
    let start = RunChange {
        chunk: Some(chunk(0, 3, 200)),
        ..change(aged(active(row(1, "place_order", RunState::Running)), 3))
    };
    tables.apply(step(1, vec![start])).await.unwrap();
    let middle = RunChange {
        chunk: Some(chunk(3, 2, 2_000)),
        ..later(aged(active(row(1, "place_order", RunState::Compensating)), 5))
    };
    tables.apply(step(2, vec![middle])).await.unwrap();
    let closed = aged(row(1, "place_order", RunState::Failed), 6);
    let end = RunChange { chunk: Some(chunk(5, 1, 100)), ..later(closed.clone()) };
    tables.apply(step(3, vec![end])).await.unwrap();
    assert_eq!(tables.run(run_id(1)).await.unwrap(), Some(closed.clone()));
    assert_eq!(tables.run_by_workflow_id("order/1").await.unwrap(), Some(closed.clone()));
    assert_eq!(open_runs(&*tables, false).await, vec![]);
    assert_eq!(open_runs(&*tables, true).await, vec![]);
    for state in [RunState::Running, RunState::Compensating] {
        let filter = Filter::of_states(&[state]);
        assert_eq!(listed(&*tables, &filter).await, vec![]);
    }
    let filter = Filter::of_states(&[RunState::Failed]);
    assert_eq!(listed(&*tables, &filter).await, std::slice::from_ref(&closed));
    assert_eq!(listed(&*tables, &Filter::default()).await, [closed]);
    assert_eq!(
        tables.history(run_id(1), 0, usize::MAX).await.unwrap(),
        [chunk(0, 3, 200), chunk(3, 2, 2_000), chunk(5, 1, 100)]
    );
}

async fn a_run_that_was_never_open_is_whole(mut form: impl Form) {
    let tables = form.open().await.tables;
    for (number, size) in [(1, 0), (2, 1_500), (3, 300_000)] {
        let mut closed = aged(row(number, "place_order", RunState::Completed), 9);
        closed.result = Some("{\"placed\":true}".into());
        let history = [chunk(0, 9, size)];
        let whole = RunChange { chunk: Some(history[0].clone()), ..change(closed.clone()) };
        tables.apply(step(1, vec![whole])).await.unwrap();
        assert_eq!(tables.run(run_id(number)).await.unwrap(), Some(closed));
        assert_eq!(tables.history(run_id(number), 0, 1).await.unwrap(), history);
        assert_eq!(tables.history(run_id(number), 8, 1).await.unwrap(), history);
        assert_eq!(tables.history(run_id(number), 9, 1).await.unwrap(), vec![]);
    }
    assert_eq!(open_runs(&*tables, false).await, vec![]);
    assert_eq!(listed(&*tables, &Filter::default()).await.len(), 3);
}

async fn a_history_is_read_from_any_event_in_pages(mut form: impl Form) {
    let tables = form.open().await.tables;
    let chunks: Vec<HistoryChunk> = (0..10).map(|part| chunk(part * 5, 5, 1_000)).collect();
    for (part, chunk) in chunks.iter().enumerate() {
        let row = row(1, "place_order", RunState::Running);
        let change = change(aged(row, (part as u64 + 1) * 5));
        let change = RunChange { chunk: Some(chunk.clone()), is_new: part == 0, ..change };
        tables.apply(step(part as u64, vec![change])).await.unwrap();
    }
    let neighbour = RunChange {
        chunk: Some(chunk(0, 1, 10)),
        ..change(row(2, "place_order", RunState::Running))
    };
    tables.apply(step(10, vec![neighbour])).await.unwrap();
    let read = async |from, limit| tables.history(run_id(1), from, limit).await.unwrap();
    assert_eq!(read(0, usize::MAX).await, chunks);
    assert_eq!(read(14, usize::MAX).await, chunks[2..]);
    assert_eq!(read(15, 2_000).await, chunks[3..5]);
    assert_eq!(read(49, 0).await, chunks[9..]);
    assert_eq!(read(50, 0).await, vec![]);
}

async fn timers_are_read_by_time(mut form: impl Form) {
    let tables = form.open().await.tables;
    let run = || change(row(1, "place_order", RunState::Running));
    let set = vec![timer(500, 1, 4), timer(-3, 1, 9), timer(500, 1, 2), timer(9_000, 1, 5)];
    tables.apply(step(1, vec![RunChange { timers_set: set, ..run() }])).await.unwrap();
    let other = RunChange {
        timers_set: vec![timer(500, 2, 1), timer(7, 2, 2)],
        timers_cleared: vec![timer(7, 2, 2), timer(8, 2, 3)],
        ..change(row(2, "place_order", RunState::Running))
    };
    tables.apply(step(2, vec![other])).await.unwrap();
    let due = [timer(-3, 1, 9), timer(500, 1, 2), timer(500, 1, 4), timer(500, 2, 1)];
    assert_eq!(tables.timers(&ALL, 500, None, 10).await.unwrap(), due);
    assert_eq!(tables.timers(&ALL, 499, None, 10).await.unwrap(), due[..1]);
    assert_eq!(tables.timers(&ALL, 500, Some(&due[1]), 1).await.unwrap(), due[2..3]);
    assert_eq!(tables.timers(&ALL, 100, Some(&due[1]), 10).await.unwrap(), vec![]);
    assert_eq!(
        tables.timers(&ALL, i64::MAX, Some(&due[3]), 10).await.unwrap(),
        [timer(9_000, 1, 5)]
    );
    let cleared = vec![timer(500, 1, 2), timer(-3, 1, 9)];
    let again = later(aged(row(1, "place_order", RunState::Running), 2));
    let cleared = RunChange { timers_cleared: cleared, ..again };
    tables.apply(step(3, vec![cleared])).await.unwrap();
    assert_eq!(tables.timers(&ALL, 500, None, 10).await.unwrap(), due[2..]);
}

/// A node that owns a part of the work sees this part only.
async fn runs_and_timers_are_found_by_partition(mut form: impl Form) {
    let tables = form.open().await.tables;
    let runs = (1..=60_u128).map(|number| RunChange {
        timers_set: vec![timer(60 - number as i64, number, 1)],
        ..change(if number % 2 == 0 {
            active(row(number, "place_order", RunState::Running))
        } else {
            row(number, "place_order", RunState::Running)
        })
    });
    tables.apply(step(1, runs.collect())).await.unwrap();
    let some = |number: &u128| Partition::of(&format!("order/{number}")).number() < 100;
    let partitions = (0..100).filter_map(Partition::new).collect::<PartitionSet>();
    let wanted: Vec<u128> = (1..=60).filter(some).collect();
    assert!(wanted.len() > 10 && wanted.len() < 50);
    for only_active in [false, true] {
        let expected = wanted.iter().filter(|number| !only_active || **number % 2 == 0);
        let expected: Vec<RunId> = expected.map(|number| run_id(*number)).collect();
        let ids = async |set: &PartitionSet, after, limit| {
            let rows = tables.open_runs(set, only_active, after, limit).await.unwrap();
            rows.iter().map(RunRow::id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&partitions, None, 100).await, expected);
        assert_eq!(ids(&partitions, Some(expected[1]), 2).await, expected[2..4]);
        assert_eq!(ids(&PartitionSet::none(), None, 100).await, []);
    }
    let due: Vec<TimerRow> =
        wanted.iter().rev().map(|number| timer(60 - *number as i64, *number, 1)).collect();
    assert_eq!(tables.timers(&partitions, 100, None, 100).await.unwrap(), due);
    assert_eq!(tables.timers(&partitions, 100, Some(&due[0]), 3).await.unwrap(), due[1..4]);
    assert_eq!(tables.timers(&PartitionSet::none(), 100, None, 9).await.unwrap(), vec![]);
}

async fn a_workflow_id_leads_to_its_newest_run(mut form: impl Form) {
    let tables = form.open().await.tables;
    let again = |number, state| {
        let workflow_id = "order/7".to_owned();
        RunRow { workflow_id, ..row(number, "place_order", state) }
    };
    let first = change(again(1, RunState::Completed));
    tables.apply(step(1, vec![first])).await.unwrap();
    // Two in one step, in any order.
    let second = change(again(2, RunState::Failed));
    let third = change(again(3, RunState::Running));
    tables.apply(step(2, vec![third, second])).await.unwrap();
    let newest = tables.run_by_workflow_id("order/7").await.unwrap().unwrap();
    assert_eq!(newest.id(), run_id(3));
    // A later change of an older run does not bring it back.
    tables.apply(step(3, vec![later(aged(again(2, RunState::Failed), 2))])).await.unwrap();
    let newest = tables.run_by_workflow_id("order/7").await.unwrap().unwrap();
    assert_eq!(newest.id(), run_id(3));
}

async fn applying_again_changes_nothing(mut form: impl Form) {
    let tables = form.open().await.tables;
    let open = RunChange {
        chunk: Some(chunk(0, 2, 500)),
        timers_set: vec![timer(5, 1, 1)],
        ..change(aged(active(row(1, "place_order", RunState::Running)), 2))
    };
    let whole = RunChange {
        chunk: Some(chunk(0, 4, 500)),
        ..change(aged(row(2, "place_order", RunState::Completed), 4))
    };
    let first = step(1, vec![open, whole]);
    let closing = RunChange {
        chunk: Some(chunk(2, 2, 500)),
        timers_cleared: vec![timer(5, 1, 1)],
        ..later(aged(row(1, "place_order", RunState::Completed), 4))
    };
    let second = step(2, vec![closing]);
    for again in [&first, &first, &second, &second] {
        tables.apply(again.clone()).await.unwrap();
        let closed = again.cursor.slot == Slot(2);
        assert_eq!(open_runs(&*tables, true).await.len(), usize::from(!closed));
        assert_eq!(listed(&*tables, &Filter::default()).await.len(), 2);
        assert_eq!(tables.timers(&ALL, 9, None, 9).await.unwrap().len(), usize::from(!closed));
    }
    assert_eq!(
        tables.history(run_id(1), 0, usize::MAX).await.unwrap(),
        [chunk(0, 2, 500), chunk(2, 2, 500)]
    );
    assert_eq!(tables.history(run_id(2), 0, usize::MAX).await.unwrap(), [chunk(0, 4, 500)]);
}

async fn a_crash_keeps_whole_steps_in_order(mut form: impl Form) {
    let mut open = form.open().await;
    let mut survived = 0;
    for life in 0..5_u64 {
        for more in 1..=5 {
            let slot = survived + more;
            let rows = [2 * slot, 2 * slot + 1].map(u128::from);
            let runs = rows.map(|number| change(row(number, "place_order", RunState::Running)));
            open.tables.apply(step(slot, runs.to_vec())).await.unwrap();
        }
        let before = survived;
        open = form.cut_power(open).await;
        survived = open.tables.cursor().await.unwrap().map_or(0, |cursor| cursor.slot.0);
        assert!(survived >= before && survived <= before + 5, "life {life}");
        let left = open_runs(&*open.tables, false).await;
        let expected: Vec<RunId> = (2..2 * survived + 2).map(|n| run_id(u128::from(n))).collect();
        assert_eq!(left.iter().map(RunRow::id).collect::<Vec<_>>(), expected);
        open.tables.sync().await.unwrap();
    }
}

async fn what_was_synced_survives(mut form: impl Form) {
    let open = form.open().await;
    let run = change(row(1, "place_order", RunState::Running));
    open.tables.apply(step(1, vec![run])).await.unwrap();
    open.tables.sync().await.unwrap();
    let open = form.cut_power(open).await;
    assert!(open.tables.run(run_id(1)).await.unwrap().is_some());
}

/// Runs move between tables when they close; a reader beside it finds each of them all the time.
async fn nobody_sees_half_a_step<F: Form>(mut form: F) {
    const STEPS: u64 = 60;
    const RUNS_OF_A_STEP: u64 = 40;
    let numbers = |nth: u64| (nth * RUNS_OF_A_STEP..).take(40).map(u128::from);
    let tables = form.open().await.tables;
    let open = (0..STEPS).flat_map(numbers);
    let open = open.map(|number| change(row(number, "place_order", RunState::Running)));
    tables.apply(step(0, open.collect())).await.unwrap();
    let under_way = Arc::new(AtomicU64::new(0));
    let (writer, at, runtime) = (tables.clone(), under_way.clone(), Handle::current());
    let writing = std::thread::spawn(move || {
        for nth in 0..STEPS {
            at.store(nth, Ordering::Relaxed);
            let closed = |number| aged(row(number, "place_order", RunState::Completed), 2);
            let close = |number| later(closed(number));
            runtime.block_on(writer.apply(step(1, numbers(nth).map(close).collect()))).unwrap();
        }
    });
    while !writing.is_finished() {
        let nth = under_way.load(Ordering::Relaxed);
        for number in numbers(nth) {
            let found = tables.run(run_id(number)).await.unwrap();
            assert_eq!(found.map(|row| row.id()), Some(run_id(number)));
        }
        let end = Some(run_id(u128::from((nth + 1) * RUNS_OF_A_STEP)));
        let page = tables.list(&Filter::default(), end, 40).await.unwrap().rows;
        let is_whole = page.iter().all(|row| row.state == page[0].state);
        assert!(is_whole || !F::IS_ATOMIC, "half a step");
    }
    writing.join().unwrap();
}

async fn old_closed_runs_are_deleted_with_all_that_leads_to_them(mut form: impl Form) {
    let mut open = form.open().await;
    let closed = |number, closed_at_ms| RunRow {
        closed_at_ms,
        ..row(number, "place_order", RunState::Completed)
    };
    let mut runs = vec![
        RunChange { chunk: Some(chunk(0, 3, 100)), ..change(closed(1, 100)) },
        RunChange { chunk: Some(chunk(0, 3, 100_000)), ..change(closed(2, 200)) },
        change(closed(3, 900)),
        change(row(4, "place_order", RunState::Running)),
        change(closed(5, 300)),
    ];
    // The same workflow id was used again: it leads to the newer run.
    let again =
        RunRow { workflow_id: "order/5".into(), ..row(6, "place_order", RunState::Running) };
    runs.push(change(again.clone()));
    open.tables.apply(step(1, runs)).await.unwrap();
    let first = open.tables.expire(500, None, 2).await.unwrap();
    assert_eq!(first, Expired { deleted: 2, next: Some(run_id(2)) });
    let rest = open.tables.expire(500, first.next, 10).await.unwrap();
    assert_eq!(rest, Expired { deleted: 1, next: None });
    assert_eq!(open.tables.expire(500, None, 10).await.unwrap().deleted, 0);
    open = form.kill(open).await;
    let tables = open.tables;
    for number in [1, 2, 5] {
        assert_eq!(tables.run(run_id(number)).await.unwrap(), None);
        assert_eq!(tables.history(run_id(number), 0, 1_000).await.unwrap(), vec![]);
    }
    assert_eq!(tables.run_by_workflow_id("order/1").await.unwrap(), None);
    assert_eq!(tables.run_by_workflow_id("order/5").await.unwrap(), Some(again));
    assert!(tables.run_by_workflow_id("order/3").await.unwrap().is_some());
    let of_type = Filter::parse("type = place_order", 0).unwrap();
    for filter in [Filter::default(), of_type] {
        let ids: Vec<RunId> = listed(&*tables, &filter).await.iter().map(RunRow::id).collect();
        assert_eq!(ids, [run_id(6), run_id(4), run_id(3)]);
    }
}
