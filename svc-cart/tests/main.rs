//! Carts, through the service's own gRPC, over a catalog whose prices the test sets.

#![allow(clippy::unwrap_used)] // The helpers of tests may panic as tests do.

mod cart;
mod contract;
mod redis;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use souk_mesh::client::Channel;
use souk_mesh::clock::ManualClock;
use souk_mesh::error::reason_of;
use souk_mesh::identity::{Role, Roles};
use souk_mesh::platform::Platform;
use souk_mesh::testing::signed;
use souk_proto::cart::v1::cart_service_client::CartServiceClient;
use souk_proto::catalog::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use souk_proto::catalog::v1::{BatchGetProductsRequest, BatchGetProductsResponse, Product};
use souk_proto::google::r#type::Money;
use tempfile::TempDir;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// The catalog as far as carts need it.
#[derive(Clone, Default)]
struct Catalog {
    products: Arc<Mutex<HashMap<String, Product>>>,
}

impl Catalog {
    /// Sells a product at `cents` of `currency`.
    fn sell(&self, product_id: Uuid, cents: i64, currency: &str) {
        let price = Money {
            currency_code: currency.to_owned(),
            units: cents / 100,
            nanos: (cents % 100) as i32 * 10_000_000,
        };
        let product = Product {
            product_id: product_id.to_string(),
            name: "Teapot".to_owned(),
            price: Some(price),
            available_quantity: Some(7),
            ..Product::default()
        };
        self.products.lock().unwrap().insert(product_id.to_string(), product);
    }

    fn archive(&self, product_id: Uuid) {
        self.products.lock().unwrap().get_mut(&product_id.to_string()).unwrap().archived = true;
    }
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn batch_get_products(
        &self,
        request: Request<BatchGetProductsRequest>,
    ) -> Result<Response<BatchGetProductsResponse>, Status> {
        let known = self.products.lock().unwrap();
        let (mut products, mut missing_product_ids) = (Vec::new(), Vec::new());
        for id in request.into_inner().product_ids {
            match known.get(&id) {
                Some(product) => products.push(product.clone()),
                None => missing_product_ids.push(id),
            }
        }
        Ok(Response::new(BatchGetProductsResponse { products, missing_product_ids }))
    }
}

/// A running svc-cart with a folder of its own.
struct Shop {
    platform: Platform,
    clock: Arc<ManualClock>,
    catalog: Catalog,
    carts: CartServiceClient<Channel>,
    folder: TempDir,
}

impl Shop {
    async fn open() -> Self {
        Self::open_with(souk_cart::Config::default()).await
    }

    async fn open_with(config: souk_cart::Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(START_MS));
        let platform = Platform::for_tests_at(folder.path(), clock.clone());
        let catalog = Catalog::default();
        let routes = Routes::new(CatalogServiceServer::new(catalog.clone()));
        platform.directory.bind_local("catalog", routes);
        let routes = souk_cart::start(&platform, config).await.unwrap();
        platform.directory.bind_local(souk_cart::NAME, routes);
        let carts = CartServiceClient::new(platform.directory.forwarding_channel(souk_cart::NAME));
        Self { platform, clock, catalog, carts, folder }
    }

    /// `message` as this user sends it.
    fn of<T>(&self, user_id: &Uuid, message: T) -> Request<T> {
        signed(&self.platform, user_id, Role::Customer, message)
    }

    /// `message` as a service of the shop sends it.
    fn of_service<T>(&self, message: T) -> Request<T> {
        signed(&self.platform, &Uuid::max(), Roles::from(Role::Service), message)
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) {
    let status = answer.expect_err("should have been refused");
    assert_eq!((status.code(), reason_of(&status).as_deref()), (code, Some(reason)), "{status:?}");
}
