//! The contract on several processes at once, and what becomes of work that is broken off anywhere.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::future::join_all;
use souk_mesh::clock::ManualClock;
use souk_mesh::cql::outbox::SWEEP_AFTER_MS;
use souk_mesh::cql::{Config, Kind};
use souk_mesh::testing::Told;

use super::*;
use crate::domain::{Change, State};
use crate::store::contract::{self, append, cancel, order, place_key, recording, ship};

const TABLES: [&str; 9] = [
    "placing",
    "orders",
    "unstarted",
    "unstarted_swept",
    "orders_by_user",
    "orders_by_day",
    "order_day",
    "outbox_marker",
    "outbox_swept",
];
/// Times that work is polled before it is broken off, up to its end.
const MOST_POLLS: usize = 40;

/// Processes that take turns.
struct Several {
    stores: Vec<CqlStore>,
    platform: Platform,
    next: AtomicUsize,
    _folder: tempfile::TempDir,
}

impl Several {
    fn one(&self) -> &CqlStore {
        &self.stores[self.next.fetch_add(1, Ordering::Relaxed) % self.stores.len()]
    }
}

/// A keyspace that tests empty between them.
struct Ground {
    session: Session,
    bus: Arc<Told>,
    clock: ManualClock,
}

impl Ground {
    async fn open() -> Option<Ground> {
        let config = Config::for_tests(souk_backends::cql_for_tests()?);
        let session = Session::open(&config, NAME, schema::MIGRATIONS).await.unwrap();
        Some(Ground { session, bus: Arc::default(), clock: ManualClock::new(1_000) })
    }

    async fn empty(&self) {
        let truncations = TABLES.map(async |table| {
            let text = format!("TRUNCATE {{}}.{table}");
            let truncate = self.session.prepare(Kind::Write, &text).await.unwrap();
            self.session.write(&truncate, ()).await.unwrap();
        });
        join_all(truncations).await;
    }

    async fn processes(&self, count: usize) -> Several {
        let folder = tempfile::tempdir().unwrap();
        let mut platform = Platform::for_tests_at(folder.path(), Arc::new(self.clock.clone()));
        platform.bus = self.bus.clone();
        let mut stores = Vec::new();
        for _ in 0..count {
            stores.push(CqlStore::start(&platform, self.session.clone()).await.unwrap());
        }
        Several { stores, platform, next: AtomicUsize::new(0), _folder: folder }
    }
}

#[async_trait]
impl OrderStore for Several {
    async fn placed(&self, key: &RequestKey) -> Result<Option<Placed>, Error> {
        self.one().placed(key).await
    }

    async fn record(&self, recording: Recording) -> Result<Placed, Error> {
        self.one().record(recording).await
    }

    async fn note_start(&self, order_id: Uuid, answer: Option<Vec<u8>>) -> Result<(), Error> {
        self.one().note_start(order_id, answer).await
    }

    async fn unstarted(
        &self,
        before_ms: i64,
        after: Option<Uuid>,
    ) -> Result<Vec<Unstarted>, Error> {
        self.one().unstarted(before_ms, after).await
    }

    async fn get(&self, order_id: Uuid) -> Result<Order, Error> {
        self.one().get(order_id).await
    }

    async fn timeline(
        &self,
        order_id: Uuid,
        after_version: u64,
    ) -> Result<(Order, Vec<Entry>), Error> {
        self.one().timeline(order_id, after_version).await
    }

    async fn list(&self, filter: Filter) -> Result<Page, Error> {
        self.one().list(filter).await
    }

