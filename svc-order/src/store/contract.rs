//! What every [`OrderStore`] must do: one function per promise, run by each implementation's tests.

use std::future::Future;
use std::sync::Arc;

use souk_mesh::money::{Currency, Money};
use uuid::Uuid;

use super::{Append, Filter, OrderStore, Placed, Recording, RequestKey, Start};
use crate::Error;
use crate::domain::{
    Address, Cancellation, Change, ChangeKind, Illegal, Line, Order, Shipment, State,
};

/// How many compete in the tests of races.
const RIVALS: u32 = 50;

/// Runs the whole contract, each promise on a store that `open` makes anew.
pub async fn all<S, F>(open: impl Fn() -> F)
where
    S: OrderStore,
    F: Future<Output = S>,
{
    equal_requests_at_once_record_one_order(Arc::new(open().await)).await;
    a_request_id_belongs_to_its_caller_and_parameters(&open().await).await;
    an_order_reads_as_it_was_recorded(&open().await).await;
    a_change_is_appended_once_and_answers_its_repeats(&open().await).await;
    of_changes_that_exclude_each_other_one_is_appended(Arc::new(open().await)).await;
    conditions_are_judged_with_the_change(&open().await).await;
    a_refused_change_writes_nothing(&open().await).await;
    undo_and_do_settle_in_any_order(&open().await).await;
    a_lost_start_is_found_until_it_is_noted(&open().await).await;
    the_first_answer_stays(&open().await).await;
    pages_go_from_new_to_old(&open().await).await;
    unknown_orders_are_not_found(&open().await).await;
}

