//! What the shop refuses, and how: the right code, a reason, the fields; and nothing is written.

use souk_mesh::error::reason_of;
use souk_mesh::identity::Role;
use souk_proto::google::r#type::Money;
use souk_proto::order::v1::{
    AppendOrderEventRequest, CartReference, GetInvoiceRequest, GetOrderRequest, ListOrdersRequest,
    OrderState, PlaceOrderRequest, ShipOrderRequest,
};
use souk_proto::payment::v1::RefundPaymentRequest;
use souk_proto::workflow::v1::ListWorkflowsRequest;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::support::{Caller, Shop, one};

/// More than any message may be.
const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

/// The code and the reason of a refusal, after making sure that the reason is said as everywhere.
fn why(refused: &Status) -> (Code, String) {
    let details = refused.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {refused:?}"));
    assert_eq!(info.domain, "souk");
    assert!(!refused.message().is_empty());
    (refused.code(), info.reason.clone())
}

/// The fields that a refusal complains of.
fn fields(refused: &Status) -> Vec<String> {
    let bad = refused.get_details_bad_request().into_iter();
    bad.flat_map(|bad| bad.field_violations).map(|violation| violation.field).collect()
}

async fn refused(caller: &Caller, request: PlaceOrderRequest) -> Status {
    match caller.place(request).await {
        Err(status) => status,
        Ok(answer) => panic!("not refused: {answer:?}"),
    }
}

#[tokio::test]
async fn orders_that_cannot_be_are_refused_and_leave_no_trace() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let order = || customer.order("tok_visa", &one(&product));
    let expect = |code: Code, reason: &str| (code, reason.to_owned());

    let mut unknown = order();
    unknown.lines[0].product_id = Uuid::new_v4().to_string();
    let status = refused(&customer, unknown).await;
    assert_eq!(why(&status), expect(Code::NotFound, "PRODUCT_NOT_FOUND"));

    let mut empty = order();
    empty.lines.clear();
    empty.cart = Some(CartReference { cart_version: 1 });
    let status = refused(&customer, empty).await;
    assert_eq!(why(&status), expect(Code::FailedPrecondition, "CART_EMPTY"));

    let mut negative = order();
    negative.lines[0].quantity = -1;
    let status = refused(&customer, negative).await;
    assert_eq!(why(&status), expect(Code::InvalidArgument, "INVALID_FIELDS"));
    assert_eq!(fields(&status), ["lines[0].quantity"]);

    let mut many = order();
    many.request_id = "not a uuid".to_owned();
    many.payment_token.clear();
    many.lines[0].quantity = 0;
    many.email = "nobody".to_owned();
    let status = refused(&customer, many).await;
    assert_eq!(why(&status), expect(Code::InvalidArgument, "INVALID_FIELDS"));
    for field in ["request_id", "payment_token", "lines[0].quantity", "email"] {
        assert!(fields(&status).iter().any(|named| named == field), "{field}: {status:?}");
    }

    let mut foreign = order();
    foreign.expected_total = Some(Money { currency_code: "JPY".to_owned(), units: 5, nanos: 0 });
    let status = refused(&customer, foreign).await;
    assert_eq!(why(&status), expect(Code::InvalidArgument, "WRONG_CURRENCY"));

    let mut cheap = order();
    cheap.expected_total.as_mut().unwrap().units -= 1;
    let status = refused(&customer, cheap).await;
    assert_eq!(why(&status), expect(Code::FailedPrecondition, "PRICE_CHANGED"));

    let mut huge = order();
    huge.shipping_address.as_mut().unwrap().line2 = "x".repeat(TEN_MEGABYTES);
    let status = refused(&customer, huge).await;
    assert_eq!(why(&status), expect(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));

    let status = refused(&shop.stranger(), order()).await;
    assert_eq!(why(&status), expect(Code::Unauthenticated, "NO_CREDENTIALS"));
    let forged = Caller::with_token(&shop.edge, "eyJhbGciOiJub25lIn0.e30.");
    let status = refused(&forged, order()).await;
    assert_eq!(why(&status), expect(Code::Unauthenticated, "BAD_CREDENTIALS"));
    let service = Caller::with_token(&shop.edge, &shop.token(Role::Service));
    let status = refused(&service, order()).await;
    assert_eq!(why(&status), expect(Code::PermissionDenied, "ROLE_REQUIRED"));

    let all = ListOrdersRequest::default();
    let orders = shop.staff().orders().list_orders(all).await.unwrap().into_inner().orders;
    assert!(orders.is_empty(), "written: {orders:?}");
    let runs = shop.staff().workflows().list_workflows(ListWorkflowsRequest::default()).await;
    assert!(runs.unwrap().into_inner().workflows.is_empty());
    let stock = customer.stock(&product.product_id).await;
    assert_eq!((Some(stock.available), stock.reserved), (product.available_quantity, 0));
}

