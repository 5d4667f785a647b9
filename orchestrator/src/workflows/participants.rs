//! The services that steps call, as one resource of the engine.

use souk_mesh::client::{Channel, Directory};
use souk_proto::cart::v1::cart_service_client::CartServiceClient;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::payment::v1::payment_service_client::PaymentServiceClient;

/// A client of each participant. Clones share their channels.
#[derive(Clone)]
pub struct Participants {
    /// Holds, commits and releases stock.
    pub catalog: CatalogServiceClient<Channel>,
    /// Authorizes, captures and gives back money.
    pub payment: PaymentServiceClient<Channel>,
    /// Keeps the order's record.
    pub order: OrderServiceClient<Channel>,
    /// Keeps the customer's cart.
    pub cart: CartServiceClient<Channel>,
}

impl Participants {
    /// Finds them through the directory.
    pub fn find(directory: &Directory) -> Self {
        Self {
            catalog: CatalogServiceClient::new(directory.channel("catalog")),
            payment: PaymentServiceClient::new(directory.channel("payment")),
            order: OrderServiceClient::new(directory.channel("order")),
            cart: CartServiceClient::new(directory.channel("cart")),
        }
    }
}
