//! PlaceOrder: from a wish to a recorded order whose workflow runs, once per request id.
//!
//! The path of one order is one catalog read, one write and one workflow start. Whether the request
//! placed an order before is learned from that write (or, when the wish is refused, looked up then).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use souk_mesh::client::Channel;
use souk_mesh::clock::SharedClock;
use souk_mesh::context::{CallContext, TraceContext};
use souk_mesh::idempotency::fingerprint;
use souk_mesh::identity::Caller;
use souk_mesh::money::{Currency, Money};
use souk_proto::cart::v1::GetCartRequest;
use souk_proto::cart::v1::cart_service_client::CartServiceClient;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{BatchGetProductsRequest, Product};
use souk_proto::order::v1::{self as proto, PlaceOrderRequest, PlaceOrderResponse};
use souk_proto::user::v1::ListAddressesRequest;
use souk_proto::user::v1::user_service_client::UserServiceClient;
use tonic::Status;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::domain::{Address, Order, State};
use crate::flights::{Flights, Pilot, Seat};
use crate::pricing::{self, Offer, Priced, Wanted};
use crate::starter::Starter;
use crate::store::{OrderStore, Placed, Recording, RequestKey, Start};
use crate::workflow::{PlaceOrderAnswer, PlaceOrderInput, Placement};
use crate::{Config, Error, wire};

/// How long placing may go on although every caller may have left.
const PLACING_LIMIT: Duration = Duration::from_secs(10);
/// Most entries of an address book that are looked through.
const ADDRESS_PAGE: i32 = 500;

/// The services that placing asks.
#[derive(Clone)]
pub struct Neighbours {
    /// Prices and stock.
    pub catalog: CatalogServiceClient<Channel>,
    /// Carts.
    pub cart: CartServiceClient<Channel>,
    /// Address books.
    pub user: UserServiceClient<Channel>,
}

type Outcome = Result<PlaceOrderResponse, Status>;

/// Places orders. Clones share everything.
#[derive(Clone)]
pub struct Placer {
    store: Arc<dyn OrderStore>,
    clock: SharedClock,
    neighbours: Neighbours,
    starter: Starter,
    flights: Flights<Outcome>,
    answer_wait_ms: u64,
}

