//! The contract of [`PaymentStore`], callable for any form of it.

use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use souk_mesh::money::{Currency, Money};
use souk_payment::Error;
use souk_payment::domain::{Change, NewRefund, Observed, Payment, Refund, Snapshot, State};
use souk_payment::store::{
    Filter, Found, NewPayment, Opened, Page, PaymentStore, SqliteStore, Tombstone,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::cql::Keyspace;

pub(crate) const NOW_MS: i64 = 1_000;

#[tokio::test]
async fn the_sqlite_store_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("payment.sqlite")).unwrap();
    keeps_the_contract(&store).await;
}

#[tokio::test]
async fn the_cql_store_keeps_the_contract() {
    let Some(keyspace) = Keyspace::new() else { return };
    keeps_the_contract(&keyspace.process().await.store).await;
}

/// Checks a new, empty store.
async fn keeps_the_contract(store: &dyn PaymentStore) {
    opening_is_decided_by_ids_tombstones_and_time(store).await;
    a_change_is_saved_once_and_from_the_version_it_starts_from(store).await;
    a_note_counts_until_the_payment_is_further_along(store).await;
    requests_belong_to_one_payment(store).await;
    a_tombstone_and_a_payment_exclude_each_other(store).await;
    refunds_are_unfinished_until_answered(store).await;
    lists_are_filtered_and_in_the_order_of_arrival(store).await;
    of_equal_calls_at_once_one_is_first(store).await;
}

pub(crate) fn payment() -> Payment {
    // Payments of one moment may be listed in any order.
    static CREATED_MS: AtomicI64 = AtomicI64::new(NOW_MS);
    let now_ms = CREATED_MS.fetch_add(1, Ordering::Relaxed);
    Payment {
        payment_id: Uuid::new_v4(),
        order_id: Uuid::new_v4(),
        user_id: Some(Uuid::new_v4()),
        state: State::Opening,
        amount: Money::new(1_000, Currency::EUR),
        captured: 0,
        refunded: 0,
        token: "tok_visa".to_owned(),
        provider_id: None,
        challenge_url: None,
        decline_code: None,
        version: 1,
        created_ms: now_ms,
        updated_ms: now_ms,
    }
}

pub(crate) fn new(payment: &Payment) -> NewPayment {
    NewPayment {
        payment: payment.clone(),
        request_key: Uuid::new_v4(),
        fingerprint: [1; 32],
        not_after_ms: Some(NOW_MS + 10),
    }
}

pub(crate) async fn opened(store: &dyn PaymentStore) -> Payment {
    let payment = payment();
    assert_eq!(store.open(new(&payment), NOW_MS).await.unwrap(), Opened::New);
    payment
}

/// The payment as seen captured.
pub(crate) fn captured(payment: &Payment) -> Change {
    seen(payment, Observed::Captured)
}

/// The payment as seen so.
pub(crate) fn seen(payment: &Payment, seen: Observed) -> Change {
    let captured = if seen == Observed::Captured { payment.amount.minor } else { 0 };
    let seen = Snapshot {
        provider_id: "pi_1".to_owned(),
        seen,
        amount: payment.amount,
        captured,
        refunded: 0,
        challenge_url: None,
        decline_code: None,
    };
    payment.learn(&seen, NOW_MS + 1).unwrap().unwrap()
}

pub(crate) async fn found(store: &dyn PaymentStore, payment_id: Uuid) -> Found {
    store.find(payment_id, None).await.unwrap().0
}

async fn opening_is_decided_by_ids_tombstones_and_time(store: &dyn PaymentStore) {
    let first = new(&payment());
    assert_eq!(store.open(first.clone(), NOW_MS).await.unwrap(), Opened::New);
    let known = Opened::Known(first.payment.clone());
    assert_eq!(store.open(first.clone(), NOW_MS).await.unwrap(), known);
    assert_eq!(store.open(first.clone(), NOW_MS + 99).await.unwrap(), known, "known is never late");
    let other = NewPayment { fingerprint: [2; 32], ..first.clone() };
    assert_eq!(store.open(other, NOW_MS).await.unwrap(), Opened::Reused);
    let other = NewPayment { payment: payment(), ..first };
    assert_eq!(store.open(other.clone(), NOW_MS).await.unwrap(), Opened::Reused);
    assert_eq!(found(store, other.payment.payment_id).await, Found::Nothing);

    let on_time = new(&payment());
    assert_eq!(store.open(on_time, NOW_MS + 10).await.unwrap(), Opened::New);
    let late = new(&payment());
    assert_eq!(store.open(late.clone(), NOW_MS + 11).await.unwrap(), Opened::TooLate);
    assert_eq!(store.open(late, NOW_MS).await.unwrap(), Opened::New, "a refusal leaves nothing");
}

