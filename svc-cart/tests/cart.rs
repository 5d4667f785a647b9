//! What customers, and the order's workflow, can do to a cart.

use souk_proto::cart::v1::{
    AddItemRequest, Cart, ClearCartRequest, GetCartRequest, OrderedLine, RemoveItemRequest,
    UpdateItemRequest,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{Shop, assert_refused};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn adding(product_id: Uuid, quantity: i32) -> AddItemRequest {
    AddItemRequest {
        request_id: Uuid::new_v4().to_string(),
        product_id: product_id.to_string(),
        quantity,
    }
}

async fn add(shop: &Shop, user: &Uuid, request: AddItemRequest) -> Result<Cart, Status> {
    let answer = shop.carts.clone().add_item(shop.of(user, request)).await?;
    Ok(answer.into_inner().cart.unwrap())
}

async fn get(shop: &Shop, user: &Uuid) -> Cart {
    let answer = shop.carts.clone().get_cart(shop.of(user, GetCartRequest::default())).await;
    answer.unwrap().into_inner().cart.unwrap()
}

fn total(cart: &Cart) -> Option<(i64, i32, &str)> {
    cart.total.as_ref().map(|money| (money.units, money.nanos, money.currency_code.as_str()))
}

#[tokio::test]
async fn a_cart_shows_the_catalogs_prices_of_now() {
    let (shop, user, teapot) = (Shop::open().await, Uuid::new_v4(), Uuid::new_v4());
    shop.catalog.sell(teapot, 2_550, "EUR");
    let cart = add(&shop, &user, adding(teapot, 2)).await.unwrap();
    assert_eq!(total(&cart), Some((51, 0, "EUR")));
    assert_eq!((cart.items[0].name.as_str(), cart.items[0].available_quantity), ("Teapot", 7));

    shop.catalog.sell(teapot, 1_999, "EUR");
    assert_eq!(total(&get(&shop, &user).await), Some((39, 980_000_000, "EUR")));
    shop.catalog.archive(teapot);
    let cart = get(&shop, &user).await;
    assert_eq!((total(&cart), cart.items[0].unavailable), (None, true));
}

#[tokio::test]
async fn what_is_not_sold_or_costs_another_currency_does_not_come_in() {
    let (shop, user) = (Shop::open().await, Uuid::new_v4());
    let (teapot, dollars) = (Uuid::new_v4(), Uuid::new_v4());
    let unknown = add(&shop, &user, adding(teapot, 1)).await;
    assert_refused(unknown, Code::NotFound, "PRODUCT_NOT_FOUND");
    shop.catalog.sell(teapot, 100, "EUR");
    shop.catalog.sell(dollars, 100, "USD");
    add(&shop, &user, adding(teapot, 1)).await.unwrap();
    let mixed = add(&shop, &user, adding(dollars, 1)).await;
    assert_refused(mixed, Code::FailedPrecondition, "WRONG_CURRENCY");
    for quantity in [0, -1, 1_001] {
        let refused = add(&shop, &user, adding(teapot, quantity)).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    }
    let too_many = add(&shop, &user, adding(teapot, 1_000)).await;
    assert_refused(too_many, Code::FailedPrecondition, "TOO_MANY_PIECES");
    assert_eq!(get(&shop, &user).await.items[0].quantity, 1, "nothing was half done");
}

#[tokio::test]
async fn a_repeat_adds_nothing() {
    let (shop, user, teapot) = (Shop::open().await, Uuid::new_v4(), Uuid::new_v4());
    shop.catalog.sell(teapot, 100, "EUR");
    let request = adding(teapot, 1);
    let asked = (0..20).map(|_| add(&shop, &user, request.clone()));
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.unwrap().items[0].quantity, 1);
    }
    let other = AddItemRequest { quantity: 2, ..request };
    assert_refused(add(&shop, &user, other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn items_change_and_go() {
    let (shop, user, teapot) = (Shop::open().await, Uuid::new_v4(), Uuid::new_v4());
    shop.catalog.sell(teapot, 100, "EUR");
    let cart = add(&shop, &user, adding(teapot, 1)).await.unwrap();
    let item_id = cart.items[0].item_id.clone();
    let change = UpdateItemRequest { item_id: item_id.clone(), quantity: 4, ..Default::default() };
    let changed = shop.carts.clone().update_item(shop.of(&user, change)).await.unwrap();
    let changed = changed.into_inner().cart.unwrap();
    assert_eq!(changed.items[0].quantity, 4);
    assert!(changed.version > cart.version);

    let removal = RemoveItemRequest { item_id: item_id.clone(), ..Default::default() };
    shop.carts.clone().remove_item(shop.of(&user, removal)).await.unwrap();
    assert!(get(&shop, &user).await.items.is_empty());
    let gone = UpdateItemRequest { item_id, quantity: 1, ..Default::default() };
    let answer = shop.carts.clone().update_item(shop.of(&user, gone)).await;
    assert_refused(answer, Code::NotFound, "ITEM_NOT_FOUND");
}

#[tokio::test]
async fn an_order_takes_out_what_it_bought_however_often_it_says_so() {
    let (shop, user, teapot, cup) =
        (Shop::open().await, Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    shop.catalog.sell(teapot, 100, "EUR");
    shop.catalog.sell(cup, 100, "EUR");
    let ordered = add(&shop, &user, adding(teapot, 2)).await.unwrap();
    add(&shop, &user, adding(cup, 1)).await.unwrap();
    let clear = ClearCartRequest {
        request_id: Uuid::new_v4().to_string(),
        user_id: user.to_string(),
        cart_version: ordered.version,
        lines: vec![OrderedLine { product_id: teapot.to_string(), quantity: 2 }],
    };
    for _ in 0..3 {
        shop.carts.clone().clear_cart(shop.of_service(clear.clone())).await.unwrap();
    }
    let left: Vec<_> = get(&shop, &user).await.items.into_iter().map(|i| i.product_id).collect();
    assert_eq!(left, [cup.to_string()]);
}

#[tokio::test]
async fn a_cart_lives_seven_days_from_its_last_change() {
    let (shop, user, teapot) = (Shop::open().await, Uuid::new_v4(), Uuid::new_v4());
    shop.catalog.sell(teapot, 100, "EUR");
    add(&shop, &user, adding(teapot, 1)).await.unwrap();
    shop.clock.advance_ms(6 * DAY_MS);
    add(&shop, &user, adding(teapot, 1)).await.unwrap();
    shop.clock.advance_ms(6 * DAY_MS);
    assert_eq!(get(&shop, &user).await.items[0].quantity, 2);
    shop.clock.advance_ms(DAY_MS);
    assert!(get(&shop, &user).await.items.is_empty());
}

#[tokio::test]
async fn a_cart_is_its_owners_alone() {
    let (shop, user) = (Shop::open().await, Uuid::new_v4());
    let request = GetCartRequest { user_id: user.to_string() };
    let stranger = shop.carts.clone().get_cart(shop.of(&Uuid::new_v4(), request.clone())).await;
    assert_refused(stranger, Code::PermissionDenied, "NOT_YOURS");
    let nobody = shop.carts.clone().get_cart(request.clone()).await;
    assert_refused(nobody, Code::Unauthenticated, "NO_CREDENTIALS");
    assert!(shop.carts.clone().get_cart(shop.of_service(request)).await.is_ok());
    let nameless = shop.carts.clone().get_cart(shop.of_service(GetCartRequest::default())).await;
    assert_refused(nameless, Code::InvalidArgument, "INVALID_FIELDS");
}
