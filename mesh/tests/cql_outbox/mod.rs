//! The outbox on CQL: what is committed is published, whoever dies.

mod aggregates;

use std::sync::Arc;
use std::time::Duration;

use aggregates::Aggregates;
use souk_mesh::clock::ManualClock;
use souk_mesh::cql::outbox::{GIVE_UP_MS, Outbox, SLOT_MS, SWEEP_AFTER_MS};
use souk_mesh::cql::{Config, Session};
use souk_mesh::tasks::Tasks;
use souk_mesh::testing::Told;

const START_MS: i64 = 1_800_000_000_000;
const DRAIN: Duration = Duration::from_secs(10);

/// What the processes of a test share.
struct Ground {
    session: Session,
    clock: ManualClock,
    bus: Arc<Told>,
}

/// A process with an outbox.
struct Process {
    outbox: Outbox,
    aggregates: Aggregates,
    tasks: Tasks,
}

impl Ground {
    async fn process(&self) -> Process {
        let aggregates = Aggregates::open(&self.session).await;
        let tasks = Tasks::new();
        let outbox = Outbox::start(
            &self.session,
            self.bus.clone(),
            &tasks,
            Arc::new(self.clock.clone()),
            "test",
            Arc::new(aggregates.clone()),
        );
        Process { outbox: outbox.await.unwrap(), aggregates, tasks }
    }
}

impl Process {
    /// A change as services make it.
    async fn change(&self, aggregate: &str, to_version: i64) -> bool {
        let marker = self.outbox.mark(aggregate, to_version).await.unwrap();
        let event = aggregates::event(aggregate, to_version);
        if !self.aggregates.change(&event).await {
            marker.forget();
            return false;
        }
        marker.publish(vec![event]);
        true
    }

