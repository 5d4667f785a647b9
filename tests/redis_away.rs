//! Redis goes and comes back, with carts, sessions and rate limits in it. Orders go on without it, carts and sessions are
//! there again with it, and nobody ever pays another price than the catalog's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use souk_backends::{Part, Redis, there_or_skipped};
use souk_mesh::error::reason_of;
use souk_mesh::money::Money;
use souk_proto::cart::v1::{AddItemRequest, Cart, GetCartRequest};
use souk_proto::catalog::v1::Product;
use souk_proto::order::v1::{CartReference, OrderState, PlaceOrderRequest};
use souk_proto::user::v1::{GetUserRequest, LoginRequest, RefreshTokenRequest, RegisterRequest};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;

use crate::support::{Caller, Shop, Way, eventually, one, pause, until_known};

/// Times that Redis is killed under load.
const KILLS: usize = 3;
/// How long it is away, in milliseconds.
const ABSENCE_MS: u64 = 700;
/// Orders from carts before each kill, and after the last.
const ORDERS_BETWEEN: usize = 6;
/// Customers who order what is in their carts, and other things besides, each after the other.
const SHOPPERS: usize = 6;

/// A shop that keeps in `redis` whatever it can.
async fn shop_on(redis: &Redis) -> Shop {
    let mut settings: Vec<String> = ["cart", "user", "edge"]
        .map(|section| format!("{section}.redis.url={}", redis.url()))
        .into();
    let stores = ["cart.store=redis", "user.sessions=redis", "edge.rate_limits=redis"];
    settings.extend(stores.map(str::to_owned));
    // All customers are at one address, and in a hurry.
    for class in ["credentials", "orders", "writes", "reads"] {
        settings.push(format!("edge.limits.{class}.per_minute=1000000"));
        settings.push(format!("edge.limits.{class}.burst=100000"));
    }
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Shop::with(&settings).await
}

/// A customer with a cart and a session.
struct Shopper {
    way: Way,
    caller: Caller,
    email: String,
    password: String,
    refresh_token: String,
    product: Product,
}

impl Shopper {
    async fn register(way: &Way) -> Self {
        let id = Uuid::new_v4();
        let (email, password) = (format!("{}@souk.example", id.simple()), id.to_string());
        let request = RegisterRequest {
            request_id: id.to_string(),
            email: email.clone(),
            password: password.clone(),
            display_name: "A Shopper".to_owned(),
        };
        let answer = Caller::stranger(way).users().register(request).await.unwrap().into_inner();
        let caller = Caller::with_token(way, &answer.access_token);
        let product = caller.product().await;
        let refresh_token = answer.refresh_token;
        Self { way: way.clone(), caller, email, password, refresh_token, product }
    }

    /// What the pieces in a cart of her product cost by the catalog.
    fn price_of(&self, cart: &Cart) -> Money {
        let pieces: i32 = cart.items.iter().map(|item| item.quantity).sum();
        let price = Money::try_from(self.product.price.as_ref().unwrap()).unwrap();
        price.checked_mul(u32::try_from(pieces).unwrap()).unwrap()
    }

    /// Her cart, which is priced right whenever it can be read.
    async fn cart(&self) -> Cart {
        let read = || async { self.caller.carts().get_cart(GetCartRequest::default()).await };
        let cart = until_known(read).await.unwrap().into_inner().cart.unwrap();
        if let Some(total) = &cart.total {
            assert_eq!(Money::try_from(total).unwrap(), self.price_of(&cart));
        }
        cart
    }

    /// Puts something in her cart, and orders all that is in it: the order's id, unless an earlier order took something
    /// out meanwhile.
    async fn buy(&self) -> Option<String> {
        let adding = AddItemRequest {
            request_id: Uuid::new_v4().to_string(),
            product_id: self.product.product_id.clone(),
            quantity: 1,
        };
        until_known(|| async { self.caller.carts().add_item(adding.clone()).await }).await.unwrap();
        let cart = self.cart().await;
        let expected = self.price_of(&cart);
        let request = PlaceOrderRequest {
            lines: Vec::new(),
            cart: Some(CartReference { cart_version: cart.version }),
            expected_total: Some(expected.into()),
            ..self.caller.order("tok_visa", &one(&self.product))
        };
        match until_known(|| self.caller.place(request.clone())).await {
            Ok(answer) => {
                let order = answer.order.unwrap();
                let total = Money::try_from(order.total.as_ref().unwrap()).unwrap();
                assert_eq!(total, expected, "{order:?}");
                Some(order.order_id)
            }
            Err(status) => {
                let reason = reason_of(&status).unwrap_or_default();
                assert!(["CART_CHANGED", "CART_EMPTY"].contains(&reason.as_str()), "{status:?}");
                None
            }
        }
    }

