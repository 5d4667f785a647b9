//! What holds the tables on CQL together without transactions: late writes change nothing, and what a crash cuts off is
//! done again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::partition::PartitionSet;
use souk_orchestrator::engine::row::{HistoryChunk, RunRow, RunState};
use souk_orchestrator::engine::tables::{DrainStep, RunChange, Tables};

use crate::forms::{Clustered, Form, Keyspace, Open, Simulated};
use crate::tables_contract::{active, aged, change, chunk, later, row, run_id, step, timer};
use crate::tables_model::{Lives, compare};

const ALL: PartitionSet = PartitionSet::all();

fn waiting(next_sequence: u64) -> RunRow {
    aged(row(1, "place_order", RunState::Running), next_sequence)
}

fn with_chunk(change: RunChange, first_sequence: u64) -> RunChange {
    let count = u32::try_from(change.row.next_sequence - first_sequence).unwrap();
    RunChange { chunk: Some(events(first_sequence, count)), ..change }
}

/// A chunk of real events, so that it can be cut.
fn events(first_sequence: u64, count: u32) -> HistoryChunk {
    let event = |sequence| {
        let text = format!("event {sequence}");
        [&[text.len() as u8], text.as_bytes()].concat()
    };
    let sequences = first_sequence..first_sequence + u64::from(count);
    let bytes: Vec<u8> = sequences.flat_map(event).collect();
    HistoryChunk { first_sequence, count, packing: 0, bytes: bytes.into() }
}

/// The texts of a run's events, as whoever reads all of them from chunk to chunk finds them.
async fn history(tables: &dyn Tables, from: u64) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = from;
    loop {
        let chunks = tables.history(run_id(1), next, 1).await.unwrap();
        if chunks.is_empty() {
            return found;
        }
        for chunk in chunks {
            assert!(chunk.first_sequence <= next, "event {next} is missing");
            let texts = chunk.bytes.split(|byte| *byte < 20).skip(1);
            let texts: Vec<&[u8]> = texts.collect();
            assert_eq!(texts.len(), chunk.count as usize);
            let known = usize::try_from(next - chunk.first_sequence).unwrap();
            let texts = texts.into_iter().skip(known);
            found.extend(texts.map(|text| String::from_utf8(text.to_vec()).unwrap()));
            next = chunk.first_sequence + u64::from(chunk.count);
        }
    }
}

fn expected(from: u64, until: u64) -> Vec<String> {
    (from..until).map(|sequence| format!("event {sequence}")).collect()
}

/// Two nodes drain one log: the one that was fenced in the middle, and the one that took over. Whatever they write, and
/// in whatever order, the tables are as the newest row says.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_of_a_fenced_node_changes_nothing() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let completed = || aged(row(1, "place_order", RunState::Completed), 9);
    let first = RunChange { timers_set: vec![timer(5, 1, 2)], ..with_chunk(change(waiting(3)), 0) };
    let late = RunChange {
        timers_set: vec![timer(7, 1, 4)],
        ..with_chunk(later(aged(active(row(1, "place_order", RunState::Parked)), 6)), 3)
    };
    let newest =
        RunChange { timers_cleared: vec![timer(5, 1, 2)], ..with_chunk(later(completed()), 3) };
    for is_late in [false, true] {
        let mut form = Clustered::new(&keyspace);
        let (fenced, owner) = (form.open().await.tables, form.open().await.tables);
        fenced.apply(step(1, vec![first.clone()])).await.unwrap();
        if is_late {
            // The row that it read is the first: what was written since is not known to it.
            let blind = RunChange { is_new: true, ..late.clone() };
            owner.apply(step(3, vec![newest.clone()])).await.unwrap();
            fenced.apply(step(2, vec![blind])).await.unwrap();
        } else {
            fenced.apply(step(2, vec![late.clone()])).await.unwrap();
            owner.apply(step(3, vec![newest.clone()])).await.unwrap();
        }
        assert_eq!(owner.run(run_id(1)).await.unwrap(), Some(completed()));
        let by_id = owner.run_by_workflow_id("order/1").await.unwrap();
        assert_eq!(by_id, Some(completed()));
        assert_eq!(owner.open_runs(&ALL, false, None, 9).await.unwrap(), []);
        assert_eq!(owner.open_runs(&ALL, true, None, 9).await.unwrap(), []);
        for (text, count) in [("", 1), ("state = completed", 1), ("state = parked", 0)] {
            let filter = Filter::parse(text, 0).unwrap();
            let listed = owner.list(&filter, None, 9).await.unwrap();
            assert_eq!((listed.rows.len(), listed.next), (count, None), "{text}");
        }
        assert_eq!(owner.cursor().await.unwrap().unwrap().slot.0, 3);
        for from in 0..9 {
            assert_eq!(history(&*owner, from).await, expected(from, 9), "from {from}");
        }
        // A timer that was set late is found, asked of the run, and found no more.
        for orphan in owner.timers(&ALL, 100, None, 9).await.unwrap() {
            assert_eq!(orphan, timer(7, 1, 4));
            owner.forget_timer("order/1", &orphan).await.unwrap();
        }
        assert_eq!(owner.timers(&ALL, 100, None, 9).await.unwrap(), []);
    }
}