    /// Its markers are not in its hands any more, and nothing of it runs.
    async fn dies(&self) {
        self.tasks.drain(DRAIN).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_committed_is_published_whoever_dies() {
    let Some(nodes) = souk_backends::cql_for_tests() else { return };
    let config = Config::for_tests(nodes);
    let session = Session::open(&config, "outbox", aggregates::MIGRATIONS).await.unwrap();
    let clock = ManualClock::new(START_MS);
    let ground = Ground { session, clock, bus: Arc::default() };
    changes_are_told_once_and_in_order(&ground).await;
    of_rivals_the_winner_is_told(&ground).await;
    a_later_change_waits_for_an_earlier_one(&ground).await;
    what_a_dead_process_committed_another_publishes(&ground).await;
    what_was_never_committed_is_never_published(&ground).await;
    a_bus_that_is_away_costs_neither_events_nor_their_order(&ground).await;
    what_is_too_much_for_memory_is_swept(&ground).await;
    after_a_long_stop_what_was_left_is_found(&ground).await;
}

async fn changes_are_told_once_and_in_order(ground: &Ground) {
    let process = Arc::new(ground.process().await);
    let changes = (0..24).map(|number| {
        let process = Arc::clone(&process);
        tokio::spawn(async move {
            for version in 1..=5 {
                assert!(process.change(&format!("good {number}"), version).await);
            }
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap();
    }
    for number in 0..24 {
        let versions = ground.bus.wait_for(&format!("good {number}"), 5).await;
        assert_eq!(versions, [1, 2, 3, 4, 5]);
    }
    process.aggregates.wait_for_markers(0).await;
    process.dies().await;
}

async fn of_rivals_the_winner_is_told(ground: &Ground) {
    let process = Arc::new(ground.process().await);
    let rivals: Vec<_> = (0..16)
        .map(|_| {
            let process = Arc::clone(&process);
            tokio::spawn(async move { process.change("rivals", 1).await })
        })
        .collect();
    let mut winners = 0;
    for rival in rivals {
        winners += usize::from(rival.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(ground.bus.wait_for("rivals", 1).await, [1]);
    process.aggregates.wait_for_markers(0).await;
    process.dies().await;
}

async fn a_later_change_waits_for_an_earlier_one(ground: &Ground) {
    let process = ground.process().await;
    let events = [1, 2].map(|version| aggregates::event("late", version));
    let first = process.outbox.mark("late", 1).await.unwrap();
    let second = process.outbox.mark("late", 2).await.unwrap();
    // Both are made, and the second is heard of first.
    for event in &events {
        assert!(process.aggregates.change(event).await);
    }
    second.publish(vec![events[1].clone()]);
    assert!(process.change("other", 1).await);
    ground.bus.wait_for("other", 1).await;
    assert_eq!(ground.bus.versions("late"), [0_i64; 0], "the first comes before it");
    first.publish(vec![events[0].clone()]);
    assert_eq!(ground.bus.wait_for("late", 2).await, [1, 2]);
    process.aggregates.wait_for_markers(0).await;
    process.dies().await;
}

async fn what_a_dead_process_committed_another_publishes(ground: &Ground) {
    let dying = ground.process().await;
    for version in 1..=3 {
        let marker = dying.outbox.mark("widow", version).await.unwrap();
        assert!(dying.aggregates.change(&aggregates::event("widow", version)).await);
        drop(marker);
    }
    dying.dies().await;
    let heirs = [ground.process().await, ground.process().await];
    heirs[0].outbox.sweep().await.unwrap();
    assert_eq!(ground.bus.versions("widow"), [0_i64; 0], "it may still be at it");
    ground.clock.advance_ms(SWEEP_AFTER_MS + 1);
    for heir in &heirs {
        heir.outbox.sweep().await.unwrap();
    }
    let versions = ground.bus.wait_for("widow", 3).await;
    assert_eq!(versions[..3], [1, 2, 3], "in order, also if twice");
    heirs[0].aggregates.wait_for_markers(0).await;
    let before = ground.bus.versions("widow");
    heirs[1].outbox.sweep().await.unwrap();
    assert_eq!(ground.bus.versions("widow"), before, "not again");
    for heir in &heirs {
        heir.dies().await;
    }
}

async fn what_was_never_committed_is_never_published(ground: &Ground) {
    let dying = ground.process().await;
    drop(dying.outbox.mark("void", 1).await.unwrap());
    drop(dying.outbox.mark("slow", 1).await.unwrap());
    dying.dies().await;
    let heir = ground.process().await;
    ground.clock.advance_ms(SWEEP_AFTER_MS + 1);
    heir.outbox.sweep().await.unwrap();
    assert_eq!(heir.aggregates.markers().await, 2, "a change may be on its way still");
    assert!(heir.aggregates.change(&aggregates::event("slow", 1)).await);
    heir.outbox.sweep().await.unwrap();
    assert_eq!(ground.bus.wait_for("slow", 1).await, [1]);
    heir.aggregates.wait_for_markers(1).await;
    ground.clock.advance_ms(GIVE_UP_MS + 1);
    heir.outbox.sweep().await.unwrap();
    heir.aggregates.wait_for_markers(0).await;
    assert_eq!(ground.bus.versions("void"), [0_i64; 0]);
    heir.dies().await;
}

async fn a_bus_that_is_away_costs_neither_events_nor_their_order(ground: &Ground) {
    let process = ground.process().await;
    ground.bus.set_away(true);
    for version in 1..=20 {
        assert!(process.change("patient", version).await);
    }
    assert_eq!(ground.bus.versions("patient"), [0_i64; 0]);
    ground.clock.advance_ms(SWEEP_AFTER_MS + 1);
    process.outbox.sweep().await.unwrap();
    assert_eq!(process.aggregates.markers().await, 20, "they are in hand, not left behind");
    ground.bus.set_away(false);
    let versions = ground.bus.wait_for("patient", 20).await;
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    process.aggregates.wait_for_markers(0).await;
    process.dies().await;
}

async fn what_is_too_much_for_memory_is_swept(ground: &Ground) {
    let process = ground.process().await;
    ground.bus.set_away(true);
    let marker = process.outbox.mark("flood", 1).await.unwrap();
    let event = aggregates::event("flood", 1);
    assert!(process.aggregates.change(&event).await);
    marker.publish(vec![event; 16_384]);
    assert!(process.change("drop", 1).await, "changes go on");
    ground.bus.set_away(false);
    ground.bus.wait_for("flood", 16_384).await;
    process.aggregates.wait_for_markers(1).await;
    assert_eq!(ground.bus.versions("drop"), [0_i64; 0]);
    ground.clock.advance_ms(SWEEP_AFTER_MS + 1);
    process.outbox.sweep().await.unwrap();
    assert_eq!(ground.bus.wait_for("drop", 1).await, [1]);
    process.aggregates.wait_for_markers(0).await;
    process.dies().await;
}

async fn after_a_long_stop_what_was_left_is_found(ground: &Ground) {
    const STOP_MS: i64 = 3 * 60 * 60 * 1_000;
    let dying = ground.process().await;
    let marker = dying.outbox.mark("old", 1).await.unwrap();
    assert!(dying.aggregates.change(&aggregates::event("old", 1)).await);
    drop(marker);
    dying.dies().await;
    ground.clock.advance_ms(STOP_MS);
    let heir = ground.process().await;
    let newest = ground.clock_ms() / SLOT_MS;
    // 256 slots of ten seconds at a time.
    for _ in 0..7 {
        heir.outbox.sweep().await.unwrap();
    }
    assert_eq!(ground.bus.wait_for("old", 1).await[0], 1);
    heir.aggregates.wait_for_markers(0).await;
    let swept = heir.aggregates.swept().await;
    assert!(swept.iter().all(|slot| newest - slot < 75), "begins far back: {swept:?} {newest}");
    heir.dies().await;
}

impl Ground {
    fn clock_ms(&self) -> i64 {
        souk_mesh::clock::Clock::now_ms(&self.clock)
    }
}
