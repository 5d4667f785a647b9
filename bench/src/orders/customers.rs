//! Customers who are registered once and then order in turn, over a few connections to the edge.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::Rng;
use rand::seq::index::sample;
use souk_mesh::client::Bearer;
use souk_mesh::money::Money;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{ListProductsRequest, Product};
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::order::v1::{PlaceOrderLine, PlaceOrderRequest, PlaceOrderResponse};
use souk_proto::user::v1::user_service_client::UserServiceClient;
use souk_proto::user::v1::{PostalAddress, RegisterRequest};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use uuid::Uuid;

/// How long the edge may take to answer a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a customer waits for an order.
const PATIENCE: Duration = Duration::from_secs(30);
/// Products that are ordered from.
const MAX_PRODUCTS: i32 = 500;
/// An order has at most so many products, and so many pieces of each.
const MAX_LINES: usize = 3;
const MAX_PIECES: i32 = 2;
/// How all pay.
const PAYMENT_TOKEN: &str = "tok_visa";

type Signed = InterceptedService<Channel, Bearer>;

/// What is bought.
struct Offer {
    product_id: String,
    price: Money,
}

/// A customer on a connection.
struct Seat {
    orders: OrderServiceClient<Signed>,
    email: String,
}

/// Everybody who orders.
pub struct Customers {
    seats: Vec<Seat>,
    offers: Vec<Offer>,
    next: AtomicUsize,
}

impl Customers {
    /// Connects to the edge and registers `users` customers, who use the `connections` evenly.
    pub async fn register(edge: &str, connections: u32, users: u32) -> Result<Self> {
        let endpoint = Endpoint::from_shared(edge.to_owned())
            .with_context(|| format!("{edge} is not an address"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        let mut channels = Vec::new();
        for _ in 0..connections {
            let channel = endpoint.connect().await;
            channels.push(channel.with_context(|| format!("no shop answers at {edge}"))?);
        }
        let offers = offers(channels[0].clone()).await?;
        let mut seats = Vec::new();
        let mut customers = Vec::new();
        for channel in channels.iter().cycle().take(users as usize) {
            customers.push(registered(channel.clone()).await?);
        }
        // Where there are more of one than of the other, everybody and every connection has a seat.
        for (customer, channel) in customers
            .iter()
            .cycle()
            .zip(channels.iter().cycle())
            .take(users.max(connections) as usize)
        {
            seats.push(customer.on(channel.clone()));
        }
        Ok(Self { seats, offers, next: AtomicUsize::new(0) })
    }

    /// The next customer orders something.
    pub async fn order(&self) -> Result<PlaceOrderResponse, Status> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let seat = &self.seats[turn % self.seats.len()];
        let mut request = Request::new(self.request(seat, &mut rand::rng())?);
        request.set_timeout(PATIENCE);
        seat.orders.clone().place_order(request).await.map(tonic::Response::into_inner)
    }

    fn request(&self, seat: &Seat, random: &mut impl Rng) -> Result<PlaceOrderRequest, Status> {
        let count = random.random_range(1..=MAX_LINES.min(self.offers.len()));
        let mut lines = Vec::with_capacity(count);
        let mut total: Option<Money> = None;
        for place in sample(random, self.offers.len(), count) {
            let Offer { product_id, price } = &self.offers[place];
            let quantity = random.random_range(1..=MAX_PIECES);
            let line = price.checked_mul(quantity.unsigned_abs());
            let sum = line.and_then(|line| total.map_or(Ok(line), |total| total.checked_add(line)));
            total = Some(sum.map_err(|error| Status::internal(error.to_string()))?);
            lines.push(PlaceOrderLine { product_id: product_id.clone(), quantity });
        }
        Ok(PlaceOrderRequest {
            request_id: Uuid::new_v4().to_string(),
            lines,
            shipping_address: Some(address()),
            payment_token: PAYMENT_TOKEN.to_owned(),
            currency: total.map_or_else(String::new, |total| total.currency.to_string()),
            expected_total: total.map(Into::into),
            email: seat.email.clone(),
            ..PlaceOrderRequest::default()
        })
    }
}

/// Somebody who is registered.
struct Customer {
    bearer: Bearer,
    email: String,
}

impl Customer {
    fn on(&self, channel: Channel) -> Seat {
        let signed = InterceptedService::new(channel, self.bearer.clone());
        Seat { orders: OrderServiceClient::new(signed), email: self.email.clone() }
    }
}

async fn registered(channel: Channel) -> Result<Customer> {
    let id = Uuid::new_v4();
    let email = format!("bench-{}@souk.example", id.simple());
    let request = RegisterRequest {
        request_id: id.to_string(),
        email: email.clone(),
        password: Uuid::new_v4().to_string(),
        display_name: "Bench Customer".to_owned(),
    };
    let answer = UserServiceClient::new(channel).register(request).await;
    let token = answer.context("registering a customer")?.into_inner().access_token;
    Ok(Customer { bearer: Bearer::new(&token)?, email })
}

/// Products of one currency.
async fn offers(channel: Channel) -> Result<Vec<Offer>> {
    let request = ListProductsRequest { page_size: MAX_PRODUCTS, ..Default::default() };
    let listed = CatalogServiceClient::new(channel).list_products(request).await;
    let products = listed.context("listing products")?.into_inner().products;
    let mut offers = Vec::with_capacity(products.len());
    for Product { product_id, price, .. } in products {
        let price = Money::try_from(price.context("a product has no price")?)?;
        offers.push(Offer { product_id, price });
    }
    let Some(currency) = offers.first().map(|offer| offer.price.currency) else {
        bail!("the shop has no products");
    };
    offers.retain(|offer| offer.price.currency == currency);
    Ok(offers)
}

fn address() -> PostalAddress {
    PostalAddress {
        recipient: "Bench Customer".to_owned(),
        line1: "1 Rue du Banc".to_owned(),
        city: "Paris".to_owned(),
        postal_code: "75011".to_owned(),
        country: "FR".to_owned(),
        ..PostalAddress::default()
    }
}