    /// Orders one piece of her product, whatever is in her cart.
    async fn buy_without_cart(&self) -> String {
        let request = self.caller.order("tok_visa", &one(&self.product));
        let answer = until_known(|| self.caller.place(request.clone())).await.unwrap();
        let order = answer.order.unwrap();
        assert_eq!(order.total.as_ref(), request.expected_total.as_ref(), "{order:?}");
        order.order_id
    }

    /// Stays signed in, by tokens that work once each.
    async fn refresh(&mut self) {
        let request = RefreshTokenRequest {
            refresh_token: self.refresh_token.clone(),
            request_id: Uuid::new_v4().to_string(),
        };
        let users = || Caller::stranger(&self.way).users();
        let renewed = until_known(|| async { users().refresh_token(request.clone()).await });
        let renewed = renewed.await.unwrap().into_inner();
        self.caller = Caller::with_token(&self.way, &renewed.access_token);
        self.refresh_token = renewed.refresh_token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_redis_costs_no_order_no_session_and_no_cent() {
    if !there_or_skipped(Part::Redis) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut redis = Redis::start(folder.path()).unwrap();
    let shop = shop_on(&redis).await;
    let baseline = shop.baseline().await;
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let mut shoppers = JoinSet::new();
    for _ in 0..SHOPPERS {
        let mut shopper = Shopper::register(&shop.edge).await;
        let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
        shoppers.spawn(async move {
            let mut bought = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                if let Some(order_id) = shopper.buy().await {
                    bought.push(order_id);
                    count.fetch_add(1, Ordering::SeqCst);
                }
                bought.push(shopper.buy_without_cart().await);
                shopper.refresh().await;
            }
            (shopper, bought)
        });
    }
    let more_are_bought = async || {
        let enough = count.load(Ordering::SeqCst) + ORDERS_BETWEEN;
        let bought = async || (count.load(Ordering::SeqCst) >= enough).then_some(());
        eventually("more carts are ordered", bought).await;
    };
    for _ in 0..KILLS {
        more_are_bought().await;
        redis.kill().unwrap();
        pause(ABSENCE_MS).await;
        redis.start_again().unwrap();
    }
    more_are_bought().await;
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for (mut shopper, bought) in shoppers.join_all().await {
        acknowledged.extend(bought);
        // Everything works again, for those who were there all the time.
        shopper.refresh().await;
        acknowledged.push(eventually("a cart is ordered", async || shopper.buy().await).await);
    }
    shop.settle(&baseline, &acknowledged).await;
}

#[tokio::test]
async fn without_redis_who_is_signed_in_orders_and_pays() {
    if !there_or_skipped(Part::Redis) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut redis = Redis::start(folder.path()).unwrap();
    let shop = shop_on(&redis).await;
    let baseline = shop.baseline().await;
    let mut shopper = Shopper::register(&shop.edge).await;
    redis.kill().unwrap();

    let caller = &shopper.caller;
    let refused = caller.carts().get_cart(GetCartRequest::default()).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("STORE_UNAVAILABLE"), "{refused:?}");
    let login = LoginRequest {
        email: shopper.email.clone(),
        password: shopper.password.clone(),
        ..LoginRequest::default()
    };
    let refused = caller.users().login(login.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let nobody = GetUserRequest { user_id: Uuid::new_v4().to_string() };
    let refused = caller.users().get_user(nobody).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("NOT_YOURS"), "her token is believed");

    let ordered = shopper.buy_without_cart().await;
    caller.until(&ordered, OrderState::Processing).await;

    redis.start_again().unwrap();
    until_known(|| async { shopper.caller.users().login(login.clone()).await }).await.unwrap();
    shopper.refresh().await;
    let bought = shopper.buy().await.expect("nobody else changes the cart");
    shop.settle(&baseline, &[ordered, bought]).await;
}
