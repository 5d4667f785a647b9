//! `souk demo`: a customer, through the edge. Registers, fills a cart, orders, and prints each step as it
//! happens; then an order whose card is declined, and one that is cancelled, to show what undoing looks like.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use souk_mesh::client::Bearer;
use souk_proto::cart::v1::cart_service_client::CartServiceClient;
use souk_proto::cart::v1::{AddItemRequest, Cart};
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{ListProductsRequest, Product};
use souk_proto::google::r#type::Money;
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::order::v1::{
    CancelOrderRequest, CartReference, Order, OrderState, PlaceOrderRequest, PlaceOrderResponse,
    Placement, ProgressKind, WatchOrderRequest, WatchOrderResponse,
};
use souk_proto::user::v1::user_service_client::UserServiceClient;
use souk_proto::user::v1::{PostalAddress, RegisterRequest};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// How long one order may take until nothing more happens without a person.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the edge may take to answer a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type Signed = InterceptedService<Channel, Bearer>;

/// A registered customer with her clients.
struct Customer {
    email: String,
    catalog: CatalogServiceClient<Signed>,
    cart: CartServiceClient<Signed>,
    orders: OrderServiceClient<Signed>,
}

/// Runs the demonstration against the edge at `edge` (`http://127.0.0.1:8080`).
pub async fn run(edge: &str) -> Result<()> {
    let endpoint = Endpoint::from_shared(edge.to_owned())
        .with_context(|| format!("{edge} is not an address"))?
        .connect_timeout(CONNECT_TIMEOUT);
    let channel = endpoint.connect().await.with_context(|| {
        format!("no shop answers at {edge}; start one with `cargo run --release`")
    })?;
    println!("Souk at {edge}\n");
    let mut customer = Customer::register(channel).await?;

    println!("\n1. An order that works");
    let placed = customer.order("tok_visa").await?;
    customer.follow(placed.order, "", settled).await?;

    println!("\n2. An order that is cancelled: everything is undone, in reverse");
    let placed = customer.order("tok_visa").await?;
    let place = customer.follow(placed.order.clone(), "", settled).await?;
    customer.cancel(placed.order, &place).await?;

    println!("\n3. A card that is declined: nothing stays held or charged");
    let refused = customer.order("tok_declined").await?;
    customer.follow(refused.order, "", finished).await?;
    Ok(())
}

impl Customer {
    async fn register(channel: Channel) -> Result<Self> {
        let id = Uuid::new_v4();
        let email = format!("demo-{}@souk.example", id.simple());
        let registered = UserServiceClient::new(channel.clone())
            .register(RegisterRequest {
                request_id: id.to_string(),
                email: email.clone(),
                password: Uuid::new_v4().to_string(),
                display_name: "Demo Customer".to_owned(),
            })
            .await
            .context("registering")?
            .into_inner();
        println!("registered {email}");
        let bearer = Bearer::new(&registered.access_token)?;
        let signed = InterceptedService::new(channel, bearer);
        Ok(Self {
            email,
            catalog: CatalogServiceClient::new(signed.clone()),
            cart: CartServiceClient::new(signed.clone()),
            orders: OrderServiceClient::new(signed),
        })
    }

    /// Fills the cart with two products and orders it.
    async fn order(&mut self, payment_token: &str) -> Result<PlaceOrderResponse> {
        let cart = self.fill_cart().await?;
        let total = cart.total.clone().context("a filled cart has a total")?;
        for item in &cart.items {
            println!("   {} × {}", item.quantity, item.name);
        }
        println!("   total {}, paid with {payment_token}", money(&total)?);
        let began = Instant::now();
        let placed = self
            .orders
            .place_order(PlaceOrderRequest {
                request_id: Uuid::new_v4().to_string(),
                cart: Some(CartReference { cart_version: cart.version }),
                shipping_address: Some(address()),
                payment_token: payment_token.to_owned(),
                currency: total.currency_code.clone(),
                expected_total: Some(total),
                email: self.email.clone(),
                ..PlaceOrderRequest::default()
            })
            .await
            .context("placing the order")?
            .into_inner();
        let outcome = match placed.placement() {
            Placement::Placed => "placed".to_owned(),
            Placement::Refused => format!("refused: {}", placed.refusal_message),
            Placement::Challenge => format!("to be confirmed at {}", placed.challenge_url),
            Placement::Pending => "not settled yet".to_owned(),
            Placement::Unspecified => bail!("the order service gave no outcome"),
        };
        println!("   {outcome} (answered after {} ms)", began.elapsed().as_millis());
        Ok(placed)
    }

