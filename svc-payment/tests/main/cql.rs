//! What several processes do to one keyspace, and what is left by one that dies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use souk_backends::cql_for_tests;
use souk_mesh::clock::ManualClock;
use souk_mesh::cql::Config;
use souk_mesh::cql::outbox::SWEEP_AFTER_MS;
use souk_mesh::tasks::Tasks;
use souk_mesh::testing::Told;
use souk_payment::Error;
use souk_payment::domain::Observed;
use souk_payment::store::{CqlStore, Found, NewPayment, Opened, PaymentStore, Tombstone};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use crate::contract::{NOW_MS, captured, found, new, opened, payment, seen};
use crate::shop::NOON_MS;

/// A keyspace of its own, the time of its processes, and what they tell.
pub(crate) struct Keyspace {
    config: Config,
    clock: ManualClock,
    told: Arc<Told>,
}

/// A process on it.
pub(crate) struct Process {
    pub(crate) store: CqlStore,
    tasks: Tasks,
}

impl Keyspace {
    /// Where there is a server for tests.
    pub(crate) fn new() -> Option<Keyspace> {
        let config = Config::for_tests(cql_for_tests()?);
        Some(Keyspace { config, clock: ManualClock::new(NOON_MS), told: Arc::default() })
    }

    pub(crate) async fn process(&self) -> Process {
        let tasks = Tasks::new();
        let clock = Arc::new(self.clock.clone());
        let store = CqlStore::open(&self.config, self.told.clone(), &tasks, clock).await.unwrap();
        Process { store, tasks }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

/// Lets some work go on for a while, and drops it at the await point where it is then.
async fn cut_off<T>(work: impl Future<Output = T>, after: Duration) -> Option<T> {
    tokio::time::timeout(after, work).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_a_keyspace_and_what_one_leaves_half_done_is_done_by_a_repeat() {
    let Some(keyspace) = Keyspace::new() else { return };
    let (one, other) = tokio::join!(keyspace.process(), keyspace.process());
    let stores = [&one.store, &other.store];
    versions_decide_between_processes(stores).await;
    a_payment_and_a_tombstone_race_and_one_of_them_stands(stores).await;
    one_request_for_two_payments_is_noticed(stores).await;
    calls_at_once_find_their_own_and_no_request_changes_two_payments(stores).await;
    let changed = work_that_is_cut_off_anywhere_is_completed_by_a_repeat(stores).await;

    // What a caller left between the change and its event is swept by the other process.
    keyspace.clock.advance_ms(SWEEP_AFTER_MS + 1);
    let all_told = async {
        while keyspace.told.aggregates() != changed {
            other.store.outbox().sweep().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let all_told = tokio::time::timeout(Duration::from_secs(30), all_told).await;
    all_told.expect("every change is told");
}

async fn versions_decide_between_processes([one, other]: [&CqlStore; 2]) {
    for _ in 0..10 {
        let payment = opened(one).await;
        let change = captured(&payment);
        let over = payment.given_up(NOW_MS + 1).unwrap();
        let (paid, cancelled) =
            tokio::join!(one.save(change, None, vec![]), other.save(over, None, vec![]));
        assert_eq!(usize::from(paid.is_ok()) + usize::from(cancelled.is_ok()), 1);
        let stale = paid.and(cancelled);
        assert!(matches!(stale, Err(Error::Stale)), "{stale:?}");
        let id = payment.payment_id;
        assert_eq!(found(one, id).await, found(other, id).await);
    }
}

async fn a_payment_and_a_tombstone_race_and_one_of_them_stands([one, other]: [&CqlStore; 2]) {
    for _ in 0..10 {
        let new = new(&payment());
        let tombstone = Tombstone {
            payment_id: new.payment.payment_id,
            keep_until_ms: None,
            created_ms: NOW_MS,
        };
        let opening = one.open(new.clone(), NOW_MS);
        let (opened, buried) = tokio::join!(opening, other.bury(tombstone, Uuid::new_v4()));
        match (opened.unwrap(), buried.unwrap()) {
            (Opened::New, Found::Payment(made)) => assert_eq!(made, new.payment),
            (Opened::Undone, Found::Tombstone) => {}
            both => panic!("{both:?}"),
        }
    }
}

async fn one_request_for_two_payments_is_noticed(stores: [&CqlStore; 2]) {
    for _ in 0..20 {
        let request_key = Uuid::new_v4();
        let openings = stores.map(|store| async move {
            let new = NewPayment { request_key, ..new(&payment()) };
            store.open(new, NOW_MS).await.unwrap()
        });
        let opened = join_all(openings).await;
        let new = opened.iter().filter(|opened| **opened == Opened::New).count();
        assert!(new <= 1, "never both: {opened:?}");
        let other = NewPayment { request_key, ..crate::contract::new(&payment()) };
        assert_eq!(stores[0].open(other, NOW_MS).await.unwrap(), Opened::Reused);
    }
}

/// What many calls look up at once goes in few statements: none gets what another asked for, and none misses what was
/// written before it asked.
async fn calls_at_once_find_their_own_and_no_request_changes_two_payments(stores: [&CqlStore; 2]) {
    let pairs = (0..100).map(|_| async move {
        let request_key = Some(Uuid::new_v4());
        let changes = stores.map(|store| async move {
            let payment = opened(store).await;
            let unused = store.find(payment.payment_id, request_key).await.unwrap();
            (unused, payment)
        });
        let [(first, one), (second, other)] = <[_; 2]>::try_from(join_all(changes).await).unwrap();
        for ((found, used_for), opened) in [(first, &one), (second, &other)] {
            assert_eq!((found, used_for), (Found::Payment(opened.clone()), None));
        }
        // A note by the one process, a change by the other.
        let (note, change) = (seen(&one, Observed::Authorized), captured(&other));
        let (noted, changed) = tokio::join!(
            stores[0].save(note.clone(), request_key, vec![]),
            stores[1].save(change.clone(), request_key, vec![]),
        );
        for (store, saved, after, before) in
            [(stores[1], &noted, note, &one), (stores[0], &changed, change, &other)]
        {
            let now = if saved.is_ok() { &after.payment } else { before };
            assert_eq!(found(store, before.payment_id).await, Found::Payment(now.clone()));
        }
        let refused = [noted, changed].into_iter().filter_map(Result::err).collect::<Vec<_>>();
        assert!(!refused.is_empty(), "never both");
        assert!(refused.iter().all(|error| matches!(error, Error::RequestIdReused)), "{refused:?}");
    });
    join_all(pairs).await;
}

/// Whatever has come of work that was dropped, the same work by another process comes to the end
/// that it has undisturbed.
async fn work_that_is_cut_off_anywhere_is_completed_by_a_repeat(
    [one, other]: [&CqlStore; 2],
) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    let mut cut = 0;
    for step in 0..24 {
        let after = Duration::from_micros(250 * step);
        let new = new(&payment());
        cut += usize::from(cut_off(one.open(new.clone(), NOW_MS), after).await.is_none());
        let opened = other.open(new.clone(), NOW_MS).await.unwrap();
        assert!(matches!(opened, Opened::New | Opened::Known(_)), "{opened:?}");

        let (change, request_key) = (captured(&new.payment), Some(Uuid::new_v4()));
        let events = vec![Event {
            event_id: Uuid::now_v7().to_string(),
            r#type: "payment.succeeded".to_owned(),
            aggregate_id: change.payment.payment_id.to_string(),
            aggregate_version: change.payment.version,
            ..Event::default()
        }];
        let save = cut_off(one.save(change.clone(), request_key, events.clone()), after).await;
        cut += usize::from(save.is_none());
        match other.save(change.clone(), request_key, events).await {
            Ok(()) | Err(Error::Stale) => {}
            error => panic!("{error:?}"),
        }
        let (now, used_for) = other.find(new.payment.payment_id, request_key).await.unwrap();
        assert_eq!(now, Found::Payment(change.payment), "cut off after {after:?}");
        assert_eq!(used_for, Some(new.payment.payment_id));
        changed.insert(new.payment.payment_id.to_string());
    }
    assert!(cut > 0, "nothing was cut off");
    changed
}
