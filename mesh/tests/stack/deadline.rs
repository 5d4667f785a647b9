//! Deadlines: obeyed, bounded, passed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use souk_mesh::context::{remaining, with_deadline};
use souk_mesh::error::reason_of;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

use crate::stack::support::{Shop, Stub, Way, both_ways, inventory, name, order, product};

both_ways!(
    a_late_answer_is_not_waited_for_and_its_handler_is_dropped,
    who_does_not_say_waits_five_seconds_and_nobody_waits_longer_than_thirty,
    what_is_left_is_passed_on,
    a_call_that_is_already_late_does_not_reach_its_handler,
    a_stream_has_only_the_deadline_that_its_caller_sets,
    a_stream_that_never_pauses_ends_at_its_deadline_too,
);

async fn a_late_answer_is_not_waited_for_and_its_handler_is_dropped(way: Way) {
    let (dropped, was_dropped) = oneshot::channel::<()>();
    let held = Mutex::new(Some(dropped));
    let stub = Stub::new().get_product(move |_| {
        let held = held.lock().take();
        async move {
            let _held = held;
            std::future::pending().await
        }
    });
    let shop = Shop::open(way, stub).await;
    let mut request = Request::new(product());
    request.set_timeout(Duration::from_millis(500));
    let late = shop.catalog().get_product(request).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(reason_of(&late).as_deref(), Some("DEADLINE_EXCEEDED"));
    assert!(was_dropped.await.is_err(), "the sender is dropped with the handler");
}

async fn who_does_not_say_waits_five_seconds_and_nobody_waits_longer_than_thirty(way: Way) {
    let stub =
        Stub::new().get_product(|_| async { Ok(remaining().unwrap().as_millis().to_string()) });
    let shop = Shop::open(way, stub).await;
    let left = |response| name(response).parse::<u64>().unwrap();
    let default = left(shop.catalog().get_product(product()).await.unwrap());
    assert!((3_000..=5_000).contains(&default), "{default}");
    let mut request = Request::new(product());
    request.set_timeout(Duration::from_secs(3_600));
    let most = left(shop.catalog().get_product(request).await.unwrap());
    assert!((28_000..=30_000).contains(&most), "{most}");
}

async fn what_is_left_is_passed_on(way: Way) {
    let shop_of_handler: Arc<Mutex<Option<CatalogServiceClient<_>>>> = Arc::default();
    let (left, was_left) = std::sync::mpsc::channel();
    let client = Arc::clone(&shop_of_handler);
    let stub = Stub::new()
        .get_order(move |_| {
            let mut catalog = client.lock().clone().unwrap();
            // Whoever wants to wait longer than their own caller does not.
            let mut request = Request::new(product());
            request.set_timeout(Duration::from_secs(20));
            async move { catalog.get_product(request).await.map(|_| ()) }
        })
        .get_product(move |_| {
            left.send(remaining().unwrap()).unwrap();
            async { Ok(String::new()) }
        });
    let shop = Shop::open(way, stub).await;
    *shop_of_handler.lock() = Some(shop.catalog());
    let mut request = crate::stack::support::with_token(order(), &shop.customer());
    request.set_timeout(Duration::from_secs(2));
    shop.forwarding_order().get_order(request).await.unwrap();
    let left = was_left.recv().unwrap();
    assert!(left > Duration::from_secs(1) && left <= Duration::from_secs(2), "{left:?}");
}

async fn a_call_that_is_already_late_does_not_reach_its_handler(way: Way) {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let stub = Stub::new().get_product(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok(String::new()) }
    });
    let shop = Shop::open(way, stub).await;
    let late = with_deadline(Duration::ZERO, shop.catalog().get_product(product())).await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

async fn a_stream_has_only_the_deadline_that_its_caller_sets(way: Way) {
    let (left, was_left) = std::sync::mpsc::channel();
    let stub = Stub::new().watch(move || {
        let left = left.clone();
        let first = futures::stream::once(async move {
            // Seen by the stream itself, which runs after its handler returned.
            left.send(remaining()).unwrap();
            Ok(())
        });
        futures::StreamExt::chain(first, futures::stream::pending())
    });
    let shop = Shop::open(way, stub).await;
    let mut open = shop.catalog().watch_inventory(inventory()).await.unwrap().into_inner();
    open.next().await.unwrap().unwrap();
    assert_eq!(was_left.recv().unwrap(), None);

    let mut request = Request::new(inventory());
    request.set_timeout(Duration::from_millis(500));
    let mut bounded = shop.catalog().watch_inventory(request).await.unwrap().into_inner();
    bounded.next().await.unwrap().unwrap();
    assert!(was_left.recv().unwrap().unwrap() <= Duration::from_millis(500));
    assert_eq!(bounded.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
}

async fn a_stream_that_never_pauses_ends_at_its_deadline_too(way: Way) {
    let stub = Stub::new().watch(|| futures::stream::repeat_with(|| Ok(())));
    let shop = Shop::open(way, stub).await;
    let mut request = Request::new(inventory());
    request.set_timeout(Duration::from_millis(500));
    let mut busy = shop.catalog().watch_inventory(request).await.unwrap().into_inner();
    let end = loop {
        if let Err(end) = busy.next().await.unwrap() {
            break end;
        }
    };
    assert_eq!(end.code(), Code::DeadlineExceeded);
}
