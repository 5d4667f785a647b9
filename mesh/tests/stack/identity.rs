//! Who calls, and whether they may.

use std::time::Duration;

use souk_mesh::error::{metadata_of, reason_of};
use souk_mesh::identity::{Caller, Role};
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::order::v1::{GetInvoiceRequest, ShipOrderRequest};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::stack::support::{Shop, Stub, Way, both_ways, name, order, product, with_token};

both_ways!(
    a_service_shows_itself_by_its_name,
    a_user_is_who_their_token_says_also_through_a_service,
    who_forwards_for_nobody_is_nobody,
    a_bad_token_is_refused_even_where_none_is_needed,
    the_contract_says_who_may_call,
    what_is_not_built_or_not_known_says_so,
);

/// `GetProduct` answers with its caller's subject.
fn who() -> Stub {
    Stub::new().get_product(|request| async move { Ok(Caller::of(&request).subject.to_string()) })
}

fn refused(error: &Status) -> (Code, Option<String>) {
    (error.code(), reason_of(error))
}

async fn a_service_shows_itself_by_its_name(way: Way) {
    let shop = Shop::open(way, who()).await;
    assert_eq!(name(shop.catalog().get_product(product()).await.unwrap()), "service:shop");
    let order = shop.client.for_service("order").directory.channel("catalog");
    let mut catalog = CatalogServiceClient::new(order);
    // Twice: over sockets the second call uses the same token.
    for _ in 0..2 {
        assert_eq!(name(catalog.get_product(product()).await.unwrap()), "service:order");
    }
}

async fn a_user_is_who_their_token_says_also_through_a_service(way: Way) {
    let shop = Shop::open(way, who()).await;
    let user = Uuid::now_v7();
    let request = with_token(product(), &shop.token(&user, Role::Customer));
    assert_eq!(name(shop.catalog().get_product(request).await.unwrap()), user.to_string());
}

async fn who_forwards_for_nobody_is_nobody(way: Way) {
    let shop = Shop::open(way, who()).await;
    let edge = shop.client.directory.forwarding_channel("catalog");
    assert_eq!(name(CatalogServiceClient::new(edge).get_product(product()).await.unwrap()), "");
    let refusal = shop.forwarding_order().get_order(order()).await.unwrap_err();
    assert_eq!(refused(&refusal), (Code::Unauthenticated, Some("NO_CREDENTIALS".into())));
}

async fn a_bad_token_is_refused_even_where_none_is_needed(way: Way) {
    let shop = Shop::open(way, who()).await;
    let stranger = souk_mesh::identity::Keys::generate().unwrap();
    let now_ms = shop.server.clock.now_ms();
    let sign = |keys: &souk_mesh::identity::Keys, ttl_s, now_ms| {
        let subject = Uuid::now_v7().to_string();
        keys.signer.sign(&subject, Role::Staff, Duration::from_secs(ttl_s), now_ms).unwrap()
    };
    let expired = sign(&shop.server.keys, 60, now_ms - 120_000);
    let early = sign(&shop.server.keys, 600, now_ms + 120_000);
    let foreign = sign(&stranger, 60, now_ms);
    for token in [expired.as_str(), &early, &foreign, "nonsense", ""] {
        let error = shop.catalog().get_product(with_token(product(), token)).await.unwrap_err();
        assert_eq!(refused(&error), (Code::Unauthenticated, Some("BAD_CREDENTIALS".into())));
    }
    let mut basic = Request::new(product());
    basic.metadata_mut().insert("authorization", "Basic dTpw".parse().unwrap());
    let error = shop.catalog().get_product(basic).await.unwrap_err();
    assert_eq!(reason_of(&error).as_deref(), Some("BAD_CREDENTIALS"));
}

async fn the_contract_says_who_may_call(way: Way) {
    let shop = Shop::open(way, Stub::new()).await;
    let mut order_client = shop.forwarding_order();
    // GetOrder is for customers, staff and services.
    for role in [Role::Customer, Role::Staff] {
        let token = shop.token(&Uuid::now_v7(), role);
        order_client.get_order(with_token(order(), &token)).await.unwrap();
    }
    // ShipOrder is for staff and services.
    let ship = ShipOrderRequest {
        request_id: Uuid::now_v7().to_string(),
        order_id: Uuid::now_v7().to_string(),
        ..ShipOrderRequest::default()
    };
    let error = order_client.ship_order(with_token(ship, &shop.customer())).await.unwrap_err();
    assert_eq!(refused(&error), (Code::PermissionDenied, Some("ROLE_REQUIRED".into())));
    assert_eq!(metadata_of(&error, "roles").as_deref(), Some("staff,service"));
}

async fn what_is_not_built_or_not_known_says_so(way: Way) {
    let shop = Shop::open(way, Stub::new()).await;
    let invoice = GetInvoiceRequest { order_id: Uuid::now_v7().to_string() };
    let request = with_token(invoice, &shop.customer());
    let error = shop.forwarding_order().get_invoice(request).await.unwrap_err();
    assert_eq!(refused(&error), (Code::Unimplemented, Some("NOT_BUILT".into())));
    assert!(error.message().contains("/souk.order.v1.OrderService/GetInvoice"));

    let mut raw = tonic::client::Grpc::new(shop.client.directory.channel("order"));
    raw.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/souk.order.v1.OrderService/Nonsense");
    let codec = tonic_prost::ProstCodec::<_, ()>::default();
    let error = raw.unary(Request::new(product()), path, codec).await.unwrap_err();
    assert_eq!(refused(&error), (Code::Unimplemented, Some("UNKNOWN_METHOD".into())));
}
