//! Orders whose workflow was not started: a crash between record and start, an orchestrator away.

use std::sync::atomic::Ordering;

use souk_order::Config;
use souk_proto::order::v1::{CancelOrderRequest, Placement};

use crate::shop::{Shop, alone, new_id, on_each_store, wish};

on_each_store!(
    of_config:
    a_start_that_got_lost_is_made_up_for_after_a_restart,
    the_sweeper_starts_what_is_lost_and_nothing_else,
);

async fn a_start_that_got_lost_is_made_up_for_after_a_restart(config: Config) {
    let shop = Shop::open_with(alone(config.clone())).await;
    let mara = shop.customer();
    let tea = shop.neighbours.catalog.sell(250, 5);
    // The record is durable, the start never arrives: as after kill -9 between the two.
    *shop.neighbours.workflows.away.lock() = true;
    let request = wish(tea, 1, 250);
    let pending = shop.place(&mara, request.clone()).await.unwrap();
    assert_eq!(pending.placement(), Placement::Pending);
    assert!(shop.neighbours.workflows.started().is_empty());

    let order_id = pending.order.unwrap().order_id;
    *shop.neighbours.workflows.away.lock() = false;
    shop.clock.advance_ms(config.start_grace_ms + 1);
    let shop = shop.restart().await;
    shop.neighbours.workflows.wait_for(1).await;
    assert_eq!(shop.neighbours.workflows.started(), [format!("order/{order_id}")]);
    assert_eq!(shop.neighbours.workflows.input(&order_id)["payment_token"], "tok_visa");
    let placed = shop.place(&mara, request).await.unwrap();
    assert_eq!(placed.placement(), Placement::Placed);
    assert_eq!(placed.order.unwrap().order_id, order_id);
}

async fn the_sweeper_starts_what_is_lost_and_nothing_else(config: Config) {
    // No sweeps but those that the test asks for by restarting.
    let quiet = Config { sweep_every_ms: 3_600_000, ..alone(config) };
    let shop = Shop::open_with(quiet.clone()).await;
    let mara = shop.customer();
    let running = shop.placed(&mara).await;
    *shop.neighbours.workflows.away.lock() = true;
    let lost = shop.placed(&mara).await;
    let cancelled = shop.placed(&mara).await;
    let cancel = CancelOrderRequest {
        request_id: new_id(),
        order_id: cancelled.order_id,
        ..CancelOrderRequest::default()
    };
    shop.client().cancel_order(mara.says(cancel)).await.unwrap();
    shop.clock.advance_ms(quiet.start_grace_ms + 1);
    let young = shop.placed(&mara).await;
    *shop.neighbours.workflows.away.lock() = false;

    let before = shop.neighbours.workflows.starts.load(Ordering::SeqCst);
    let shop = shop.restart().await;
    shop.neighbours.workflows.wait_for(2).await;
    // The drain of the restart waits for the sweep: whatever it starts, it has started.
    let shop = shop.restart().await;
    let ids = [running, lost].map(|order| format!("order/{}", order.order_id));
    assert_eq!(shop.neighbours.workflows.started(), ids);
    assert!(!ids.contains(&format!("order/{}", young.order_id)));
    let after = shop.neighbours.workflows.starts.load(Ordering::SeqCst);
    assert_eq!(after - before, 1, "a start that was noted is not repeated");
}