    async fn fill_cart(&mut self) -> Result<Cart> {
        let listed = self
            .catalog
            .list_products(ListProductsRequest { page_size: 50, ..Default::default() })
            .await
            .context("listing products")?
            .into_inner();
        let in_stock = |product: &&Product| product.available_quantity.is_some_and(|n| n > 10);
        let mut cart = None;
        for (product, quantity) in listed.products.iter().filter(in_stock).step_by(7).zip([2, 1]) {
            let added = self
                .cart
                .add_item(AddItemRequest {
                    request_id: Uuid::new_v4().to_string(),
                    product_id: product.product_id.clone(),
                    quantity,
                })
                .await
                .context("filling the cart")?;
            cart = added.into_inner().cart;
        }
        cart.context("nothing is in stock")
    }

    /// Prints the order's way from `resume_token` on until `enough` says so; returns where to go on.
    async fn follow(
        &mut self,
        order: Option<Order>,
        resume_token: &str,
        enough: fn(&WatchOrderResponse) -> bool,
    ) -> Result<String> {
        let order = order.context("the answer has no order")?;
        let began_ms = order.create_time.as_ref().map_or(0, souk_proto::time::unix_ms);
        let order_id = order.order_id;
        let late = format!("order {order_id} did not settle within {PATIENCE:?}");
        let mut reached = resume_token.to_owned();
        let request = WatchOrderRequest { order_id, resume_token: reached.clone() };
        let mut way =
            self.orders.watch_order(request).await.context("following the order")?.into_inner();
        let watch = async {
            while let Some(step) = way.message().await.context("following the order")? {
                print_step(&step, began_ms);
                reached.clone_from(&step.resume_token);
                if enough(&step) {
                    break;
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, watch).await.context(late)??;
        Ok(reached)
    }

    async fn cancel(&mut self, order: Option<Order>, place: &str) -> Result<()> {
        let order = order.context("the answer has no order")?;
        println!("   -- the customer cancels --");
        let request = CancelOrderRequest {
            request_id: Uuid::new_v4().to_string(),
            order_id: order.order_id.clone(),
            reason: "changed my mind".to_owned(),
        };
        self.orders.cancel_order(request).await.context("cancelling")?;
        self.follow(Some(order), place, finished).await.map(drop)
    }
}

fn print_step(step: &WatchOrderResponse, began_ms: i64) {
    let Some(progress) = &step.progress else { return };
    let mark = match progress.kind() {
        ProgressKind::StepStarted | ProgressKind::UndoStarted => return,
        ProgressKind::StepDone => "✓",
        ProgressKind::StepFailed => "✗",
        ProgressKind::UndoDone => "↩",
        ProgressKind::Waiting => "…",
        ProgressKind::State | ProgressKind::Finished | ProgressKind::Unspecified => "•",
    };
    let at_ms = progress.time.as_ref().map_or(0, souk_proto::time::unix_ms) - began_ms;
    let detail = match progress.detail.as_str() {
        "" => String::new(),
        detail => format!(" ({detail})"),
    };
    println!("   {at_ms:>6} ms  {mark} {}{detail}", progress.title);
}

/// The order waits for the warehouse, or it is over.
fn settled(step: &WatchOrderResponse) -> bool {
    let kind = step.progress.as_ref().map(|progress| progress.kind());
    kind == Some(ProgressKind::Waiting) || finished(step)
}

/// Nothing more will happen.
fn finished(step: &WatchOrderResponse) -> bool {
    step.progress.as_ref().is_some_and(|progress| {
        progress.kind() == ProgressKind::Finished || progress.order_state() == OrderState::Delivered
    })
}

fn money(amount: &Money) -> Result<souk_mesh::money::Money> {
    souk_mesh::money::Money::try_from(amount.clone()).context("the total is not an amount")
}

fn address() -> PostalAddress {
    PostalAddress {
        recipient: "Amina Haddad".to_owned(),
        line1: "12 Rue des Épices".to_owned(),
        city: "Paris".to_owned(),
        postal_code: "75011".to_owned(),
        country: "FR".to_owned(),
        ..PostalAddress::default()
    }
}
