//! The contract of [`PaymentStore`], callable for any form of it.

use souk_mesh::money::{Currency, Money};
use souk_payment::Error;
use souk_payment::domain::{Change, NewRefund, Observed, Payment, Refund, Snapshot, State};
use souk_payment::store::{
    Filter, Found, NewPayment, Opened, PaymentStore, SqliteStore, Tombstone,
};
use tempfile::TempDir;
use uuid::Uuid;

const NOW_MS: i64 = 1_000;

#[tokio::test]
async fn the_sqlite_store_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("payment.sqlite")).unwrap();
    keeps_the_contract(&store).await;
}

/// Checks a new, empty store.
pub(crate) async fn keeps_the_contract(store: &dyn PaymentStore) {
    opening_is_decided_by_ids_tombstones_and_time(store).await;
    a_change_is_saved_once_and_from_the_version_it_starts_from(store).await;
    requests_belong_to_one_payment(store).await;
    a_tombstone_and_a_payment_exclude_each_other(store).await;
    refunds_are_unfinished_until_answered(store).await;
    lists_are_filtered_and_in_the_order_of_arrival(store).await;
}

fn payment() -> Payment {
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
        created_ms: NOW_MS,
        updated_ms: NOW_MS,
    }
}

fn new(payment: &Payment) -> NewPayment {
    NewPayment {
        payment: payment.clone(),
        request_key: Uuid::new_v4(),
        fingerprint: [1; 32],
        not_after_ms: Some(NOW_MS + 10),
    }
}

async fn opened(store: &dyn PaymentStore) -> Payment {
    let payment = payment();
    assert_eq!(store.open(new(&payment), NOW_MS).await.unwrap(), Opened::New);
    payment
}

/// The payment as seen captured.
fn captured(payment: &Payment) -> Change {
    let seen = Snapshot {
        provider_id: "pi_1".to_owned(),
        seen: Observed::Captured,
        amount: payment.amount,
        captured: payment.amount.minor,
        refunded: 0,
        challenge_url: None,
        decline_code: None,
    };
    payment.learn(&seen, NOW_MS + 1).unwrap().unwrap()
}

async fn found(store: &dyn PaymentStore, payment_id: Uuid) -> Found {
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
            refund_id: Uuid::new_v4(),
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
    let id = given.refund.refund_id;
    store.finish_refund(after.clone(), id, b"given".to_vec(), vec![]).await.unwrap();
    let stale = store.finish_refund(after.clone(), id, b"again".to_vec(), vec![]).await;
    assert!(matches!(stale, Err(Error::Stale)), "{stale:?}");
    let known = store.refund_of(given.request_key).await.unwrap().unwrap();
    assert_eq!(known.answer.as_deref(), Some(b"given".as_slice()));
    assert_eq!(found(store, payment.payment_id).await, Found::Payment(after.payment));

    store.drop_refund(refused.refund.refund_id).await.unwrap();
    store.drop_refund(id).await.unwrap();
    assert_eq!(store.refund_of(refused.request_key).await.unwrap(), None);
    let refunds = store.refunds(payment.payment_id).await.unwrap();
    assert_eq!(refunds, [given.refund], "what was given stays on the books");
    assert!(store.unfinished_refunds(None, 10).await.unwrap().is_empty());
}

async fn lists_are_filtered_and_in_the_order_of_arrival(store: &dyn PaymentStore) {
    let (first, second) = (opened(store).await, opened(store).await);
    let change = captured(&second);
    store.save(change.clone(), None, vec![]).await.unwrap();
    let list = async |filter: Filter, before| store.list(filter, before, 2).await.unwrap();
    let newest = list(Filter::default(), None).await;
    let ids: Vec<_> = newest.iter().map(|(_, payment)| payment.payment_id).collect();
    assert_eq!(ids, [second.payment_id, first.payment_id]);
    let older = list(Filter::default(), Some(newest[0].0)).await;
    assert_eq!(older[0].1, first);
    let of_order = Filter { order_id: Some(first.order_id), ..Filter::default() };
    assert_eq!(list(of_order, None).await.len(), 1);
    let of_user = Filter { user_id: second.user_id, ..Filter::default() };
    assert_eq!(list(of_user.clone(), None).await[0].1, change.payment);
    let opening = Filter { states: vec![State::Opening, State::Created], ..of_user };
    assert!(list(opening, None).await.is_empty());
}
