//! Stock on CQL with several processes at once, and with calls that are broken off anywhere.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::future::join_all;
use souk_catalog::Error;
use souk_catalog::domain::State;
use souk_catalog::store::Store;
use uuid::Uuid;

use crate::support::cql::{apart, swept};
use crate::support::{HOLD_MS, NOW, counts, counts_come_to, hold, line, release, stocked};

const BUYERS: usize = 200;
const PIECES: i64 = 70;
/// Steps after which a call is broken off: more than any call here has.
const LAST_STEP: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_sell_exactly_what_there_is() {
    let (Some(one), Some(two)) = (apart().await, apart().await) else { return };
    let stores = [one.store(), two.store()];
    let id = stocked(stores[0].as_ref(), PIECES).await;
    let buyers = (0..BUYERS).map(|buyer| {
        let store = Arc::clone(&stores[buyer % 2]);
        tokio::spawn(async move {
            let wish = hold(vec![line(id, 1)]);
            // As callers do: a store that is too busy is asked again, for the same.
            loop {
                match store.reserve(wish.clone(), NOW).await {
                    Err(Error::Contended(_) | Error::Cql(_)) => {}
                    other => return other,
                }
            }
        })
    });
    let answers = join_all(buyers).await;
    let held = answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count();
    let sold_out =
        answers.iter().filter(|answer| matches!(answer, Ok(Err(Error::SoldOut { .. })))).count();
    assert_eq!((held as i64, sold_out as i64), (PIECES, BUYERS as i64 - PIECES));
    assert_eq!(counts(stores[1].as_ref(), id).await, (PIECES, PIECES, 0));
}

/// Lets a call go on until it has waited `steps` times, and breaks it off there.
async fn broken_off<T>(call: impl Future<Output = T>, steps: usize) -> Option<T> {
    let mut call = pin!(call);
    let mut waited = 0;
    std::future::poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if waited == steps => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_broken_off_is_finished_by_its_repeat_in_another_process() {
    let (Some(one), Some(two)) = (apart().await, apart().await) else { return };
    let (dies, lives) = (one.store(), two.store());
    let mut products: Vec<Uuid> = Vec::new();
    for _ in 0..3 {
        products.push(stocked(lives.as_ref(), 5).await);
    }
    let all = async |expected| {
        for id in &products {
            counts_come_to(lives.as_ref(), *id, expected).await;
        }
    };
    for steps in 0..LAST_STEP {
        let wish = hold(products.iter().map(|id| line(*id, 2)).collect());
        let id = wish.reservation_id;
        let reserved = broken_off(dies.reserve(wish.clone(), NOW), steps).await;
        assert_eq!(lives.reserve(wish, NOW).await.unwrap().state, State::Held);
        all((5, 2, 3)).await;
        broken_off(dies.commit(id, None, NOW), steps).await;
        assert_eq!(lives.commit(id, None, NOW).await.unwrap().state, State::Committed);
        all((3, 0, 3)).await;
        broken_off(dies.release(release(id), NOW), steps).await;
        assert_eq!(lives.release(release(id), NOW).await.unwrap().state, State::Released);
        all((5, 0, 5)).await;
        if reserved.is_some() {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broken_off_reserve_holds_is_freed_by_the_sweeper_or_by_its_undo() {
    let Some(cql) = swept().await else { return };
    let store = cql.store();
    let (one, two) = (stocked(store.as_ref(), 5).await, stocked(store.as_ref(), 5).await);
    for steps in 0..LAST_STEP {
        let wish = hold(vec![line(one, 2), line(two, 2)]);
        let id = wish.reservation_id;
        let reserved = broken_off(store.reserve(wish, NOW), steps).await;
        if steps % 2 == 0 {
            store.release(release(id), NOW).await.unwrap();
        } else {
            store.expire_holds(NOW + HOLD_MS, 100).await.unwrap();
        }
        assert_eq!(counts(store.as_ref(), one).await, (5, 0, 5), "broken off at {steps}");
        assert_eq!(counts(store.as_ref(), two).await, (5, 0, 5), "broken off at {steps}");
        if reserved.is_some() {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_beside_an_undo_that_was_broken_off_is_undone_by_its_repeat() {
    let (Some(one), Some(two)) = (apart().await, apart().await) else { return };
    let (sells, dies) = (one.store(), two.store());
    let products =
        [stocked(sells.as_ref(), 5).await, stocked(sells.as_ref(), 5).await].map(|id| line(id, 2));
    for steps in 0..LAST_STEP {
        let held = sells.reserve(hold(products.to_vec()), NOW).await.unwrap();
        let undone = broken_off(dies.release(release(held.id), NOW), steps).await;
        let sold = sells.commit(held.id, None, NOW).await;
        let is_refused = matches!(sold, Err(Error::Undone(_)));
        assert!(is_refused || (undone.is_none() && sold.is_ok()), "{sold:?}");
        assert_eq!(dies.release(release(held.id), NOW).await.unwrap().state, State::Released);
        assert!(matches!(sells.commit(held.id, None, NOW).await, Err(Error::Undone(_))));
        for line in products {
            assert_eq!(counts(sells.as_ref(), line.product_id).await, (5, 0, 5));
        }
        if undone.is_some() {
            break;
        }
    }
}