fn euro(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

/// Ids that sort by `number`, as UUIDv7 do by time.
pub(super) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(super) fn order(number: u128, user_id: Uuid) -> Order {
    let line = Line {
        product_id: id(0xF00),
        sku: "GLASS-1".into(),
        name: "Tea glass".into(),
        picture: "/pictures/GLASS-1.svg".into(),
        quantity: 3,
        unit_price: euro(250),
        subtotal: euro(750),
    };
    Order {
        id: id(number),
        user_id,
        state: State::Pending,
        version: 1,
        lines: vec![line],
        total: euro(750),
        address: Some(Address {
            recipient: "Mara".into(),
            city: "Graz".into(),
            ..Address::default()
        }),
        email: "mara@example.com".into(),
        cart_version: Some(7),
        payment_id: None,
        parcel: None,
        cancellation: None,
        created_at_ms: 1_000,
        updated_at_ms: 1_000,
    }
}

pub(super) fn key(
    scope: &str,
    method: &'static str,
    request_id: &str,
    parameters: u8,
) -> RequestKey {
    RequestKey {
        scope: scope.into(),
        method,
        request_id: request_id.into(),
        fingerprint: [parameters; 32],
    }
}

pub(super) fn place_key(request_id: &str) -> RequestKey {
    key("mara", "PlaceOrder", request_id, 1)
}

pub(super) fn recording(order: Order, key: RequestKey) -> Recording {
    Recording { order, input: b"input".to_vec(), key, trace_parent: String::new() }
}

pub(super) fn append(order_id: Uuid, change: Change, request_id: &str) -> Append {
    let (method, parameters) = match change.kind() {
        ChangeKind::Process => ("AppendOrderEvent", 1),
        ChangeKind::Ship => ("ShipOrder", 2),
        ChangeKind::Deliver => ("DeliverOrder", 3),
        ChangeKind::Cancel => ("CancelOrder", 4),
    };
    let key = key("caller", method, request_id, parameters);
    Append {
        order_id,
        change,
        payment_id: None,
        key,
        absorb: false,
        expected_version: None,
        not_after_ms: None,
        trace_parent: String::new(),
        now_ms: 2_000,
    }
}

pub(super) fn cancel() -> Change {
    Change::Cancel(Cancellation { reason: "CUSTOMER".into(), note: "changed my mind".into() })
}

pub(super) fn ship() -> Change {
    Change::Ship(Shipment { carrier: "Post".into(), tracking_number: "AT1".into() })
}

async fn recorded(store: &impl OrderStore, number: u128) -> Order {
    let request_id = format!("request {number}");
    let recording = recording(order(number, id(0xA)), place_key(&request_id));
    store.record(recording).await.unwrap().order
}

async fn equal_requests_at_once_record_one_order(store: Arc<impl OrderStore>) {
    let tasks: Vec<_> = (0..RIVALS)
        .map(|rival| {
            let store = Arc::clone(&store);
            let order = order(100 + u128::from(rival), id(0xA));
            let recording = recording(order, place_key("same"));
            tokio::spawn(async move { store.record(recording).await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    let all = store.list(Filter { limit: 100, ..Filter::default() }).await.unwrap();
    assert_eq!(all.orders, [answers[0].order.clone()]);
}

async fn a_request_id_belongs_to_its_caller_and_parameters(store: &impl OrderStore) {
    let first = recorded(store, 1).await;
    let other_parameters = key("mara", "PlaceOrder", "request 1", 2);
    let refused = store.record(recording(order(2, id(0xA)), other_parameters.clone())).await;
    assert!(matches!(refused, Err(Error::RequestIdReused)));
    assert!(matches!(store.placed(&other_parameters).await, Err(Error::RequestIdReused)));

    let other_caller = key("zoe", "PlaceOrder", "request 1", 2);
    assert_eq!(store.placed(&other_caller).await.unwrap(), None);
    let second = store.record(recording(order(3, id(0xB)), other_caller)).await.unwrap();
    assert_ne!(second.order.id, first.id);
    assert!(matches!(store.get(id(2)).await, Err(Error::OrderNotFound(_))));
}

async fn an_order_reads_as_it_was_recorded(store: &impl OrderStore) {
    let placed = recorded(store, 1).await;
    assert_eq!(placed, order(1, id(0xA)));
    assert_eq!(store.get(id(1)).await.unwrap(), placed);
    let found = store.placed(&place_key("request 1")).await.unwrap();
    assert_eq!(
        found,
        Some(Placed { order: placed.clone(), start: Start::Input(b"input".to_vec()) })
    );
    let (order, entries) = store.timeline(id(1), 0).await.unwrap();
    assert_eq!((order, entries), (placed.clone(), vec![placed.first_entry()]));
}

async fn a_change_is_appended_once_and_answers_its_repeats(store: &impl OrderStore) {
    let placed = recorded(store, 1).await;
    let process = append(placed.id, Change::Process, "p");
    let processing = store.append(process.clone()).await.unwrap();
    assert_eq!((processing.state, processing.version), (State::Processing, 2));
    let shipped = store.append(append(placed.id, ship(), "s")).await.unwrap();
    assert_eq!((shipped.state, shipped.version), (State::Shipped, 3));
    // However far the order has come, a repeat answers what the first did.
    assert_eq!(store.append(process.clone()).await.unwrap(), processing);
    assert_eq!(store.append(append(placed.id, ship(), "s")).await.unwrap(), shipped);

    let mut other = process;
    other.key.fingerprint = [9; 32];
    assert!(matches!(store.append(other).await, Err(Error::RequestIdReused)));
    let (order, entries) = store.timeline(placed.id, 1).await.unwrap();
    assert_eq!(order, shipped);
    let told: Vec<_> = entries.iter().map(|entry| (entry.version, entry.state)).collect();
    assert_eq!(told, [(2, State::Processing), (3, State::Shipped)]);
    assert_eq!(entries[1].note, "Post AT1");
}

async fn of_changes_that_exclude_each_other_one_is_appended(store: Arc<impl OrderStore>) {
    let placed = recorded(&*store, 1).await;
    store.append(append(placed.id, Change::Process, "p")).await.unwrap();
    let tasks: Vec<_> = (0..RIVALS)
        .map(|rival| {
            let store = Arc::clone(&store);
            let change = if rival % 2 == 0 { cancel() } else { ship() };
            let append = append(placed.id, change, &format!("rival {rival}"));
            tokio::spawn(async move { store.append(append).await })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(order) => winners.push(order),
            Err(Error::Illegal(illegal)) => assert_ne!(illegal.state, State::Processing),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(store.get(placed.id).await.unwrap(), winners[0]);
}

async fn conditions_are_judged_with_the_change(store: &impl OrderStore) {
    let placed = recorded(store, 1).await;
    let process = append(placed.id, Change::Process, "p");
    let late = Append { not_after_ms: Some(1_999), ..process.clone() };
    assert!(matches!(store.append(late).await, Err(Error::TooLate)));
    let other_version = Append { expected_version: Some(2), ..process.clone() };
    let refused = store.append(other_version).await;
    assert!(matches!(refused, Err(Error::VersionMismatch { expected: 2, found: 1 })));

    let payment_id = Some(id(0xCAFE));
    let in_time = Append {
        not_after_ms: Some(2_000),
        expected_version: Some(1),
        payment_id,
        ..process.clone()
    };
    let processing = store.append(in_time.clone()).await.unwrap();
    assert_eq!(processing.payment_id, payment_id);
    // What was done in time is answered however late it is asked for again.
    let repeat = Append { now_ms: 9_000, ..in_time };
    assert_eq!(store.append(repeat).await.unwrap(), processing);
    let shipped = store.append(append(placed.id, ship(), "s")).await.unwrap();
    assert_eq!(shipped.payment_id, payment_id, "stays");
}

async fn a_refused_change_writes_nothing(store: &impl OrderStore) {
    let placed = recorded(store, 1).await;
    let deliver = append(placed.id, Change::Deliver, "d");
    let illegal = Illegal { state: State::Pending, change: ChangeKind::Deliver };
    let refused = store.append(deliver.clone()).await;
    assert!(matches!(refused, Err(Error::Illegal(found)) if found == illegal));
    assert_eq!(store.timeline(placed.id, 1).await.unwrap(), (placed.clone(), vec![]));
    // A refusal is not kept: once the change is allowed, the same request does it.
    store.append(append(placed.id, Change::Process, "p")).await.unwrap();
    store.append(append(placed.id, ship(), "s")).await.unwrap();
    assert_eq!(store.append(deliver).await.unwrap().state, State::Delivered);
}

async fn undo_and_do_settle_in_any_order(store: &impl OrderStore) {
    for (number, undo_first) in [(1, false), (2, true)] {
        let placed = recorded(store, number).await;
        let forward = append(placed.id, Change::Process, &format!("do {number}"));
        let undo =
            Append { absorb: true, ..append(placed.id, cancel(), &format!("undo {number}")) };
        if undo_first {
            store.append(undo.clone()).await.unwrap();
            assert!(matches!(store.append(forward.clone()).await, Err(Error::Illegal(_))));
        } else {
            store.append(forward.clone()).await.unwrap();
            store.append(undo.clone()).await.unwrap();
        }
        let repeat = store.append(forward).await;
        assert!(matches!(repeat, Err(Error::Illegal(_))), "undone stays undone");
        let settled = store.append(undo).await.unwrap();
        assert_eq!(settled.state, State::Cancelled);
        let again =
            Append { absorb: true, ..append(placed.id, cancel(), &format!("more {number}")) };
        assert_eq!(store.append(again.clone()).await.unwrap(), settled, "already undone");
        assert_eq!(store.append(again).await.unwrap(), settled);
        let late = store.append(append(placed.id, Change::Process, "late")).await;
        assert!(matches!(late, Err(Error::Illegal(_))));
        assert_eq!(store.get(placed.id).await.unwrap(), settled);
    }
}

async fn a_lost_start_is_found_until_it_is_noted(store: &impl OrderStore) {
    let lost = recorded(store, 1).await;
    let running = recorded(store, 2).await;
    let cancelled = recorded(store, 3).await;
    store.note_start(running.id, None).await.unwrap();
    store.append(append(cancelled.id, cancel(), "c")).await.unwrap();
    assert_eq!(store.unstarted(1_000, None).await.unwrap(), [], "too young");
    let found = store.unstarted(1_001, None).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].order_id, found[0].input.as_slice()), (lost.id, b"input".as_slice()));
    assert_eq!(store.unstarted(1_001, Some(lost.id)).await.unwrap(), [], "later ones only");
    store.note_start(lost.id, Some(b"answer".to_vec())).await.unwrap();
    assert_eq!(store.unstarted(1_001, None).await.unwrap(), []);
}

async fn the_first_answer_stays(store: &impl OrderStore) {
    let placed = recorded(store, 1).await;
    let start = async || store.placed(&place_key("request 1")).await.unwrap().unwrap().start;
    store.note_start(placed.id, None).await.unwrap();
    assert_eq!(start().await, Start::Input(b"input".to_vec()));
    for answer in ["first", "second"] {
        store.note_start(placed.id, Some(answer.into())).await.unwrap();
        assert_eq!(start().await, Start::Answer(b"first".to_vec()));
    }
    store.note_start(placed.id, None).await.unwrap();
    assert_eq!(start().await, Start::Answer(b"first".to_vec()));
}

async fn pages_go_from_new_to_old(store: &impl OrderStore) {
    for number in 1..=5 {
        let user_id = id(0xA + number % 2);
        let key = place_key(&number.to_string());
        store.record(recording(order(number, user_id), key)).await.unwrap();
    }
    let filter = |user_id, before, limit| Filter { user_id, state: None, before, limit };
    let page = async |user_id, before, limit| -> Vec<u128> {
        let page = store.list(filter(user_id, before, limit)).await.unwrap();
        let more = page.orders.len() == limit as usize;
        assert_eq!(page.next, page.orders.last().filter(|_| more).map(|last| last.id));
        page.orders.iter().map(|order| order.id.as_u128()).collect()
    };
    assert_eq!(page(None, None, 3).await, [5, 4, 3]);
    assert_eq!(page(None, Some(id(3)), 3).await, [2, 1]);
    assert_eq!(page(Some(id(0xB)), None, 2).await, [5, 3]);
    assert_eq!(page(Some(id(0xB)), Some(id(3)), 2).await, [1]);
    assert!(page(Some(id(0xD)), None, 2).await.is_empty());

    store.append(append(id(2), cancel(), "c")).await.unwrap();
    let cancelled = Filter { state: Some(State::Cancelled), ..filter(None, None, 3) };
    let cancelled = store.list(cancelled).await.unwrap();
    assert_eq!(cancelled.orders.iter().map(|order| order.id).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(cancelled.next, None);
}

async fn unknown_orders_are_not_found(store: &impl OrderStore) {
    assert!(matches!(store.get(id(1)).await, Err(Error::OrderNotFound(_))));
    assert!(matches!(store.timeline(id(1), 0).await, Err(Error::OrderNotFound(_))));
    for absorb in [false, true] {
        let append = Append { absorb, ..append(id(1), cancel(), "c") };
        assert!(matches!(store.append(append).await, Err(Error::OrderNotFound(_))));
    }
}