async fn a_change_is_saved_once_and_from_the_version_it_starts_from(store: &dyn PaymentStore) {
    let payment = opened(store).await;
    let change = captured(&payment);
    store.save(change.clone(), None, vec![]).await.unwrap();
    assert_eq!(found(store, payment.payment_id).await, Found::Payment(change.payment.clone()));
    let stale = store.save(change.clone(), None, vec![]).await;
    assert!(matches!(stale, Err(Error::Stale)), "{stale:?}");
    assert_eq!(found(store, payment.payment_id).await, Found::Payment(change.payment));
}

async fn a_note_counts_until_the_payment_is_further_along(store: &dyn PaymentStore) {
    let payment = opened(store).await;
    let (made, held) = (seen(&payment, Observed::Created), seen(&payment, Observed::Authorized));
    // In this order, as answers of the provider may come.
    for note in [&held, &made, &held] {
        assert!(note.is_note());
        store.save(note.clone(), None, vec![]).await.unwrap();
        let Found::Payment(known) = found(store, payment.payment_id).await else { panic!() };
        assert_eq!(known, held.payment, "the further one stays");
    }
    let over = held.payment.given_up(NOW_MS + 2).unwrap();
    store.save(over.clone(), None, vec![]).await.unwrap();
    store.save(held, None, vec![]).await.unwrap();
    assert_eq!(found(store, payment.payment_id).await, Found::Payment(over.payment));
}

async fn requests_belong_to_one_payment(store: &dyn PaymentStore) {
    let (first, second) = (opened(store).await, opened(store).await);
    let request = Uuid::new_v4();
    assert_eq!(store.find(first.payment_id, Some(request)).await.unwrap().1, None);
    store.save(captured(&first), Some(request), vec![]).await.unwrap();
    let used_for = store.find(second.payment_id, Some(request)).await.unwrap().1;
    assert_eq!(used_for, Some(first.payment_id));
    let reused = store.save(captured(&second), Some(request), vec![]).await;
    assert!(matches!(reused, Err(Error::RequestIdReused)), "{reused:?}");
    assert_eq!(found(store, second.payment_id).await, Found::Payment(second), "nothing was saved");
}

async fn a_tombstone_and_a_payment_exclude_each_other(store: &dyn PaymentStore) {
    let tombstone = |payment: &Payment, keep_until_ms| Tombstone {
        payment_id: payment.payment_id,
        keep_until_ms,
        created_ms: NOW_MS,
    };
    let made = opened(store).await;
    let answer = store.bury(tombstone(&made, None), Uuid::new_v4()).await.unwrap();
    assert_eq!(answer, Found::Payment(made));

    let (kept, passing) = (payment(), payment());
    for (payment, until) in [(&kept, None), (&passing, Some(NOW_MS + 50))] {
        for _ in 0..2 {
            let answer = store.bury(tombstone(payment, until), payment.order_id).await.unwrap();
            assert_eq!(answer, Found::Tombstone);
        }
        assert_eq!(store.open(new(payment), NOW_MS).await.unwrap(), Opened::Undone);
    }
    assert_eq!(store.sweep_tombstones(NOW_MS + 50, 10).await.unwrap(), 0);
    assert_eq!(store.sweep_tombstones(NOW_MS + 51, 10).await.unwrap(), 1);
    assert_eq!(found(store, passing.payment_id).await, Found::Nothing);
    assert_eq!(found(store, kept.payment_id).await, Found::Tombstone);
}