impl Placer {
    /// Places orders into `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn OrderStore>,
        clock: SharedClock,
        neighbours: Neighbours,
        starter: Starter,
        config: &Config,
    ) -> Placer {
        Placer {
            store,
            clock,
            neighbours,
            starter,
            flights: Flights::default(),
            answer_wait_ms: config.answer_wait_ms,
        }
    }

    /// Places the order that `request` asks for, or answers as the first equal request was answered.
    ///
    /// The work goes on when the caller leaves: a recorded order's workflow is started all the same.
    pub async fn place(&self, caller: &Caller, request: PlaceOrderRequest) -> Outcome {
        let user_id = caller.user_id()?;
        let key = RequestKey {
            scope: caller.scope(),
            method: "PlaceOrder",
            request_id: request.request_id.clone(),
            fingerprint: fingerprint(&request),
        };
        let passenger = match self.flights.board(&key)? {
            Seat::Passenger(passenger) => passenger,
            Seat::Pilot(pilot, passenger) => {
                let placer = self.clone();
                let trace =
                    CallContext::current().map_or_else(TraceContext::new_root, |call| call.trace);
                let deadline = Some(tokio::time::Instant::now() + PLACING_LIMIT);
                let flight = async move { placer.fly(pilot, user_id, key, request, trace).await };
                let flight = CallContext { trace, deadline }.scope(flight).in_current_span();
                tokio::spawn(flight);
                passenger
            }
        };
        passenger.arrive().await?
    }

    async fn fly(
        self,
        pilot: Pilot<Outcome>,
        user_id: Uuid,
        key: RequestKey,
        request: PlaceOrderRequest,
        trace: TraceContext,
    ) {
        let placed = match self.record_once(user_id, key, request, trace).await {
            Ok(placed) => placed,
            Err(error) => return pilot.land(Err(error.into())),
        };
        match placed.start {
            Start::Answer(answer) => pilot.land(answered(placed.order, &answer)),
            // The order has moved on and its answer was lost in a crash before anyone got it.
            Start::Input(_) if placed.order.state != State::Pending => {
                let answer = answer_from_state(&placed.order);
                pilot.land(Ok(respond(placed.order, Some(answer))));
            }
            Start::Input(input) => self.settle(pilot, placed.order, input).await,
        }
    }

    /// Starts or joins the workflow and lands with its answer. The answer is noted before the flight
    /// is over: until then everyone who asks boards it.
    async fn settle(&self, pilot: Pilot<Outcome>, order: Order, input: Vec<u8>) {
        let order_id = order.id;
        let answer = match self.starter.start(order_id, input, self.answer_wait_ms).await {
            Ok(answer) => answer,
            Err(status) => {
                // The order is recorded and will be carried out; an error would invite the
                // customer to order again.
                tracing::warn!(%order_id, %status, "workflow not started, left to the sweeper");
                return pilot.land(Ok(respond(order, None)));
            }
        };
        let Some(answer) = answer else {
            pilot.land(Ok(respond(order, None)));
            // The next request asks the workflow again.
            drop(pilot);
            return self.starter.note(order_id, None).await;
        };
        let outcome = answered(order, &answer);
        // What an order's state cannot tell later is noted before anyone hears of it; that an order
        // was placed, its state tells.
        let placed = proto::Placement::Placed as i32;
        if outcome.as_ref().is_ok_and(|response| response.placement == placed) {
            pilot.land(outcome);
            self.starter.note(order_id, Some(answer)).await;
        } else {
            self.starter.note(order_id, Some(answer)).await;
            pilot.land(outcome);
        }
    }

    /// Prices and records the order; or finds the one that the request placed before, even when the
    /// same wish would be refused by now.
    async fn record_once(
        &self,
        user_id: Uuid,
        key: RequestKey,
        request: PlaceOrderRequest,
        trace: TraceContext,
    ) -> Result<Placed, Error> {
        match self.prepare(user_id, request).await {
            Ok((order, payment_token)) => {
                let input = serde_json::to_vec(&PlaceOrderInput::of(&order, payment_token))
                    .map_err(|problem| Error::corrupt("workflow input", problem))?;
                let trace_parent = trace.to_string();
                self.store.record(Recording { order, input, key, trace_parent }).await
            }
            Err(refusal) => self.store.placed(&key).await?.ok_or(refusal),
        }
    }

    /// The order that the request asks for, priced now, and the token that pays it.
    async fn prepare(
        &self,
        user_id: Uuid,
        request: PlaceOrderRequest,
    ) -> Result<(Order, String), Error> {
        let expected = expected_total(&request)?;
        let (wanted, cart_version) = self.wish(user_id, &request).await?;
        let wanted = pricing::merge(&wanted)?;
        let Priced { lines, total } = self.price(&wanted, expected).await?;
        let address = self.address(user_id, request.shipping_address, &request.address_id).await?;
        let now_ms = self.clock.now_ms();
        let order = Order {
            id: Uuid::now_v7(),
            user_id,
            state: State::Pending,
            version: 1,
            lines,
            total,
            address: Some(address),
            email: request.email,
            cart_version,
            payment_id: None,
            parcel: None,
            cancellation: None,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        };
        Ok((order, request.payment_token))
    }

    /// What to buy: the request's lines, or those of the caller's cart and its version.
    async fn wish(
        &self,
        user_id: Uuid,
        request: &PlaceOrderRequest,
    ) -> Result<(Vec<Wanted>, Option<u64>), Error> {
        let Some(reference) = request.cart else {
            let lines = request.lines.iter().map(|line| (line.product_id.as_str(), line.quantity));
            return Ok((lines.map(wanted).collect::<Result<_, _>>()?, None));
        };
        if !request.lines.is_empty() {
            return Err(Error::field("lines", "must be empty when the cart is ordered"));
        }
        let cart_request = GetCartRequest { user_id: user_id.to_string() };
        let mut carts = self.neighbours.cart.clone();
        let cart = carts.get_cart(cart_request).await?.into_inner().cart.unwrap_or_default();
        if cart.items.is_empty() {
            return Err(pricing::Refusal::CartEmpty.into());
        }
        if cart.version != reference.cart_version {
            let (asked, found) = (reference.cart_version, cart.version);
            return Err(Error::CartChanged { asked, found });
        }
        let lines = cart.items.iter().map(|item| (item.product_id.as_str(), item.quantity));
        let version = u64::try_from(cart.version).ok();
        Ok((lines.map(wanted).collect::<Result<_, _>>()?, version))
    }

    async fn price(&self, wanted: &[Wanted], expected: Money) -> Result<Priced, Error> {
        let product_ids = wanted.iter().map(|line| line.product_id.to_string()).collect();
        let mut catalog = self.neighbours.catalog.clone();
        let request = BatchGetProductsRequest { product_ids };
        let products = catalog.batch_get_products(request).await?.into_inner().products;
        let offers = products.into_iter().filter(|product| !product.archived).map(offer);
        let offers = offers.collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(pricing::price(wanted, &offers, expected.currency, Some(expected))?)
    }

    /// Where to send it: the address given, the entry named, or the caller's default entry.
    async fn address(
        &self,
        user_id: Uuid,
        given: Option<souk_proto::user::v1::PostalAddress>,
        address_id: &str,
    ) -> Result<Address, Error> {
        if let Some(given) = given {
            return Ok(wire::address_from(given));
        }
        let request = ListAddressesRequest {
            user_id: user_id.to_string(),
            page_size: ADDRESS_PAGE,
            page_token: String::new(),
        };
        let mut users = self.neighbours.user.clone();
        let book = users.list_addresses(request).await?.into_inner().addresses;
        let entry = book.into_iter().find(|entry| match address_id {
            "" => entry.is_default,
            address_id => entry.address_id == address_id,
        });
        match entry.and_then(|entry| entry.postal) {
            Some(postal) => Ok(wire::address_from(postal)),
            None if address_id.is_empty() => {
                Err(Error::field("shipping_address", "is needed: you have no default address"))
            }
            None => Err(Error::AddressNotFound(wire::uuid_from("address_id", address_id)?)),
        }
    }
}

