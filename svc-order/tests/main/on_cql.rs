//! Several processes of svc-order on one keyspace: whichever is asked, the shop is one.

use futures::future::join_all;
use souk_mesh::config::Sources;
use souk_mesh::cql;
use souk_order::Config;
use souk_order::config::Store;
use souk_proto::order::v1::{
    CancelOrderRequest, GetOrderRequest, ListOrdersRequest, OrderState, Placement,
};
use tonic::Code;

use crate::shop::{Person, Shop, append, config, new_id, refused, wish};

/// Two processes, if there is a server.
async fn two() -> Option<[Shop; 2]> {
    let cql = cql::Config::for_tests(souk_backends::cql_for_tests()?);
    let config = Config { store: Store::Cql, cql, ..config() };
    let one = Shop::open_with(config.clone()).await;
    let other = one.beside(config).await;
    Some([one, other])
}

async fn listed(shop: &Shop, who: &Person, state: OrderState) -> Vec<String> {
    let request = ListOrdersRequest { state: state.into(), ..ListOrdersRequest::default() };
    let page = shop.client().list_orders(who.says(request)).await.unwrap().into_inner();
    page.orders.into_iter().map(|order| order.order_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_are_one_shop() {
    let Some(shops) = two().await else { return };
    equal_requests_to_both_are_one_order(&shops).await;
    what_one_does_the_other_shows(&shops).await;
    what_one_could_not_start_the_other_starts(&shops).await;
}

async fn equal_requests_to_both_are_one_order(shops: &[Shop; 2]) {
    let mara = shops[0].customer();
    let request = wish(shops[0].neighbours.catalog.sell(250, 10_000), 1, 250);
    let calls = (0..100).map(|number| shops[number % 2].place(&mara, request.clone()));
    let answers = join_all(calls).await;
    let first = answers[0].as_ref().unwrap();
    assert_eq!(first.placement(), Placement::Placed);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    let order_id = first.order.as_ref().unwrap().order_id.clone();
    for shop in shops {
        assert_eq!(listed(shop, &mara, OrderState::Pending).await, std::slice::from_ref(&order_id));
    }
}

async fn what_one_does_the_other_shows(shops: &[Shop; 2]) {
    let [one, other] = shops;
    let (mara, zoe) = (one.customer(), one.customer());
    let placed = one.placed(&mara).await;
    let processing = append(&placed, OrderState::Processing);
    other.orchestrator().append_order_event(processing.clone()).await.unwrap();
    let repeat = one.orchestrator().append_order_event(processing).await.unwrap().into_inner();
    assert_eq!(repeat.order.unwrap().version, 2);
    let cancel = CancelOrderRequest {
        request_id: new_id(),
        order_id: placed.order_id.clone(),
        reason: "changed my mind".into(),
    };
    one.client().cancel_order(mara.says(cancel)).await.unwrap();
    let cancelled = listed(other, &mara, OrderState::Cancelled).await;
    assert_eq!(cancelled, std::slice::from_ref(&placed.order_id));
    assert!(listed(other, &mara, OrderState::Pending).await.is_empty());
    let late = append(&placed, OrderState::Processing);
    let late = other.orchestrator().append_order_event(late).await;
    refused(late, Code::FailedPrecondition, "ORDER_CANCELLED");
    let get = GetOrderRequest { order_id: placed.order_id };
    let found = other.client().get_order(mara.says(get.clone())).await.unwrap().into_inner();
    assert_eq!(found.order.unwrap().cancel_message, "changed my mind");
    refused(other.client().get_order(zoe.says(get)).await, Code::PermissionDenied, "NOT_YOURS");
}

async fn what_one_could_not_start_the_other_starts(shops: &[Shop; 2]) {
    let [one, other] = shops;
    let workflows = &one.neighbours.workflows;
    let mara = one.customer();
    let request = wish(one.neighbours.catalog.sell(250, 10), 1, 250);
    let running = workflows.started().len();
    *workflows.away.lock() = true;
    let pending = one.place(&mara, request.clone()).await.unwrap();
    assert_eq!(pending.placement(), Placement::Pending);
    *workflows.away.lock() = false;
    one.clock.advance_ms(config().start_grace_ms + 1);
    workflows.wait_for(running + 1).await;
    let order_id = pending.order.unwrap().order_id;
    assert!(workflows.started().contains(&format!("order/{order_id}")));
    assert_eq!(workflows.input(&order_id)["payment_token"], "tok_visa");
    let placed = other.place(&mara, request).await.unwrap();
    assert_eq!(placed.placement(), Placement::Placed);
    assert_eq!(placed.order.unwrap().order_id, order_id);
}

#[test]
fn orders_are_kept_in_sqlite_unless_cql_is_named() {
    let load = |flags: &[(&str, &str)]| -> Result<Config, String> {
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let sources = Sources { flags: flags.collect(), ..Sources::default() };
        sources.load().map_err(|error| error.to_string())
    };
    assert_eq!(load(&[]).unwrap().store, Store::Sqlite);
    let config = load(&[("store", "cql"), ("cql.keyspace_prefix", "bazaar")]).unwrap();
    assert_eq!(config.store, Store::Cql);
    assert_eq!(config.cql.keyspace_prefix, "bazaar");
    assert!(load(&[("store", "mongo")]).unwrap_err().contains("store"));
}
