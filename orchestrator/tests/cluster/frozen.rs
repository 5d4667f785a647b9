//! Nodes that stand still for longer than their lease, and wake up believing that nothing has happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use souk_orchestrator::engine::Error;
use souk_orchestrator::engine::ids::LogId;
use souk_orchestrator::engine::log::sim::SimLog;
use souk_orchestrator::engine::membership::sim::{Fault, SimMembership};
use souk_orchestrator::engine::membership::{self, Beat, Membership, Move, NodeState, View};
use souk_orchestrator::engine::tables::sim::SimTables;
use tokio::time::Instant;

use super::world::{World, until};
use crate::engine::bank::Behaviour;
use crate::engine::transfer::Transfer;

/// For how long after its last beat a node answers from its memory, as docs/CLUSTER.md says.
const CERTAIN_MS: u64 = 4_500;
const LONGER_THAN_THE_LEASE: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn what_a_node_does_late_is_refused_and_changes_nothing() {
    for seed in 0..10 {
        let world = World::new(200 + seed);
        let [one, two, three] = world.nodes().await;
        let order = Transfer { confirm: true, ..Transfer::default() };
        let names: Vec<String> = (0..10).map(|number| world.id_of(&one, number)).collect();
        for name in &names {
            world.start(name, "transfer", &order).await;
        }
        // Some of it is in its log and not in the tables yet, some in neither.
        tokio::time::sleep(Duration::from_millis(seed * 3)).await;
        one.gate.freeze();
        for name in &names[..5] {
            world.signal(name, "confirm", "1", "null").await;
            world.check_transfer(name).await;
        }
        tokio::time::sleep(LONGER_THAN_THE_LEASE).await;
        one.gate.thaw();
        // It must not answer from its memory, where nothing was confirmed, from its first moment on.
        let stale = world.network.ask(&one, async |engine| engine.describe(&names[0]).await).await;
        assert!(matches!(stale, Err(Error::NotOwner { .. } | Error::Fenced)), "{stale:?}");
        one.engine.fenced().await;
        assert_eq!(world.state_of(&one), Some(NodeState::Sealed));
        world.settled(&[&two, &three]).await;
        for name in &names[5..] {
            world.signal(name, "confirm", "1", "null").await;
        }
        for name in &names {
            world.check_transfer(name).await;
        }
        world.check_effects(names.len());
        // It comes back as another.
        let again = world.node("node-0").await;
        assert!(again.engine.log_id() > three.engine.log_id());
        world.settled(&[&again, &two, &three]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_a_frozen_node_has_under_way_is_made_elsewhere_under_the_same_key() {
    let world = World::new(3);
    let [one, two, three] = world.nodes().await;
    let name = world.id_of(&one, 0);
    world.bank.next("deposit", &[Behaviour::FailFor(8_000)]);
    world.start(&name, "transfer", &Transfer::default()).await;
    until("the step was tried", || world.bank.effect(&format!("{name}/deposit/1")).calls == 1)
        .await;
    one.gate.freeze();
    world.check_transfer(&name).await;
    let calls = world.bank.effect(&format!("{name}/deposit/1")).calls;
    one.gate.thaw();
    one.engine.fenced().await;
    tokio::time::sleep(LONGER_THAN_THE_LEASE).await;
    let after = world.bank.effect(&format!("{name}/deposit/1"));
    assert!(after.calls <= calls + 1, "the attempt that was under way, and no more");
    assert_eq!(after.done, 1);
    world.check_transfer(&name).await;
    world.settled(&[&two, &three]).await;
}

#[tokio::test(start_paused = true)]
async fn the_seal_alone_stops_a_node_that_hears_nothing_of_the_others() {
    let world = World::new(6);
    let is_cut = Arc::new(AtomicBool::new(false));
    let cut = is_cut.clone();
    let faults = Arc::new(move |_| cut.load(Ordering::SeqCst).then_some(Fault::Unavailable));
    let one = world.node_with("one", world.record.with_faults(faults)).await;
    let two = world.node("two").await;
    world.settled(&[&one, &two]).await;
    let names: Vec<String> = (0..8).map(|number| world.id_of(&one, number)).collect();
    world.bank.next("deposit", &vec![Behaviour::FailFor(8_000); names.len()]);
    for name in &names {
        world.start(name, "transfer", &Transfer::default()).await;
    }
    let calls = |name: &str, step: &str| world.bank.effect(&format!("{name}/{step}/1")).calls;
    until("each was tried", || names.iter().all(|name| calls(name, "deposit") == 1)).await;
    one.gate.freeze();
    for name in &names {
        world.check_transfer(name).await;
    }
    is_cut.store(true, Ordering::SeqCst);
    one.gate.thaw();
    // It tries its steps again, and cannot record that they worked: nothing that follows from them is begun.
    one.engine.fenced().await;
    tokio::time::sleep(LONGER_THAN_THE_LEASE).await;
    for name in &names {
        assert!(calls(name, "deposit") <= 3, "{name}");
        assert_eq!((calls(name, "book"), calls(name, "announce")), (1, 1), "{name}");
        world.check_transfer(name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stands_still_for_less_goes_on() {
    let world = World::new(4);
    let [one, two] = world.nodes().await;
    let name = world.id_of(&one, 0);
    world.start(&name, "transfer", &Transfer { confirm: true, ..Transfer::default() }).await;
    one.gate.freeze();
    tokio::time::sleep(Duration::from_secs(5)).await;
    one.gate.thaw();
    world.signal(&name, "confirm", "1", "null").await;
    world.check_transfer(&name).await;
    tokio::time::sleep(LONGER_THAN_THE_LEASE).await;
    assert_eq!(world.state_of(&one), Some(NodeState::Live));
    world.settled(&[&one, &two]).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_say_that_it_is_alive_answers_nothing_from_its_memory() {
    let world = World::new(5);
    let is_cut = Arc::new(AtomicBool::new(false));
    let cut = is_cut.clone();
    let faults = Arc::new(move |_| cut.load(Ordering::SeqCst).then_some(Fault::Unavailable));
    let one = world.node_with("one", world.record.with_faults(faults)).await;
    world.settled(&[&one]).await;
    world.start("w", "transfer", &Transfer { confirm: true, ..Transfer::default() }).await;
    is_cut.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let described = one.engine.describe("w").await;
    assert!(matches!(described, Err(Error::NotOwner { owner: None, .. })), "{described:?}");
    // Nobody has taken it for dead meanwhile: it goes on as it was.
    is_cut.store(false, Ordering::SeqCst);
    world.signal("w", "confirm", "1", "null").await;
    world.check_transfer("w").await;
    assert_eq!(world.state_of(&one), Some(NodeState::Live));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_wakes_answers_nothing_before_it_has_looked_whether_it_was_taken_for_dead() {
    let world = World::new(8);
    let is_blind = Arc::new(AtomicBool::new(false));
    let blind = is_blind.clone();
    let faults = Arc::new(move |call| {
        (call == "view" && blind.load(Ordering::SeqCst)).then_some(Fault::Unavailable)
    });
    let one = world.node_with("one", world.record.with_faults(faults)).await;
    let two = world.node("two").await;
    world.settled(&[&one, &two]).await;
    let name = world.id_of(&one, 0);
    world.start(&name, "transfer", &Transfer { confirm: true, ..Transfer::default() }).await;
    one.gate.freeze();
    world.signal(&name, "confirm", "1", "null").await;
    world.check_transfer(&name).await;
    is_blind.store(true, Ordering::SeqCst);
    one.gate.thaw();
    // It can say that it is alive, and cannot see what the others have made of its silence.
    for _ in 0..200 {
        let stale = one.engine.describe(&name).await;
        assert!(matches!(stale, Err(Error::NotOwner { .. } | Error::Fenced)), "{stale:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    is_blind.store(false, Ordering::SeqCst);
    one.engine.fenced().await;
}

/// A record of nodes that writes beats down at once and answers late, or nothing any more.
struct Late {
    record: SimMembership,
    is_cut: AtomicBool,
    /// When the last beat that was written down began.
    begun: Mutex<Option<Instant>>,
}

/// How late: almost so late that it would not be waited for.
const LATE: Duration = Duration::from_millis(1_900);

#[async_trait]
impl Membership for Late {
    async fn join(&self, address: &str) -> Result<LogId, membership::Error> {
        self.record.join(address).await
    }

    async fn view(&self) -> Result<View, membership::Error> {
        self.record.view().await
    }

    async fn beat(&self, log: LogId, beat: Beat) -> Result<(), membership::Error> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(membership::Error::Unavailable("cut".into()));
        }
        let begun = Instant::now();
        self.record.beat(log, beat).await?;
        *self.begun.lock() = Some(begun);
        tokio::time::sleep(LATE).await;
        Ok(())
    }

    async fn set_state(&self, log: LogId, state: NodeState) -> Result<bool, membership::Error> {
        self.record.set_state(log, state).await
    }

    async fn move_leases(&self, moves: &[Move]) -> Result<bool, membership::Error> {
        self.record.move_leases(moves).await
    }

    async fn forget(&self, log: LogId) -> Result<(), membership::Error> {
        self.record.forget(log).await
    }
}

#[tokio::test(start_paused = true)]
async fn how_long_a_node_answers_counts_from_when_its_last_beat_began() {
    let world = World::new(7);
    let record = world.record.clone();
    let late = Arc::new(Late { record, is_cut: AtomicBool::default(), begun: Mutex::default() });
    let (log, tables) = (SimLog::new(&world.disk), SimTables::new(&world.disk));
    let one = world.node_on("one", Arc::new(log), Arc::new(tables), late.clone()).await;
    world.settled(&[&one]).await;
    world.start("w", "transfer", &Transfer { confirm: true, ..Transfer::default() }).await;
    *late.begun.lock() = None;
    until("a beat has begun", || late.begun.lock().is_some()).await;
    late.is_cut.store(true, Ordering::SeqCst);
    let begun = late.begun.lock().unwrap();
    tokio::time::sleep_until(begun + Duration::from_millis(CERTAIN_MS - 100)).await;
    one.engine.describe("w").await.unwrap();
    // Others saw the beat when it was written down, and may have counted from then.
    tokio::time::sleep_until(begun + Duration::from_millis(CERTAIN_MS + 100)).await;
    let described = one.engine.describe("w").await;
    assert!(matches!(described, Err(Error::NotOwner { owner: None, .. })), "{described:?}");
}