async fn refunds_are_unfinished_until_answered(store: &dyn PaymentStore) {
    let payment = opened(store).await;
    let change = captured(&payment);
    store.save(change.clone(), None, vec![]).await.unwrap();
    let asked = |minor| NewRefund {
        refund: Refund {
            refund_id: Uuid::now_v7(),
            payment_id: payment.payment_id,
            amount: Money::new(minor, Currency::EUR),
            reason: "broken".to_owned(),
            created_ms: NOW_MS,
        },
        request_key: Uuid::new_v4(),
        fingerprint: [3; 32],
    };
    let (given, refused) = (asked(300), asked(400));
    for new in [&given, &refused] {
        assert_eq!(store.begin_refund(new.clone()).await.unwrap(), None);
    }
    let known = store.begin_refund(given.clone()).await.unwrap().unwrap();
    assert_eq!((&known.asked, &known.answer), (&given, &None));
    let unfinished = store.unfinished_refunds(Some(payment.payment_id), 10).await.unwrap();
    assert_eq!(unfinished, [given.clone(), refused.clone()]);
    let oldest = store.unfinished_refunds(None, 1).await.unwrap();
    assert_eq!(oldest, std::slice::from_ref(&given));
    assert!(store.refunds(payment.payment_id).await.unwrap().is_empty());

    let after = change.payment.gave_back(&given.refund, 300, NOW_MS + 2).unwrap();
    store.finish_refund(after.clone(), &given, b"given".to_vec(), vec![]).await.unwrap();
    // Neither from the version before, nor by who has read the payment since.
    let later = after.payment.gave_back(&given.refund, 300, NOW_MS + 3).unwrap();
    for change in [&after, &later] {
        let stale = store.finish_refund(change.clone(), &given, b"again".to_vec(), vec![]).await;
        assert!(matches!(stale, Err(Error::Stale)), "{stale:?}");
    }
    let known = store.refund_of(given.request_key).await.unwrap().unwrap();
    assert_eq!(known.answer.as_deref(), Some(b"given".as_slice()));
    assert_eq!(found(store, payment.payment_id).await, Found::Payment(after.payment));

    store.drop_refund(&refused).await.unwrap();
    store.drop_refund(&given).await.unwrap();
    assert_eq!(store.refund_of(refused.request_key).await.unwrap(), None);
    let refunds = store.refunds(payment.payment_id).await.unwrap();
    assert_eq!(refunds, [given.refund], "what was given stays on the books");
    assert!(store.unfinished_refunds(None, 10).await.unwrap().is_empty());
}

async fn lists_are_filtered_and_in_the_order_of_arrival(store: &dyn PaymentStore) {
    let (first, second) = (opened(store).await, opened(store).await);
    let change = captured(&second);
    store.save(change.clone(), None, vec![]).await.unwrap();
    let list = async |filter: Filter, before| store.list(filter, before, 1).await.unwrap();
    let newest = list(Filter::default(), None).await;
    assert_eq!(newest.payments, std::slice::from_ref(&change.payment));
    let older = list(Filter::default(), newest.next).await;
    assert_eq!(older.payments, std::slice::from_ref(&first));
    assert!(older.next.is_some(), "there are those of the other tests");
    let of_order = Filter { order_id: Some(first.order_id), ..Filter::default() };
    let alone = Page { payments: vec![first.clone()], next: None };
    assert_eq!(list(of_order, None).await, alone);
    let of_user = Filter { user_id: second.user_id, ..Filter::default() };
    assert_eq!(list(of_user.clone(), None).await.payments, [change.payment]);
    let opening = Filter { states: vec![State::Opening, State::Created], ..of_user };
    assert_eq!(list(opening, None).await, Page::default());

    let over = first.given_up(NOW_MS + 2).unwrap();
    store.save(over.clone(), None, vec![]).await.unwrap();
    let cancelled = Filter { states: vec![State::Cancelled], ..Filter::default() };
    assert_eq!(list(cancelled, None).await.payments, [over.payment]);
}

async fn of_equal_calls_at_once_one_is_first(store: &dyn PaymentStore) {
    let new = new(&payment());
    let opened = join_all((0..50).map(|_| store.open(new.clone(), NOW_MS))).await;
    let is_new = |opened: &Opened| *opened == Opened::New;
    let opened: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
    assert_eq!(opened.iter().filter(|opened| is_new(opened)).count(), 1);
    let known = Opened::Known(new.payment.clone());
    assert!(opened.iter().all(|opened| is_new(opened) || *opened == known), "{opened:?}");

    let change = captured(&new.payment);
    let saved = join_all((0..50).map(|_| store.save(change.clone(), None, vec![]))).await;
    assert_eq!(saved.iter().filter(|saved| saved.is_ok()).count(), 1);
    assert!(saved.iter().all(|saved| matches!(saved, Ok(()) | Err(Error::Stale))), "{saved:?}");

    let refund = |_| NewRefund {
        refund: Refund {
            refund_id: Uuid::now_v7(),
            payment_id: new.payment.payment_id,
            amount: Money::new(400, Currency::EUR),
            reason: String::new(),
            created_ms: NOW_MS,
        },
        request_key: new.request_key,
        fingerprint: [4; 32],
    };
    let began = join_all((0..20).map(refund).map(|new| store.begin_refund(new))).await;
    let began: Vec<_> = began.into_iter().map(Result::unwrap).collect();
    assert_eq!(began.iter().filter(|known| known.is_none()).count(), 1);
    let unfinished = store.unfinished_refunds(Some(new.payment.payment_id), 99).await.unwrap();
    assert_eq!(unfinished.len(), 1, "one refund for one request");
    let known = began.into_iter().flatten().map(|known| known.asked);
    assert!(known.into_iter().all(|asked| asked == unfinished[0]));
}
