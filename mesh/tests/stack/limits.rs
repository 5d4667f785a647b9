//! What is too much: messages, calls at once, handlers that break, services that are not there.

use std::sync::Arc;

use souk_mesh::error::{reason_of, retry_after_of};
use souk_mesh::identity::Role;
use souk_mesh::server::Limits;
use souk_proto::catalog::v1::ImportProductsRequest;
use souk_proto::search::v1::SearchRequest;
use souk_proto::search::v1::search_service_client::SearchServiceClient;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;
use tonic::Code;
use uuid::Uuid;

use crate::stack::support::{Shop, Stub, Way, both_ways, inventory, name, product, with_token};

both_ways!(
    a_message_of_ten_megabytes_is_refused,
    past_its_limit_a_service_refuses_at_once_and_says_when_to_come_back,
    a_handler_that_panics_harms_only_its_own_call,
    a_stream_that_panics_ends_with_an_error,
    a_service_that_is_not_bound_is_unavailable,
);

async fn a_message_of_ten_megabytes_is_refused(way: Way) {
    let shop = Shop::open(way, Stub::new()).await;
    let staff = shop.token(&Uuid::now_v7(), Role::Staff);
    let import = ImportProductsRequest {
        request_id: Uuid::now_v7().to_string(),
        content: vec![b' '; 10 * 1_024 * 1_024].into(),
    };
    let error = shop.catalog().import_products(with_token(import, &staff)).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert_eq!(reason_of(&error).as_deref(), Some("MESSAGE_TOO_LARGE"));
    assert!(shop.catalog().get_product(product()).await.is_ok(), "the connection is still good");
}

async fn past_its_limit_a_service_refuses_at_once_and_says_when_to_come_back(way: Way) {
    let gate = Arc::new(Semaphore::new(0));
    let (entered, mut enters) = tokio::sync::mpsc::unbounded_channel();
    let waits = Arc::clone(&gate);
    let stub = Stub::new().get_product(move |_| {
        entered.send(()).unwrap();
        let waits = Arc::clone(&waits);
        async move {
            let _permit = waits.acquire().await.unwrap();
            Ok(String::from("let through"))
        }
    });
    let shop = Shop::limited(way, stub, Limits { max_calls: 1, max_streams: 1 }).await;
    let mut first = shop.catalog();
    let first = tokio::spawn(async move { first.get_product(product()).await });
    enters.recv().await.unwrap();

    let error = shop.catalog().get_product(product()).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(reason_of(&error).as_deref(), Some("OVERLOADED"));
    assert!(retry_after_of(&error).is_some());
    // A stream has places of its own, and keeps its place while it is open.
    let open = shop.catalog().watch_inventory(inventory()).await.unwrap();
    assert!(shop.catalog().watch_inventory(inventory()).await.is_err());

    gate.add_permits(1);
    assert_eq!(name(first.await.unwrap().unwrap()), "let through");
    assert!(shop.catalog().get_product(product()).await.is_ok());
    drop(open);
}

async fn a_handler_that_panics_harms_only_its_own_call(way: Way) {
    let stub = Stub::new().get_product(|request| async move {
        assert!(request.metadata().get("break").is_none(), "secret of the inside");
        Ok(String::from("whole"))
    });
    let shop = Shop::open(way, stub).await;
    let mut breaking = tonic::Request::new(product());
    breaking.metadata_mut().insert("break", "now".parse().unwrap());
    let error = shop.catalog().get_product(breaking).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert_eq!(reason_of(&error).as_deref(), Some("INTERNAL_ERROR"));
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert_eq!(name(shop.catalog().get_product(product()).await.unwrap()), "whole");
}

async fn a_stream_that_panics_ends_with_an_error(way: Way) {
    let stub = Stub::new().watch(|| {
        futures::stream::iter([1, 2]).then(|n| async move {
            // What is ready at once leaves at once: the first item must not wait for the second.
            tokio::task::yield_now().await;
            assert!(n < 2, "the second item breaks");
            Ok(())
        })
    });
    let shop = Shop::open(way, stub).await;
    let mut stream = shop.catalog().watch_inventory(inventory()).await.unwrap().into_inner();
    stream.next().await.unwrap().unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(reason_of(&error).as_deref(), Some("INTERNAL_ERROR"));
    assert!(shop.catalog().get_product(product()).await.is_ok());
}

async fn a_service_that_is_not_bound_is_unavailable(way: Way) {
    let shop = Shop::open(way, Stub::new()).await;
    let mut search = SearchServiceClient::new(shop.client.directory.channel("search"));
    let error = search.search(SearchRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(reason_of(&error).as_deref(), Some("NOT_BOUND"));
    assert!(retry_after_of(&error).is_some());

    // Bound to a port that nobody listens on.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    shop.client.directory.bind_remote("search", vec![format!("http://{unused}").parse().unwrap()]);
    let error = search.search(SearchRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(reason_of(&error).as_deref(), Some("UNREACHABLE"));
}