    async fn append(&self, append: Append) -> Result<Order, Error> {
        self.one().append(append).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_keeps_the_contract_over_several_processes() {
    let Some(ground) = Ground::open().await else { return };
    contract::all(async || {
        ground.empty().await;
        ground.processes(3).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_never_recorded_leaves_nothing_behind() {
    let Some(ground) = Ground::open().await else { return };
    let process = ground.processes(1).await;
    let store = process.one();
    let request = place_key("never").digest();
    let order_id = Uuid::now_v7();
    store.put_start(order_id, 1_000, &request, b"secret").await.unwrap();
    let select = "SELECT input FROM {}.orders";
    let inputs = ground.session.prepare(Kind::Read, select).await.unwrap();
    let inputs = async || {
        let found = ground.session.rows::<(Option<Vec<u8>>,)>(&inputs, ()).await;
        found.unwrap().len()
    };
    const LONG_MS: i64 = 11 * 60 * 1_000;
    assert_eq!(store.unstarted(1_001, None).await.unwrap(), []);
    assert_eq!(inputs().await, 1, "it may be recorded yet");
    assert_eq!(store.unstarted(LONG_MS, None).await.unwrap(), []);
    assert_eq!(inputs().await, 0);
    let (shard, slot) = starts::place_of(order_id, 1_000);
    let rows = store.read(shard, slot).await.unwrap().1;
    assert!(rows.is_empty(), "{rows:?}");
}

/// Polls `work` so many times and drops it, as a process does that dies. Whether it came to its end before.
async fn broken_off(work: impl Future, polls: usize) -> bool {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_broken_off_anywhere_is_finished_or_never_was() {
    let Some(ground) = Ground::open().await else { return };
    let [dying, heir] = [ground.processes(1).await, ground.processes(1).await];
    for repeats in [true, false] {
        let mut is_finished = false;
        for polls in 0..MOST_POLLS {
            is_finished = a_recording_is_broken_off(&ground, &dying, &heir, polls, repeats).await;
            if is_finished {
                break;
            }
        }
        assert!(is_finished, "never came to its end");
    }
    let mut is_finished = false;
    for polls in 0..MOST_POLLS {
        is_finished = Box::pin(a_change_is_broken_off(&ground, &dying, &heir, polls)).await;
        if is_finished {
            break;
        }
    }
    assert!(is_finished, "never came to its end");
    for process in [dying, heir] {
        process.platform.tasks.drain(std::time::Duration::from_secs(10)).await.unwrap();
    }
}

async fn sweep(ground: &Ground, heir: &Several) {
    ground.clock.advance_ms(SWEEP_AFTER_MS + 1);
    heir.one().outbox.sweep().await.unwrap();
}

/// Everything that tells of an order is there: its lists, its lost start, its events up to the version.
async fn is_whole(ground: &Ground, heir: &Several, order: &Order) {
    let now_ms = souk_mesh::clock::Clock::now_ms(&ground.clock);
    assert_eq!(heir.get(order.id).await.unwrap(), *order);
    let filter =
        Filter { user_id: Some(order.user_id), state: Some(order.state), before: None, limit: 10 };
    let of_user = heir.list(filter.clone()).await.unwrap();
    assert_eq!(of_user.orders, std::slice::from_ref(order));
    let of_all = heir.list(Filter { user_id: None, limit: 500, ..filter }).await.unwrap();
    assert!(of_all.orders.contains(order));
    let unstarted = heir.unstarted(now_ms, None).await.unwrap();
    let is_lost = unstarted.iter().any(|lost| lost.order_id == order.id);
    assert_eq!(is_lost, order.state == State::Pending, "its start is found while it is pending");
    let aggregate = order.id.to_string();
    for version in 1..=order.version as usize {
        ground.bus.wait_for(&aggregate, version).await;
    }
    let mut ids: Vec<_> = ground
        .bus
        .of(&aggregate)
        .into_iter()
        .map(|event| (event.aggregate_version, event.event_id))
        .collect();
    ids.sort();
    ids.dedup();
    let versions: Vec<_> = ids.iter().map(|(version, _)| *version as u64).collect();
    assert_eq!(versions, (1..=order.version).collect::<Vec<_>>(), "one event for each change");
}

async fn a_recording_is_broken_off(
    ground: &Ground,
    dying: &Several,
    heir: &Several,
    polls: usize,
    repeats: bool,
) -> bool {
    let user_id = Uuid::now_v7();
    let key = place_key(&format!("{user_id}"));
    let recording = |id| {
        let placed_at_ms = souk_mesh::clock::Clock::now_ms(&ground.clock);
        let order = Order {
            id,
            created_at_ms: placed_at_ms,
            updated_at_ms: placed_at_ms,
            ..order(1, user_id)
        };
        recording(order, key.clone())
    };
    let [first, second] = [Uuid::now_v7(), Uuid::now_v7()];
    let is_finished = broken_off(dying.record(recording(first)), polls).await;
    if repeats {
        let placed = heir.record(recording(second)).await.unwrap();
        assert!([first, second].contains(&placed.order.id));
        sweep(ground, heir).await;
        is_whole(ground, heir, &placed.order).await;
        assert_eq!(heir.record(recording(Uuid::now_v7())).await.unwrap(), placed);
    } else {
        sweep(ground, heir).await;
        // Not by the store's own look, which would finish the order.
        match heir.one().tables.find_claim(&key.digest()).await.unwrap() {
            Some(claim) => {
                // A write that was on its way when the sweep looked is found by the next one.
                sweep(ground, heir).await;
                is_whole(ground, heir, &claim.order().unwrap()).await;
            }
            None => {
                assert!(!is_finished);
                assert!(matches!(heir.get(first).await, Err(Error::OrderNotFound(_))));
            }
        }
    }
    is_finished
}

async fn a_change_is_broken_off(
    ground: &Ground,
    dying: &Several,
    heir: &Several,
    polls: usize,
) -> bool {
    let user_id = Uuid::now_v7();
    let now_ms = souk_mesh::clock::Clock::now_ms(&ground.clock);
    let placed = Order {
        id: Uuid::now_v7(),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        ..order(1, user_id)
    };
    let order_id = placed.id;
    heir.record(recording(placed, place_key(&format!("{user_id}")))).await.unwrap();
    heir.append(append(order_id, Change::Process, "p")).await.unwrap();
    let is_finished = broken_off(dying.append(append(order_id, ship(), "s")), polls).await;
    // Either may win; whoever does has everything, and the request of the other leaves nothing.
    let cancelled = heir.append(append(order_id, cancel(), "c")).await;
    let repeat = heir.append(append(order_id, ship(), "s")).await;
    assert!(cancelled.is_ok() != repeat.is_ok(), "{cancelled:?} {repeat:?}");
    let settled = cancelled.or(repeat).unwrap();
    assert_eq!(settled.version, 3);
    // Whoever finds the placing's marker late derives the order again, which undoes nothing.
    let tables = &heir.one().tables;
    let claim = tables.find_claim(&place_key(&format!("{user_id}")).digest()).await.unwrap();
    tables.derive(&claim.unwrap()).await.unwrap();
    sweep(ground, heir).await;
    is_whole(ground, heir, &settled).await;
    is_finished
}
