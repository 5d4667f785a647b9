//! From a PlaceOrder request to a priced order, by asking the services that know: pure otherwise,
//! nothing is written.

use std::collections::BTreeMap;

use souk_mesh::client::Channel;
use souk_mesh::money::{Currency, Money};
use souk_proto::cart::v1::GetCartRequest;
use souk_proto::cart::v1::cart_service_client::CartServiceClient;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{BatchGetProductsRequest, Product};
use souk_proto::order::v1::PlaceOrderRequest;
use souk_proto::user::v1::ListAddressesRequest;
use souk_proto::user::v1::user_service_client::UserServiceClient;
use uuid::Uuid;

use crate::domain::{Address, Order, State};
use crate::pricing::{self, Offer, Priced, Wanted};
use crate::{Error, wire};

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

impl Neighbours {
    /// The order that the request asks for, priced now, and the token that pays it.
    ///
    /// # Errors
    /// Whatever makes the wish one that cannot be ordered; nothing has been written.
    pub async fn prepare(
        &self,
        user_id: Uuid,
        request: PlaceOrderRequest,
        now_ms: i64,
    ) -> Result<(Order, String), Error> {
        let expected = expected_total(&request)?;
        let (wanted, cart_version) = self.wish(user_id, &request).await?;
        let wanted = pricing::merge(&wanted)?;
        let Priced { lines, total } = self.price(&wanted, expected).await?;
        let address = self.address(user_id, request.shipping_address, &request.address_id).await?;
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
        let mut carts = self.cart.clone();
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
        let mut catalog = self.catalog.clone();
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
        let mut users = self.user.clone();
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