/// The total that the customer agreed to; its currency is the order's.
fn expected_total(request: &PlaceOrderRequest) -> Result<Money, Error> {
    let Some(expected) = &request.expected_total else {
        return Err(Error::field("expected_total", "is required"));
    };
    let expected = wire::money_from("expected_total", expected)?;
    if !request.currency.is_empty() {
        let currency = Currency::from_code(&request.currency)
            .map_err(|problem| Error::field("currency", problem.to_string()))?;
        if currency != expected.currency {
            return Err(Error::CurrencyMismatch { order: currency, total: expected.currency });
        }
    }
    Ok(expected)
}

fn wanted((product_id, quantity): (&str, i32)) -> Result<Wanted, Error> {
    let product_id = wire::uuid_from("lines.product_id", product_id)?;
    let quantity = u32::try_from(quantity).map_err(|_| pricing::Refusal::Quantity(product_id))?;
    Ok(Wanted { product_id, quantity })
}

fn offer(product: Product) -> Result<(Uuid, Offer), Error> {
    let corrupt = |problem: &dyn std::fmt::Display| Error::corrupt("product", problem);
    let product_id = Uuid::parse_str(&product.product_id).map_err(|problem| corrupt(&problem))?;
    let price = product.price.ok_or_else(|| corrupt(&"has no price"))?;
    let unit_price = Money::from_units(&price.currency_code, price.units, price.nanos)
        .map_err(|problem| corrupt(&problem))?;
    // A catalog that does not say leaves the decision to the reservation.
    let available = product.available_quantity.map_or(u64::MAX, |left| left.max(0).unsigned_abs());
    let Product { sku, name, picture, .. } = product;
    Ok((product_id, Offer { sku, name, picture, unit_price, available }))
}

fn answered(order: Order, answer: &[u8]) -> Outcome {
    let answer = serde_json::from_slice::<PlaceOrderAnswer>(answer)
        .map_err(|problem| Error::corrupt("workflow answer", problem))?;
    Ok(respond(order, Some(answer)))
}

/// What the order itself tells of how placing went, when the workflow's own answer was lost.
fn answer_from_state(order: &Order) -> PlaceOrderAnswer {
    let payment_id = order.payment_id.map(|id| id.to_string()).unwrap_or_default();
    let (challenge_url, reason, message) = Default::default();
    let placed = Placement::Placed;
    let answer = PlaceOrderAnswer { placement: placed, challenge_url, payment_id, reason, message };
    match &order.cancellation {
        // Straight from pending, at the second version: it was never placed.
        Some(cancellation) if order.version == 2 => PlaceOrderAnswer {
            placement: Placement::Refused,
            reason: cancellation.reason.clone(),
            message: cancellation.note.clone(),
            ..answer
        },
        _ => answer,
    }
}

/// The response: made of what never changes, so that every repeat gets an equal one.
fn respond(order: Order, answer: Option<PlaceOrderAnswer>) -> PlaceOrderResponse {
    let first = order.first_entry();
    let mut order = wire::order(&order.as_of(&first));
    let Some(answer) = answer else {
        let placement = proto::Placement::Pending.into();
        return PlaceOrderResponse { order: Some(order), placement, ..Default::default() };
    };
    let placement = match answer.placement {
        Placement::Placed => proto::Placement::Placed,
        Placement::Challenge => proto::Placement::Challenge,
        Placement::Refused => proto::Placement::Refused,
    };
    order.payment_id = answer.payment_id;
    PlaceOrderResponse {
        order: Some(order),
        placement: placement.into(),
        challenge_url: answer.challenge_url,
        refusal_reason: answer.reason,
        refusal_message: answer.message,
    }
}
