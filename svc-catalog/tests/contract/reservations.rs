//! Reservations: never oversold, undone from anywhere.

use std::sync::Arc;

use futures::future::join_all;
use souk_catalog::Error;
use souk_catalog::domain::{Hold, Release, State, TOMBSTONE_MARGIN_MS};
use souk_catalog::store::Store;
use souk_catalog::sweeper::sweep;
use uuid::Uuid;

use crate::support::{HOLD_MS, NOW, counts, counts_come_to, hold, key, line, release, stocked};

/// When a hold made at [`NOW`] has run out.
const LATER: i64 = NOW + HOLD_MS;

pub async fn all_lines_are_held_or_none(store: Arc<dyn Store>) {
    let (many, few) = (stocked(store.as_ref(), 10).await, stocked(store.as_ref(), 1).await);
    let wish = hold(vec![line(many, 2), line(few, 2)]);
    let refused = store.reserve(wish, NOW).await;
    assert!(matches!(
        refused,
        Err(Error::SoldOut { product_id, available: 1, requested: 2 }) if product_id == few
    ));
    assert_eq!(counts(store.as_ref(), many).await, (10, 0, 10));
    let held = store.reserve(hold(vec![line(many, 2), line(few, 1)]), NOW).await.unwrap();
    assert_eq!((held.state, held.until_ms), (State::Held, LATER));
    assert_eq!(counts(store.as_ref(), many).await, (10, 2, 8));
    assert_eq!(counts(store.as_ref(), few).await, (1, 1, 0));
}

pub async fn lines_of_many_products_are_sold_and_come_back(store: Arc<dyn Store>) {
    let mut products = Vec::new();
    for _ in 0..3 {
        products.push(stocked(store.as_ref(), 5).await);
    }
    let all = |expected| {
        let (store, products) = (Arc::clone(&store), products.clone());
        async move {
            for id in products {
                counts_come_to(store.as_ref(), id, expected).await;
            }
        }
    };
    let wish = hold(products.iter().map(|id| line(*id, 2)).collect());
    let held = store.reserve(wish.clone(), NOW).await.unwrap();
    assert_eq!(store.reserve(wish.clone(), NOW + 1).await.unwrap(), held);
    assert_eq!((held.lines.clone(), held.version), (wish.lines.clone(), 1));
    all((5, 2, 3)).await;
    let extended = store.extend(held.id, HOLD_MS, NOW + 1).await.unwrap();
    assert_eq!(extended.until_ms, LATER + 1);
    let sold = store.commit(held.id, None, NOW).await.unwrap();
    assert_eq!(store.commit(held.id, None, NOW).await.unwrap(), sold);
    all((3, 0, 3)).await;
    let back = store.release(release(held.id), NOW).await.unwrap();
    assert_eq!(store.release(release(held.id), NOW).await.unwrap(), back);
    assert_eq!((back.state, back.lines), (State::Released, wish.lines.clone()));
    all((5, 0, 5)).await;
    assert!(matches!(store.reserve(wish, NOW).await, Err(Error::Undone(_))));
}

pub async fn buyers_of_the_same_pairs_get_whole_pairs(store: Arc<dyn Store>) {
    let (one, two) = (stocked(store.as_ref(), 30).await, stocked(store.as_ref(), 20).await);
    let buyers = (0..60).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let wish = hold(vec![line(one, 1), line(two, 1)]);
            store.reserve(wish.clone(), NOW).await?;
            store.reserve(wish, NOW).await
        })
    });
    let answers = join_all(buyers).await;
    let held = answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count();
    assert_eq!(held, 20);
    let refused = |product_id| move |answer: &&Result<Result<_, Error>, _>| matches!(answer, Ok(Err(Error::SoldOut { product_id: gone, .. })) if *gone == product_id);
    let refused =
        (answers.iter().filter(refused(one)).count(), answers.iter().filter(refused(two)).count());
    assert_eq!(refused.0 + refused.1, 40, "{answers:?}");
    assert_eq!(counts(store.as_ref(), one).await, (30, 20, 10));
    assert_eq!(counts(store.as_ref(), two).await, (20, 20, 0));
}

pub async fn a_thousand_buyers_of_a_hundred_pieces(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 100).await;
    let buyers = (0..1_000).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let wish = hold(vec![line(id, 1)]);
            let reservation_id = wish.reservation_id;
            store.reserve(wish, NOW).await?;
            store.commit(reservation_id, None, NOW).await
        })
    });
    let answers = join_all(buyers).await;
    let sold = answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count();
    let refused =
        answers.iter().filter(|answer| matches!(answer, Ok(Err(Error::SoldOut { .. })))).count();
    assert_eq!((sold, refused), (100, 900));
    assert_eq!(counts(store.as_ref(), id).await, (0, 0, 0));
}

