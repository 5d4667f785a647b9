//! GetOrder and ListOrders: one's own, page by page.

use souk_order::Config;
use souk_proto::order::v1::{
    GetOrderRequest, GetTrackingRequest, ListOrdersRequest, ListOrdersResponse, OrderState,
    WatchOrderRequest,
};
use tonic::{Code, Status};

use crate::shop::{Person, Shop, alone, append, new_id, on_each_store, refused};

on_each_store!(an_order_is_shown_to_its_owner_staff_and_services);
on_each_store!(of_config: orders_are_listed_newest_first_page_by_page, staff_find_orders_by_state);

async fn list(
    shop: &Shop,
    who: &Person,
    request: ListOrdersRequest,
) -> Result<ListOrdersResponse, Status> {
    Ok(shop.client().list_orders(who.says(request)).await?.into_inner())
}

fn ids(page: &ListOrdersResponse) -> Vec<String> {
    page.orders.iter().map(|order| order.order_id.clone()).collect()
}

async fn orders_are_listed_newest_first_page_by_page(config: Config) {
    let shop = Shop::open_with(alone(config)).await;
    let (mara, zoe, staff) = (shop.customer(), shop.customer(), shop.staff());
    let mut hers = Vec::new();
    for _ in 0..5 {
        hers.insert(0, shop.placed(&mara).await.order_id);
        shop.placed(&zoe).await;
    }
    let mut found = Vec::new();
    let mut request = ListOrdersRequest { page_size: 2, ..ListOrdersRequest::default() };
    loop {
        let page = list(&shop, &mara, request.clone()).await.unwrap();
        assert!(page.orders.len() <= 2);
        found.extend(ids(&page));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(found, hers);

    let all = list(&shop, &staff, ListOrdersRequest::default()).await.unwrap();
    assert_eq!(all.orders.len(), 10);
    let of_mara = ListOrdersRequest { user_id: mara.user_id.to_string(), ..Default::default() };
    assert_eq!(ids(&list(&shop, &staff, of_mara.clone()).await.unwrap()), hers);
    refused(list(&shop, &zoe, of_mara).await, Code::PermissionDenied, "NOT_YOURS");
    // A token of one list opens no other.
    let first = ListOrdersRequest { page_size: 2, ..ListOrdersRequest::default() };
    let token = list(&shop, &mara, first).await.unwrap().next_page_token;
    let stolen = ListOrdersRequest { page_token: token, ..ListOrdersRequest::default() };
    refused(list(&shop, &zoe, stolen).await, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
}

async fn staff_find_orders_by_state(config: Config) {
    let shop = Shop::open_with(alone(config)).await;
    let (mara, staff) = (shop.customer(), shop.staff());
    let order = shop.placed(&mara).await;
    shop.placed(&mara).await;
    let processing = append(&order, OrderState::Processing);
    shop.orchestrator().append_order_event(processing).await.unwrap();
    let by_state =
        |state: OrderState| ListOrdersRequest { state: state.into(), ..Default::default() };
    let found = list(&shop, &staff, by_state(OrderState::Processing)).await.unwrap();
    assert_eq!(ids(&found), [order.order_id]);
    assert_eq!(found.next_page_token, "");
    let outcome = list(&shop, &staff, by_state(OrderState::Returned)).await;
    refused(outcome, Code::InvalidArgument, "INVALID_FIELDS");
}

async fn an_order_is_shown_to_its_owner_staff_and_services(shop: Shop) {
    let (mara, zoe, staff) = (shop.customer(), shop.customer(), shop.staff());
    let order = shop.placed(&mara).await;
    let read = || GetOrderRequest { order_id: order.order_id.clone() };
    for shown in [
        shop.client().get_order(mara.says(read())).await,
        shop.client().get_order(staff.says(read())).await,
        shop.orchestrator().get_order(read()).await,
    ] {
        assert_eq!(shown.unwrap().into_inner().order.unwrap().order_id, order.order_id);
    }
    let denied = Code::PermissionDenied;
    refused(shop.client().get_order(zoe.says(read())).await, denied, "NOT_YOURS");
    let tracking = GetTrackingRequest { order_id: order.order_id.clone() };
    refused(shop.client().get_tracking(zoe.says(tracking)).await, denied, "NOT_YOURS");
    let watch = WatchOrderRequest { order_id: order.order_id.clone(), ..Default::default() };
    let outcome = shop.client().watch_order(zoe.says(watch)).await.map(drop);
    refused(outcome, denied, "NOT_YOURS");
    refused(shop.client().get_order(read()).await, Code::Unauthenticated, "NO_CREDENTIALS");
    let unknown = mara.says(GetOrderRequest { order_id: new_id() });
    refused(shop.client().get_order(unknown).await, Code::NotFound, "ORDER_NOT_FOUND");
    let malformed = mara.says(GetOrderRequest { order_id: "x".into() });
    refused(shop.client().get_order(malformed).await, Code::InvalidArgument, "INVALID_FIELDS");
}
