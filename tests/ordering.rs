//! From a placed order to the customer's door, or undone to the last cent.

use souk_proto::cart::v1::{AddItemRequest, GetCartRequest};
use souk_proto::order::v1::{
    CartReference, DeliverOrderRequest, OrderState, PlaceOrderRequest, Placement, ShipOrderRequest,
};
use souk_proto::workflow::v1::WorkflowState;
use tonic::Status;
use uuid::Uuid;

use crate::support::{Caller, Shop, eventually, one};

#[tokio::test]
async fn an_order_goes_to_the_customers_door() {
    let shop = Shop::start().await;
    let (customer, staff) = (shop.customer().await, shop.staff());
    let product = customer.product().await;
    let before = customer.stock(&product.product_id).await;

    let answer = customer.place(customer.order("tok_visa", &[(&product, 2)])).await.unwrap();
    assert_eq!(answer.placement(), Placement::Placed, "{answer:?}");
    let order_id = answer.order.unwrap().order_id;
    customer.until(&order_id, OrderState::Processing).await;
    ship_when_paid(&staff, &order_id).await;
    let deliver =
        DeliverOrderRequest { request_id: Uuid::new_v4().to_string(), order_id: order_id.clone() };
    let delivered = staff.orders().deliver_order(deliver).await.unwrap().into_inner();
    assert_eq!(delivered.order.unwrap().state(), OrderState::Delivered);

    eventually("the order's run is complete", async || {
        (staff.run_state(&order_id).await == WorkflowState::Completed).then_some(())
    })
    .await;
    let after = customer.stock(&product.product_id).await;
    assert_eq!((after.on_hand, after.reserved), (before.on_hand - 2, before.reserved));
    let charges = shop.ledger.of(&order_id).await;
    let [charge] = charges.as_slice() else { panic!("one charge: {charges:?}") };
    let total = souk_mesh::money::Money::try_from(product.price.unwrap()).unwrap().minor * 2;
    assert_eq!((charge.captured, charge.refunded), (total, 0));

    let refused = customer.cancel(&order_id).await.unwrap_err();
    assert_eq!(souk_mesh::error::reason_of(&refused).as_deref(), Some("ORDER_DELIVERED"));
}

/// Ships an order as soon as its payment is captured.
async fn ship_when_paid(staff: &Caller, order_id: &str) {
    eventually(&format!("order {order_id} can be shipped"), async || {
        match ship(staff, order_id).await {
            Ok(()) => Some(()),
            Err(status) => {
                let reason = souk_mesh::error::reason_of(&status);
                assert_eq!(reason.as_deref(), Some("ORDER_NOT_PAID"), "{status:?}");
                None
            }
        }
    })
    .await;
}

async fn ship(staff: &Caller, order_id: &str) -> Result<(), Status> {
    let request = ShipOrderRequest {
        request_id: Uuid::new_v4().to_string(),
        order_id: order_id.to_owned(),
        carrier: "Caravan".to_owned(),
        tracking_number: "C-1".to_owned(),
    };
    staff.orders().ship_order(request).await.map(drop)
}

