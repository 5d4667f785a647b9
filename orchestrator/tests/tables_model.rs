//! Every form of the tables answers as the simulated one does, whatever is asked after whatever was applied.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::partition::PartitionSet;
use souk_orchestrator::engine::row::{RunRow, RunState, TimerRow};
use souk_orchestrator::engine::tables::{DrainStep, RunChange, Tables};

use crate::forms::{Clustered, Embedded, Form, Keyspace, Simulated};
use crate::tables_contract::{active, aged, change, chunk, row, run_id, step, timer};

const ALL: PartitionSet = PartitionSet::all();

/// What lists are asked for.
const FILTERS: [&str; 7] = [
    "",
    "type = type_1",
    "type = type",
    "type = type* AND NOT state = open",
    "type = type_1 OR state = parked",
    "state = open AND (type = type_0 OR type = type_2)",
    "closed_at > \"1970-01-01T00:00:00.100Z\"",
];

#[tokio::test]
async fn the_embedded_form_answers_as_the_simulated_one_through_crashes() {
    for seed in 0..3 {
        answers_alike_through_crashes(Embedded::new(), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_on_cql_answers_as_the_simulated_one_through_crashes() {
    let Some(keyspace) = Keyspace::open().await else { return };
    for seed in 0..2 {
        answers_alike_through_crashes(Clustered::new(&keyspace), seed).await;
    }
}

async fn answers_alike_through_crashes(mut form: impl Form, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut simulated = Simulated::new(seed);
    let (mut one, mut other) = (simulated.open().await, form.open().await);
    let mut lives = Lives::default();
    for slot in 0..60 {
        let step = lives.next_step(&mut random, slot);
        one.tables.apply(step.clone()).await.unwrap();
        other.tables.apply(step).await.unwrap();
        if random.random_bool(0.1) {
            let after = random.random_bool(0.5).then(|| run_id(random.random_range(0..90)));
            let (before_ms, limit) = (random.random_range(0..200), random.random_range(1..40));
            assert_eq!(
                one.tables.expire(before_ms, after, limit).await.unwrap(),
                other.tables.expire(before_ms, after, limit).await.unwrap()
            );
        }
        if random.random_bool(0.1) {
            (one, other) = (simulated.kill(one).await, form.kill(other).await);
        }
        if slot % 6 == 5 {
            compare(&*one.tables, &*other.tables, &lives, &mut random).await;
        }
    }
}

/// The runs so far, and how many events each has.
#[derive(Default)]
pub struct Lives {
    runs: Vec<(RunRow, Vec<TimerRow>)>,
}

impl Lives {
    pub fn next_step(&mut self, random: &mut StdRng, slot: u64) -> DrainStep {
        let mut changes = Vec::new();
        for at in 0..self.runs.len() {
            if !self.runs[at].0.state().is_closed() && random.random_bool(0.15) {
                changes.push(self.advance(random, at, false));
            }
        }
        for _ in 0..random.random_range(0..6) {
            let number = self.runs.len() as u128;
            let workflow_type = format!("type_{}", random.random_range(0..3));
            let mut row = aged(row(number, &workflow_type, RunState::Running), 0);
            row.workflow_id = format!("order/{}", random.random_range(0..40));
            self.runs.push((row, Vec::new()));
            let at = self.runs.len() - 1;
            changes.push(self.advance(random, at, true));
        }
        step(slot, changes)
    }

    fn advance(&mut self, random: &mut StdRng, at: usize, is_new: bool) -> RunChange {
        let (row, timers) = &mut self.runs[at];
        row.state = RunState::ALL[random.random_range(0..RunState::ALL.len())] as i32;
        row.open_steps.clear();
        if row.state().is_closed() {
            row.closed_at_ms = random.random_range(0..200);
        }
        if !row.state().is_closed() && random.random_bool(0.5) {
            *row = active(row.clone());
        }
        let count = random.random_range(1..9);
        let size = if random.random_bool(0.05) { 100_000 } else { random.random_range(0..3_000) };
        let chunk = (count > 0).then(|| chunk(row.next_sequence, count, size));
        row.next_sequence += u64::from(count);
        let timers_cleared: Vec<TimerRow> =
            timers.extract_if(.., |_| random.random_bool(0.4)).collect();
        let number = at as u128;
        let timers_set: Vec<TimerRow> = (0..random.random_range(0..3))
            .map(|index| {
                timer(random.random_range(-50..500), number, row.next_sequence * 4 + index)
            })
            .collect();
        timers.extend(timers_set.iter().cloned());
        RunChange { is_new, chunk, timers_set, timers_cleared, ..change(row.clone()) }
    }
}

pub async fn compare(one: &dyn Tables, other: &dyn Tables, lives: &Lives, random: &mut StdRng) {
    macro_rules! alike {
        ($method:ident($($argument:expr),*)) => {
            assert_eq!(
                one.$method($($argument),*).await.unwrap(),
                other.$method($($argument),*).await.unwrap(),
                "{}", stringify!($method)
            )
        };
    }
    let known = lives.runs.len() as u128 + 2;
    alike!(cursor());
    for number in 0..known {
        alike!(run(run_id(number)));
        let from_sequence = random.random_range(0..30);
        alike!(history(run_id(number), from_sequence, 2_500));
    }
    for number in 0..42 {
        alike!(run_by_workflow_id(&format!("order/{number}")));
    }
    let some_run = Some(run_id(random.random_range(0..known)));
    for (before, limit) in [(None, 1_000), (some_run, 7)] {
        alike!(open_runs(&ALL, false, before, limit));
        alike!(open_runs(&ALL, true, before, limit));
        for text in FILTERS {
            let filter = Filter::parse(text, 0).unwrap();
            alike!(list(&filter, before, limit));
        }
        for state in RunState::ALL {
            alike!(list(&Filter::of_states(&[state]), before, limit));
        }
    }
    let after = timer(100, 3, 9);
    for until_ms in [-20, 0, 250, i64::MAX] {
        alike!(timers(&ALL, until_ms, None, 1_000));
        alike!(timers(&ALL, until_ms, Some(&after), 5));
    }
}