pub async fn a_repeat_gets_the_same_reservation(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 5).await;
    let wish = Hold { not_after_ms: Some(NOW + 5), ..hold(vec![line(id, 2)]) };
    let held = store.reserve(wish.clone(), NOW).await.unwrap();
    assert_eq!(store.reserve(wish.clone(), NOW + 9).await.unwrap(), held);
    let sold = store.commit(held.id, Some(NOW + 9), NOW + 9).await.unwrap();
    assert_eq!(store.commit(held.id, Some(NOW + 9), NOW + 10).await.unwrap(), sold);
    assert_eq!(store.reserve(wish, NOW + 10).await.unwrap(), sold);
    assert_eq!(counts(store.as_ref(), id).await, (3, 0, 3));
}

pub async fn a_thousand_equal_reserves_hold_once(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 5).await;
    let wish = hold(vec![line(id, 2)]);
    let calls = (0..1_000).map(|_| store.reserve(wish.clone(), NOW));
    let answers: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
    let answers = answers.unwrap();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(counts(store.as_ref(), id).await, (5, 2, 3));
}

pub async fn the_same_id_for_other_lines_is_refused(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 5).await;
    let wish = hold(vec![line(id, 2)]);
    store.reserve(wish.clone(), NOW).await.unwrap();
    let more = Hold { lines: vec![line(id, 3)], ..wish.clone() };
    assert!(matches!(store.reserve(more, NOW).await, Err(Error::ReservationReused(_))));
    let other_order = Hold { order_id: Uuid::new_v4(), ..wish };
    assert!(matches!(store.reserve(other_order, NOW).await, Err(Error::ReservationReused(_))));
    assert_eq!(counts(store.as_ref(), id).await, (5, 2, 3));
}

pub async fn a_late_reserve_is_refused(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 5).await;
    let late = Hold { not_after_ms: Some(NOW - 1), ..hold(vec![line(id, 2)]) };
    assert!(matches!(store.reserve(late, NOW).await, Err(Error::TooLate)));
    let held = store.reserve(hold(vec![line(id, 1)]), NOW).await.unwrap();
    assert!(matches!(store.commit(held.id, Some(NOW - 1), NOW).await, Err(Error::TooLate)));
    assert_eq!(counts(store.as_ref(), id).await, (5, 1, 4));
}

pub async fn a_hold_runs_out_and_its_pieces_are_for_sale(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 2).await;
    let held = store.reserve(hold(vec![line(id, 2)]), NOW).await.unwrap();
    assert_eq!(sweep(store.as_ref(), LATER - 1).await.unwrap(), 0);
    assert_eq!(counts(store.as_ref(), id).await, (2, 2, 0));
    assert_eq!(sweep(store.as_ref(), LATER).await.unwrap(), 1);
    assert_eq!(counts(store.as_ref(), id).await, (2, 0, 2));
    assert_eq!(sweep(store.as_ref(), LATER).await.unwrap(), 0);
    let released = store.release(release(held.id), LATER).await.unwrap();
    assert_eq!(released.state, State::Released);
    assert_eq!(counts(store.as_ref(), id).await, (2, 0, 2));
}

pub async fn an_expired_hold_is_committed_if_it_can_be_had_again(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 2).await;
    let held = store.reserve(hold(vec![line(id, 2)]), NOW).await.unwrap();
    sweep(store.as_ref(), LATER).await.unwrap();
    let sold = store.commit(held.id, None, LATER).await.unwrap();
    assert_eq!(sold.state, State::Committed);
    assert_eq!(counts(store.as_ref(), id).await, (0, 0, 0));
}

pub async fn an_expired_hold_that_was_sold_is_refused(store: Arc<dyn Store>) {
    let (one, two) = (stocked(store.as_ref(), 5).await, stocked(store.as_ref(), 2).await);
    let held = store.reserve(hold(vec![line(one, 1), line(two, 2)]), NOW).await.unwrap();
    sweep(store.as_ref(), LATER).await.unwrap();
    store.reserve(hold(vec![line(two, 1)]), LATER).await.unwrap();
    let is_gone = |error: &Error| matches!(error, Error::ReservationExpired { product_id, available: 1, .. } if *product_id == two);
    assert!(store.commit(held.id, None, LATER).await.is_err_and(|error| is_gone(&error)));
    assert!(store.extend(held.id, 1_000, LATER).await.is_err_and(|error| is_gone(&error)));
    assert_eq!(counts(store.as_ref(), one).await, (5, 0, 5));
    assert_eq!(counts(store.as_ref(), two).await, (2, 1, 1));
}