#[tokio::test]
async fn an_order_is_its_customers_own() {
    let shop = Shop::start().await;
    let (owner, other) = (shop.customer().await, shop.customer().await);
    let product = owner.product().await;
    let placed = owner.place(owner.order("tok_visa", &one(&product))).await.unwrap();
    let order_id = placed.order.unwrap().order_id;
    owner.until(&order_id, OrderState::Processing).await;
    let not_yours = (Code::PermissionDenied, "NOT_YOURS".to_owned());

    let request = GetOrderRequest { order_id: order_id.clone() };
    let status = other.orders().get_order(request.clone()).await.unwrap_err();
    assert_eq!(why(&status), not_yours);
    assert_eq!(why(&other.cancel(&order_id).await.unwrap_err()), not_yours);
    let request = ListOrdersRequest { user_id: owner.user_id.clone(), ..Default::default() };
    let status = other.orders().list_orders(request).await.unwrap_err();
    assert_eq!(why(&status), not_yours);
    let own = other.orders().list_orders(ListOrdersRequest::default()).await.unwrap();
    assert!(own.into_inner().orders.is_empty());

    assert_eq!(owner.read(&order_id).await.state(), OrderState::Processing, "unharmed");
    let unknown = GetOrderRequest { order_id: Uuid::new_v4().to_string() };
    let status = owner.orders().get_order(unknown).await.unwrap_err();
    assert_eq!(why(&status), (Code::NotFound, "ORDER_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn what_is_not_for_customers_is_not_on_their_port() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let staff = shop.staff();
    let on_edge = staff.by(&shop.edge);
    let not_exposed = (Code::Unimplemented, "NOT_EXPOSED".to_owned());

    let append = AppendOrderEventRequest {
        request_id: Uuid::new_v4().to_string(),
        order_id: Uuid::new_v4().to_string(),
        state: OrderState::Cancelled.into(),
        reason: "TEST".to_owned(),
        ..Default::default()
    };
    let ship = ShipOrderRequest {
        request_id: Uuid::new_v4().to_string(),
        order_id: Uuid::new_v4().to_string(),
        carrier: "Caravan".to_owned(),
        tracking_number: "C-1".to_owned(),
    };
    let refund = RefundPaymentRequest {
        request_id: Uuid::new_v4().to_string(),
        payment_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let list = ListWorkflowsRequest::default();

    // With the right token even.
    let status = on_edge.orders().append_order_event(append.clone()).await.unwrap_err();
    assert_eq!(why(&status), not_exposed);
    let status = on_edge.orders().ship_order(ship.clone()).await.unwrap_err();
    assert_eq!(why(&status), not_exposed);
    let status = on_edge.payments().refund_payment(refund).await.unwrap_err();
    assert_eq!(why(&status), not_exposed);
    let status = on_edge.workflows().list_workflows(list.clone()).await.unwrap_err();
    assert_eq!(why(&status), not_exposed);

    // On the internal port they are: for those who may.
    let status = staff.orders().append_order_event(append).await.unwrap_err();
    assert_eq!(why(&status), (Code::NotFound, "ORDER_NOT_FOUND".to_owned()));
    let status = staff.orders().ship_order(ship.clone()).await.unwrap_err();
    assert_eq!(why(&status), (Code::NotFound, "ORDER_NOT_FOUND".to_owned()));
    staff.workflows().list_workflows(list.clone()).await.unwrap();
    let inside = customer.by(&shop.internal);
    let status = inside.orders().ship_order(ship.clone()).await.unwrap_err();
    assert_eq!(why(&status), (Code::PermissionDenied, "ROLE_REQUIRED".to_owned()));
    let status = inside.workflows().list_workflows(list).await.unwrap_err();
    assert_eq!(why(&status), (Code::PermissionDenied, "ROLE_REQUIRED".to_owned()));
    let stranger = Caller::stranger(&shop.internal);
    let status = stranger.orders().ship_order(ship).await.unwrap_err();
    assert_eq!(why(&status), (Code::Unauthenticated, "NO_CREDENTIALS".to_owned()));
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let request = GetInvoiceRequest { order_id: Uuid::new_v4().to_string() };
    let status = customer.orders().get_invoice(request).await.unwrap_err();
    assert_eq!(why(&status), (Code::Unimplemented, "NOT_BUILT".to_owned()));
    assert_eq!(reason_of(&status).as_deref(), Some("NOT_BUILT"));
}
