//! Puts the catalog's names and prices on the items of a cart.

use std::collections::HashMap;

use souk_mesh::client::Channel;
use souk_mesh::money::Money;
use souk_proto::cart::v1 as proto;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::{BatchGetProductsRequest, Product};
use souk_proto::time::timestamp;
use tonic::Code;
use uuid::Uuid;

use crate::domain::{Cart, Item};
use crate::error::Error;

/// Asks the catalog.
#[derive(Clone)]
pub struct Pricing {
    catalog: CatalogServiceClient<Channel>,
}

impl Pricing {
    /// Over the given client.
    pub fn new(catalog: CatalogServiceClient<Channel>) -> Self {
        Self { catalog }
    }

    /// Makes sure that `product_id` is sold, and in the currency of what `cart` holds.
    pub async fn check_sold(&self, cart: &Cart, product_id: Uuid) -> Result<(), Error> {
        let others = cart.items.iter().map(|item| item.product_id);
        let products = self.products([product_id].into_iter().chain(others)).await?;
        let wanted = products
            .get(&product_id)
            .filter(|product| !product.archived)
            .ok_or(Error::ProductNotFound(product_id))?;
        let currency = |product: &Product| product.price.as_ref().map(|p| p.currency_code.clone());
        if products.values().any(|product| currency(product) != currency(wanted)) {
            return Err(Error::WrongCurrency);
        }
        Ok(())
    }

    /// The cart as customers see it, at the prices of now.
    pub async fn price(&self, user_id: Uuid, cart: Cart) -> Result<proto::Cart, Error> {
        let products = self.products(cart.items.iter().map(|item| item.product_id)).await?;
        let mut total: Option<Money> = None;
        let mut items = Vec::with_capacity(cart.items.len());
        for item in &cart.items {
            let product = products.get(&item.product_id).filter(|product| !product.archived);
            let (priced, line_total) = priced_item(item, product)?;
            if let Some(line_total) = line_total {
                let sum = match total {
                    None => Some(line_total),
                    Some(sum) => sum.checked_add(line_total).ok(),
                };
                total = Some(sum.ok_or_else(|| Error::Price("the total overflows".to_owned()))?);
            }
            items.push(priced);
        }
        Ok(proto::Cart { items, total: total.map(Into::into), ..unpriced(user_id, &cart) })
    }

    async fn products(
        &self,
        ids: impl Iterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, Product>, Error> {
        let product_ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        if product_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let answer = self
            .catalog
            .clone()
            .batch_get_products(BatchGetProductsRequest { product_ids })
            .await
            .map_err(|answer| match answer.code() {
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                    Error::Catalog(answer)
                }
                _ => Error::Price(answer.to_string()),
            })?;
        let products = answer.into_inner().products.into_iter();
        Ok(products.filter_map(|p| Some((p.product_id.parse().ok()?, p))).collect())
    }
}

/// The cart without what the catalog knows: for services, which price by themselves.
pub fn unpriced(user_id: Uuid, cart: &Cart) -> proto::Cart {
    let items = cart.items.iter().map(|item| proto::CartItem {
        item_id: item.id.to_string(),
        product_id: item.product_id.to_string(),
        quantity: item.quantity,
        ..proto::CartItem::default()
    });
    proto::Cart {
        user_id: user_id.to_string(),
        items: items.collect(),
        total: None,
        version: cart.version,
        expire_time: (cart.version > 0).then(|| timestamp(cart.expires_at_ms)),
    }
}

/// The item with its product's name and price, and the line's total; a product that is gone has none.
fn priced_item(
    item: &Item,
    product: Option<&Product>,
) -> Result<(proto::CartItem, Option<Money>), Error> {
    let bare = proto::CartItem {
        item_id: item.id.to_string(),
        product_id: item.product_id.to_string(),
        quantity: item.quantity,
        ..proto::CartItem::default()
    };
    let Some(product) = product else {
        return Ok((proto::CartItem { unavailable: true, ..bare }, None));
    };
    let price = product.price.clone().unwrap_or_default();
    let unit = Money::try_from(price).map_err(|error| Error::Price(error.to_string()))?;
    let line = u32::try_from(item.quantity)
        .ok()
        .and_then(|quantity| unit.checked_mul(quantity).ok())
        .ok_or_else(|| Error::Price(format!("the line of {} overflows", product.sku)))?;
    let priced = proto::CartItem {
        name: product.name.clone(),
        unit_price: Some(unit.into()),
        line_total: Some(line.into()),
        picture: product.picture.clone(),
        available_quantity: product.available_quantity.unwrap_or_default(),
        ..bare
    };
    Ok((priced, Some(line)))
}
