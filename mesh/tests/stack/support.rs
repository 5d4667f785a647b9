//! A small shop of stub services, reached in one process or over sockets: each test of the stacks runs both ways.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _};
use souk_mesh::bus;
use souk_mesh::client::Channel;
use souk_mesh::clock::SystemClock;
use souk_mesh::identity::{Role, Roles};
use souk_mesh::server::{self, Limits};
use souk_mesh::{Platform, telemetry};
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use souk_proto::catalog::v1::{
    GetProductRequest, GetProductResponse, Product, WatchInventoryRequest, WatchInventoryResponse,
};
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::order::v1::order_service_server::{OrderService, OrderServiceServer};
use souk_proto::order::v1::{GetOrderRequest, GetOrderResponse};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// How calls reach the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a function call.
    InProcess,
    /// Over loopback.
    Sockets,
}

/// Runs `async fn $test(way: Way)` as two tests.
macro_rules! both_ways {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use crate::stack::support::Way;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_process() {
                super::$test(Way::InProcess).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_sockets() {
                super::$test(Way::Sockets).await;
            }
        }
    )+};
}
pub(crate) use both_ways;

/// How long a test lets a server drain.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(10);

type Handler<Q, A> = Arc<dyn Fn(Request<Q>) -> BoxFuture<'static, Result<A, Status>> + Send + Sync>;
type Answers = Pin<Box<dyn Stream<Item = Result<WatchInventoryResponse, Status>> + Send>>;

/// What the stub services do; the rest of them is not built.
#[derive(Clone)]
pub struct Stub {
    get_product: Handler<GetProductRequest, String>,
    watch: Arc<dyn Fn() -> Answers + Send + Sync>,
    get_order: Handler<GetOrderRequest, ()>,
}

impl Stub {
    /// Answers every `GetProduct` with a product named `ok`.
    pub fn new() -> Self {
        Self {
            get_product: Arc::new(|_| async { Ok(String::from("ok")) }.boxed()),
            watch: Arc::new(|| Box::pin(futures::stream::pending())),
            get_order: Arc::new(|_| async { Ok(()) }.boxed()),
        }
    }

    /// `GetProduct` answers a product with the name that `handler` gives.
    pub fn get_product<F>(
        mut self,
        handler: impl Fn(Request<GetProductRequest>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<String, Status>> + Send + 'static,
    {
        self.get_product = Arc::new(move |request| handler(request).boxed());
        self
    }

    /// `WatchInventory` answers with what `stream` gives.
    pub fn watch<S>(mut self, stream: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        S: Stream<Item = Result<(), Status>> + Send + 'static,
    {
        self.watch = Arc::new(move || {
            stream().map(|item| item.map(|()| WatchInventoryResponse::default())).boxed()
        });
        self
    }

    /// What `GetOrder` does.
    pub fn get_order<F>(
        mut self,
        handler: impl Fn(Request<GetOrderRequest>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.get_order = Arc::new(move |request| handler(request).boxed());
        self
    }
}

#[tonic::async_trait]
impl CatalogService for Stub {
    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<GetProductResponse>, Status> {
        let name = (self.get_product)(request).await?;
        let product = Some(Product { name, ..Product::default() });
        Ok(Response::new(GetProductResponse { product }))
    }

    async fn watch_inventory(
        &self,
        _: Request<WatchInventoryRequest>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new((self.watch)()))
    }
}

#[tonic::async_trait]
impl OrderService for Stub {
    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        (self.get_order)(request).await.map(|()| Response::new(GetOrderResponse::default()))
    }
}

/// A running shop: `catalog` and `order`, both the stub.
pub struct Shop {
    /// Where the services run.
    pub server: Platform,
    /// Where calls come from: the same, or another with the same key.
    pub client: Platform,
    /// Where the services listen, over sockets.
    pub address: Option<std::net::SocketAddr>,
    _data: TempDir,
}

impl Shop {
    /// A shop with the usual limits.
    pub async fn open(way: Way, stub: Stub) -> Self {
        Self::limited(way, stub, Limits::default()).await
    }

    /// A shop with these limits.
    pub async fn limited(way: Way, stub: Stub, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        let open = || {
            Platform::open(data.path(), Arc::new(SystemClock), limits, &bus::Config::default())
                .unwrap()
        };
        let server = open();
        let catalog = Routes::new(CatalogServiceServer::new(stub.clone()));
        let order = Routes::new(OrderServiceServer::new(stub));
        server.directory.bind_local("catalog", catalog.clone());
        server.directory.bind_local("order", order.clone());
        if way == Way::InProcess {
            return Self { client: server.clone(), server, address: None, _data: data };
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stack = server.stack.clone();
        server.tasks.spawn("server", async move {
            let services = vec![("catalog", catalog), ("order", order)];
            server::serve(listener, &stack, services, DRAIN_LIMIT).await.unwrap();
        });
        let client = open();
        let uri: http::Uri = format!("http://{address}").parse().unwrap();
        client.directory.bind_remote("catalog", vec![uri.clone()]);
        client.directory.bind_remote("order", vec![uri]);
        Self { server, client, address: Some(address), _data: data }
    }

    /// A client that shows itself as a service.
    pub fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.client.directory.channel("catalog"))
    }

    /// A client that shows what its requests carry, and nothing else.
    pub fn forwarding_order(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.client.directory.forwarding_channel("order"))
    }

    /// A user's token.
    pub fn token(&self, user_id: &Uuid, roles: impl Into<Roles>) -> String {
        let now_ms = self.server.clock.now_ms();
        let ttl = Duration::from_secs(60);
        self.server.keys.signer.sign(&user_id.to_string(), roles, ttl, now_ms).unwrap()
    }

    /// A customer's token.
    pub fn customer(&self) -> String {
        self.token(&Uuid::now_v7(), Role::Customer)
    }
}

/// Any product.
pub fn product() -> GetProductRequest {
    GetProductRequest { product_id: Uuid::now_v7().to_string() }
}

/// Any order.
pub fn order() -> GetOrderRequest {
    GetOrderRequest { order_id: Uuid::now_v7().to_string() }
}

/// Any product's stock.
pub fn inventory() -> WatchInventoryRequest {
    WatchInventoryRequest { product_id: Uuid::now_v7().to_string() }
}

/// The name in the answer to `GetProduct`.
pub fn name(response: Response<GetProductResponse>) -> String {
    response.into_inner().product.unwrap().name
}

/// A request with a bearer token.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The value of a metric's line, 0 when it is not there yet.
pub fn metric(line_starts_with: &str) -> f64 {
    let text = telemetry::render_metrics();
    let line = text.lines().find(|line| line.starts_with(line_starts_with));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
}