#[tokio::test]
async fn buying_the_cart_empties_it_of_what_was_bought() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let add = AddItemRequest {
        request_id: Uuid::new_v4().to_string(),
        product_id: product.product_id.clone(),
        quantity: 2,
    };
    let cart = customer.carts().add_item(add).await.unwrap().into_inner().cart.unwrap();
    let order = || PlaceOrderRequest {
        lines: Vec::new(),
        cart: Some(CartReference { cart_version: cart.version }),
        ..customer.order("tok_visa", &[(&product, 2)])
    };
    let mut outdated = order();
    outdated.cart = Some(CartReference { cart_version: cart.version + 1 });
    let refused = customer.place(outdated).await.unwrap_err();
    assert_eq!(reason(&refused), "CART_CHANGED");

    let placed = customer.place(order()).await.unwrap();
    assert_eq!(placed.placement(), Placement::Placed, "{placed:?}");
    let lines = placed.order.unwrap().lines;
    assert_eq!((lines.len(), lines[0].quantity), (1, 2));
    assert_eq!(lines[0].product_id, product.product_id);
    eventually("the cart is empty", async || {
        let cart = customer.carts().get_cart(GetCartRequest::default()).await.unwrap().into_inner();
        cart.cart.unwrap().items.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn cancelling_before_shipping_gives_everything_back() {
    let shop = Shop::start().await;
    let customer = shop.customer().await;
    let product = customer.product().await;
    let before = customer.stock(&product.product_id).await;
    let answer = customer.place(customer.order("tok_visa", &[(&product, 2)])).await.unwrap();
    let order_id = answer.order.unwrap().order_id;
    let total = eventually("the payment is captured", async || {
        Some(shop.ledger.net(&order_id).await).filter(|net| *net > 0)
    })
    .await;

    let cancelled = customer.cancel(&order_id).await.unwrap();
    assert_eq!(cancelled.state(), OrderState::Cancelled);
    eventually("the order's run is over", async || {
        let state = shop.staff().run_state(&order_id).await;
        matches!(state, WorkflowState::Failed | WorkflowState::Cancelled).then_some(())
    })
    .await;
    let charges = shop.ledger.of(&order_id).await;
    let [charge] = charges.as_slice() else { panic!("one charge: {charges:?}") };
    assert_eq!((charge.captured, charge.refunded), (total, total), "the money is back");
    let after = customer.stock(&product.product_id).await;
    assert_eq!((after.on_hand, after.reserved), (before.on_hand, 0), "the pieces are back");
    mailed(&shop, &customer.email, "is cancelled").await;
    mailed(&shop, &customer.email, "We have refunded").await;
    assert_eq!(customer.cancel(&order_id).await.unwrap().state(), OrderState::Cancelled);
}

/// Waits for a mail to `recipient` whose subject has `words`.
async fn mailed(shop: &Shop, recipient: &str, words: &str) {
    let folder = shop.data().join("notify/outbox");
    eventually(&format!("{recipient} has mail: {words}"), async || {
        let mails = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut mails = mails.filter(|path| path.extension().is_some_and(|kind| kind == "eml"));
        mails.find(|path| {
            let mail = std::fs::read_to_string(path).unwrap();
            let has = |header: &str, text: &str| {
                mail.lines().any(|line| line.starts_with(header) && line.contains(text))
            };
            has("To:", recipient) && has("Subject:", words)
        })
    })
    .await;
}

/// Orders over which customer and warehouse race.
const RACES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_race_between_shipping_and_cancelling_one_wins() {
    let shop = Shop::start().await;
    let (customer, staff) = (shop.customer().await, shop.staff());
    let product = customer.product().await;
    let before = customer.stock(&product.product_id).await;
    let mut shipped = 0;
    for _ in 0..RACES {
        let answer = customer.place(customer.order("tok_visa", &one(&product))).await.unwrap();
        let order_id = answer.order.unwrap().order_id;
        eventually("the payment is captured", async || {
            (shop.ledger.net(&order_id).await > 0).then_some(())
        })
        .await;
        let (ship, cancel) = tokio::join!(ship(&staff, &order_id), customer.cancel(&order_id));
        let state = customer.read(&order_id).await.state();
        match (ship, cancel) {
            (Ok(()), Err(late)) => {
                assert_eq!(reason(&late), "ORDER_SHIPPED");
                assert_eq!(state, OrderState::Shipped);
                shipped += 1;
            }
            (Err(late), Ok(_)) => {
                // The warehouse may also have come before the capture was on record.
                assert!(["ORDER_CANCELLED", "ORDER_NOT_PAID"].contains(&reason(&late).as_str()));
                assert_eq!(state, OrderState::Cancelled);
            }
            (ship, cancel) => panic!("both or none: {ship:?}, {cancel:?}"),
        }
        let kept = state == OrderState::Shipped;
        eventually("the money is where the order is", async || {
            ((shop.ledger.net(&order_id).await > 0) == kept).then_some(())
        })
        .await;
    }
    eventually("stock is what was not shipped", async || {
        let stock = customer.stock(&product.product_id).await;
        (stock.reserved == 0 && stock.on_hand == before.on_hand - shipped).then_some(())
    })
    .await;
}

fn reason(status: &Status) -> String {
    souk_mesh::error::reason_of(status).unwrap_or_default()
}