pub async fn extending_moves_the_end_and_brings_back_what_expired(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 2).await;
    let held = store.reserve(hold(vec![line(id, 2)]), NOW).await.unwrap();
    let extended = store.extend(held.id, HOLD_MS, NOW + 10).await.unwrap();
    assert_eq!(extended.until_ms, LATER + 10);
    assert_eq!(store.extend(held.id, 1, NOW + 10).await.unwrap(), extended);
    assert_eq!(sweep(store.as_ref(), LATER).await.unwrap(), 0);
    assert_eq!(sweep(store.as_ref(), LATER + 10).await.unwrap(), 1);
    let back = store.extend(held.id, 1_000, LATER + 10).await.unwrap();
    assert_eq!((back.state, back.until_ms), (State::Held, LATER + 1_010));
    assert_eq!(counts(store.as_ref(), id).await, (2, 2, 0));
    store.commit(held.id, None, LATER + 20).await.unwrap();
    let refused = store.extend(held.id, 1_000, LATER + 20).await;
    assert!(matches!(refused, Err(Error::ReservationCommitted(_))));
    let unknown = store.extend(Uuid::new_v4(), 1_000, NOW).await;
    assert!(matches!(unknown, Err(Error::ReservationNotFound(_))));
}

pub async fn release_works_from_every_state(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 9).await;
    let held = store.reserve(hold(vec![line(id, 3)]), NOW).await.unwrap();
    let sold = store.reserve(hold(vec![line(id, 4)]), NOW).await.unwrap();
    store.commit(sold.id, None, NOW).await.unwrap();
    assert_eq!(counts(store.as_ref(), id).await, (5, 3, 2));

    let freed = store.release(release(held.id), NOW).await.unwrap();
    assert_eq!(store.release(release(held.id), NOW).await.unwrap(), freed);
    assert_eq!(counts(store.as_ref(), id).await, (5, 0, 5));
    let restocked = store.release(release(sold.id), NOW).await.unwrap();
    assert_eq!(store.release(release(sold.id), NOW).await.unwrap(), restocked);
    assert_eq!(counts(store.as_ref(), id).await, (9, 0, 9));

    for undone in [held.id, sold.id] {
        assert!(matches!(store.commit(undone, None, NOW).await, Err(Error::Undone(_))));
        assert!(matches!(store.extend(undone, 1_000, NOW).await, Err(Error::Undone(_))));
    }
    let full = key("AdjustInventory");
    let room = souk_catalog::domain::MAX_ON_HAND - 9;
    let last = store.reserve(hold(vec![line(id, 2)]), NOW).await.unwrap();
    store.commit(last.id, None, NOW).await.unwrap();
    store.adjust_inventory(id, room + 2, full, NOW).await.unwrap();
    store.release(release(last.id), NOW).await.unwrap();
    let over = souk_catalog::domain::MAX_ON_HAND + 2;
    assert_eq!(counts(store.as_ref(), id).await, (over, 0, over));
}

pub async fn a_tombstone_refuses_the_late_reserve_until_it_may_go(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 5).await;
    let wish = Hold { not_after_ms: Some(NOW + 100), ..hold(vec![line(id, 1)]) };
    let undo = Release { undoes_not_after_ms: Some(NOW + 100), ..release(wish.reservation_id) };
    let stone = store.release(undo, NOW).await.unwrap();
    assert_eq!(stone.state, State::Undone);
    assert!(matches!(store.reserve(wish.clone(), NOW + 50).await, Err(Error::Undone(_))));
    assert!(matches!(store.commit(stone.id, None, NOW).await, Err(Error::Undone(_))));

    let last_moment = NOW + 100 + TOMBSTONE_MARGIN_MS;
    assert_eq!(store.forget_tombstones(last_moment - 1, 9).await.unwrap(), 0);
    assert!(matches!(store.reserve(wish.clone(), NOW + 50).await, Err(Error::Undone(_))));
    assert_eq!(store.forget_tombstones(last_moment, 9).await.unwrap(), 1);
    assert!(matches!(store.reserve(wish.clone(), last_moment).await, Err(Error::TooLate)));

    // An undo that does not say when the do dies leaves a tombstone for ever.
    store.release(release(wish.reservation_id), last_moment).await.unwrap();
    assert_eq!(store.forget_tombstones(i64::MAX - 1, 9).await.unwrap(), 0);
    assert_eq!(counts(store.as_ref(), id).await, (5, 0, 5));
}

pub async fn the_sweeper_takes_the_oldest_first_and_in_pages(store: Arc<dyn Store>) {
    let id = stocked(store.as_ref(), 300).await;
    for at in 0..150 {
        let wish = Hold { hold_ms: 1_000 - at, ..hold(vec![line(id, 1)]) };
        store.reserve(wish, NOW).await.unwrap();
    }
    assert_eq!(store.expire_holds(NOW + 900, 10).await.unwrap(), 10);
    assert_eq!(counts(store.as_ref(), id).await, (300, 140, 160));
    assert_eq!(sweep(store.as_ref(), NOW + 1_000).await.unwrap(), 140);
    assert_eq!(counts(store.as_ref(), id).await, (300, 0, 300));
}