/// A reader that comes while a step is half done sees the run as its row has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_ends_where_the_row_does() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let mut form = Clustered::new(&keyspace);
    let tables = form.open().await.tables;
    let session = keyspace.session().await;
    tables.apply(step(1, vec![with_chunk(change(waiting(3)), 0)])).await.unwrap();
    tables.apply(step(2, vec![with_chunk(later(waiting(9)), 3)])).await.unwrap();
    // As the row was when only five events had been drained, and a chunk was written that has more.
    let of_five = "INSERT INTO {}.run (run_id, next_sequence) VALUES (?, 5) USING TIMESTAMP 99";
    let of_five = session.prepare(souk_mesh::cql::Kind::Write, of_five).await.unwrap();
    session.write(&of_five, (*run_id(1).as_bytes(),)).await.unwrap();
    assert_eq!(history(&*tables, 0).await, expected(0, 5));
    assert_eq!(history(&*tables, 4).await, expected(4, 5));
    assert_eq!(history(&*tables, 5).await, expected(5, 5));
}

/// What the runs of a step were listed as is looked up for many at once; each leaves the place that it was in.
#[tokio::test(flavor = "multi_thread")]
async fn each_run_of_a_large_step_is_listed_where_it_is_and_nowhere_else() {
    const RUNS: u128 = 100;
    let Some(keyspace) = Keyspace::open().await else { return };
    let tables = Clustered::new(&keyspace).open().await.tables;
    let states = [RunState::Completed, RunState::Parked, RunState::Running];
    let of_run = |run: u128, state, events| aged(row(run, "place_order", state), events);
    let started = (0..RUNS).map(|run| change(of_run(run, RunState::Running, 3))).collect();
    tables.apply(step(1, started)).await.unwrap();
    let moved = (0..RUNS).map(|run| later(of_run(run, states[run as usize % 3], 6))).collect();
    tables.apply(step(2, moved)).await.unwrap();
    // Read at the server: the tables themselves pass over entries that the row of a run does not bear out.
    let session = keyspace.session().await;
    let listed = "SELECT run_id, state FROM {}.listing LIMIT 1000";
    let listed = session.prepare(souk_mesh::cql::Kind::Read, listed).await.unwrap();
    let mut listed: Vec<(Vec<u8>, i8)> = session.rows(&listed, ()).await.unwrap();
    listed.sort();
    let mut expected: Vec<_> = (0..RUNS)
        .map(|run| (run_id(run).as_bytes().to_vec(), states[run as usize % 3] as i8))
        .collect();
    expected.sort();
    assert_eq!(listed, expected);
}

/// Every step is cut off once, anywhere, and done again by the next process, if the cursor does not say that it is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_cut_off_is_done_again() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let mut random = StdRng::seed_from_u64(8);
    let (mut simulated, mut form) = (Simulated::new(8), Clustered::new(&keyspace));
    let (one, mut other) = (simulated.open().await, form.open().await);
    let mut lives = Lives::default();
    let mut cut = 0;
    for slot in 0..40 {
        let step = lives.next_step(&mut random, slot);
        one.tables.apply(step.clone()).await.unwrap();
        let limit = Duration::from_micros(random.random_range(200..8_000));
        if tokio::time::timeout(limit, other.tables.apply(step.clone())).await.is_err() {
            cut += 1;
            other = form.kill(other).await;
        }
        let Open { tables, .. } = &other;
        if tables.cursor().await.unwrap() != Some(step.cursor) {
            tables.apply(again(&**tables, step).await).await.unwrap();
        }
    }
    assert!(cut > 5, "{cut}");
    compare(&*one.tables, &*other.tables, &lives, &mut random).await;
}

/// The step as recovery makes it again from the log: what is in the tables already is left out.
async fn again(tables: &dyn Tables, step: DrainStep) -> DrainStep {
    let mut runs = Vec::new();
    for change in step.runs {
        let known = tables.run(change.row.id()).await.unwrap();
        if known.as_ref().is_none_or(|known| known.next_sequence < change.row.next_sequence) {
            runs.push(RunChange { is_new: known.is_none(), ..change });
        }
    }
    DrainStep { runs, ..step }
}

/// A history is larger than what one write may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_chunk_is_written_in_pieces() {
    let Some(keyspace) = Keyspace::open().await else { return };
    let tables = Clustered::new(&keyspace).open().await.tables;
    let small = RunChange { chunk: Some(chunk(0, 2, 700_000)), ..change(waiting(2)) };
    let large = RunChange { chunk: Some(chunk(2, 7, 9_000_000)), ..later(waiting(9)) };
    tables.apply(step(1, vec![small])).await.unwrap();
    tables.apply(step(2, vec![large])).await.unwrap();
    let whole = [chunk(0, 2, 700_000), chunk(2, 7, 9_000_000)];
    assert!(tables.history(run_id(1), 0, usize::MAX).await.unwrap() == whole);
    assert!(tables.history(run_id(1), 5, 1).await.unwrap() == whole[1..]);
}
