//! An edge on a free port, and the few methods of a shop that its tests call.

use std::net::SocketAddr;
use std::time::Duration;

use souk_edge::Config;
use souk_mesh::error;
use souk_mesh::identity::{Caller, Role};
use souk_mesh::platform::Platform;
use souk_mesh::testing;
use souk_proto::catalog::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use souk_proto::catalog::v1::{
    GetProductPictureRequest, GetProductPictureResponse, GetProductRequest, GetProductResponse,
    Inventory, Product, WatchInventoryRequest, WatchInventoryResponse,
};
use souk_proto::order::v1::order_service_server::{OrderService, OrderServiceServer};
use souk_proto::order::v1::{GetOrderRequest, GetOrderResponse, Order};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::codegen::BoxStream;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// The product that the catalog has.
pub const KNOWN: &str = "0198c5b2-7d1e-7c3a-9a51-3f0f5f0c9d11";
/// One that it has not.
pub const UNKNOWN: &str = "0198c5b2-7d1e-7c3a-9a51-000000000000";
/// The picture of [`KNOWN`].
pub const PICTURE: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
/// How long calls may finish when an edge is dropped: tests wait for none.
const DRAIN_LIMIT: Duration = Duration::from_millis(10);

/// A running edge; it stops with the test's runtime.
pub struct Edge {
    pub platform: Platform,
    pub address: SocketAddr,
    _temp: TempDir,
}

impl Edge {
    /// With the services behind it and everybody's pages allowed.
    pub async fn open() -> Self {
        Self::with(&Config::default()).await
    }

    pub async fn with(config: &Config) -> Self {
        let edge = Self::without_services(config).await;
        edge.bind_services();
        edge
    }

    /// Nothing is behind it yet.
    pub async fn without_services(config: &Config) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let platform = Platform::for_tests(temp.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (served, config) = (platform.clone(), config.clone());
        let readiness = platform.readiness.clone();
        tokio::spawn(async move {
            souk_edge::serve(listener, &served, readiness, &config, DRAIN_LIMIT).await.unwrap();
        });
        Self { platform, address, _temp: temp }
    }

    pub fn bind_services(&self) {
        let catalog = Routes::new(CatalogServiceServer::new(Shop));
        self.platform.directory.bind_local("catalog", catalog);
        self.platform.directory.bind_local("order", Routes::new(OrderServiceServer::new(Shop)));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A native gRPC connection.
    pub async fn channel(&self) -> tonic::transport::Channel {
        let endpoint = tonic::transport::Endpoint::from_shared(self.url("")).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// `message` with the token of a new user in `role`.
    pub fn signed<T>(&self, role: Role, message: T) -> Request<T> {
        testing::signed(&self.platform, &Uuid::new_v4(), role, message)
    }
}

/// The services behind the edge, as far as its tests go.
struct Shop;

#[tonic::async_trait]
impl CatalogService for Shop {
    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<GetProductResponse>, Status> {
        let product_id = request.into_inner().product_id;
        known(&product_id)?;
        let product = Product { product_id, name: "Teapot".to_owned(), ..Product::default() };
        Ok(Response::new(GetProductResponse { product: Some(product) }))
    }

    async fn get_product_picture(
        &self,
        request: Request<GetProductPictureRequest>,
    ) -> Result<Response<GetProductPictureResponse>, Status> {
        known(&request.into_inner().product_id)?;
        Ok(Response::new(GetProductPictureResponse {
            content: PICTURE.into(),
            content_type: "image/svg+xml".to_owned(),
        }))
    }

    /// Two answers, then the end: for an unknown product, an error.
    async fn watch_inventory(
        &self,
        request: Request<WatchInventoryRequest>,
    ) -> Result<Response<BoxStream<WatchInventoryResponse>>, Status> {
        let product_id = request.into_inner().product_id;
        let answer = |available| {
            let inventory = Inventory { available, ..Inventory::default() };
            Ok(WatchInventoryResponse { inventory: Some(inventory) })
        };
        let mut answers = vec![answer(2), answer(1)];
        answers.extend(known(&product_id).err().map(Err));
        Ok(Response::new(Box::pin(futures::stream::iter(answers))))
    }
}

fn known(product_id: &str) -> Result<(), Status> {
    match product_id {
        KNOWN => Ok(()),
        _ => Err(error::status(Code::NotFound, "PRODUCT_NOT_FOUND", "no such product: “théière”")),
    }
}

#[tonic::async_trait]
impl OrderService for Shop {
    /// Any order is the caller's.
    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let user_id = Caller::of(&request).user_id()?.to_string();
        let order_id = request.into_inner().order_id;
        let order = Order { order_id, user_id, ..Order::default() };
        Ok(Response::new(GetOrderResponse { order: Some(order) }))
    }
}
