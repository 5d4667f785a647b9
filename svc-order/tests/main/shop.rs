//! svc-order among fakes, and people who call it.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use souk_mesh::Platform;
use souk_mesh::client::Channel;
use souk_mesh::clock::ManualClock;
use souk_mesh::cql;
use souk_mesh::identity::Role;
use souk_order::Config;
use souk_order::config::Store;
use souk_proto::cart::v1::cart_service_server::CartServiceServer;
use souk_proto::catalog::v1::catalog_service_server::CatalogServiceServer;
use souk_proto::order::v1::order_service_client::OrderServiceClient;
use souk_proto::order::v1::{
    AppendOrderEventRequest, Order, OrderState, PlaceOrderLine, PlaceOrderRequest,
    PlaceOrderResponse,
};
use souk_proto::user::v1::PostalAddress;
use souk_proto::user::v1::user_service_server::UserServiceServer;
use souk_proto::workflow::v1::HistoryEventKind;
use souk_proto::workflow::v1::workflow_service_server::WorkflowServiceServer;
use tempfile::TempDir;
use tonic::service::Routes;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::fakes::{Carts, Catalog, Users, Workflows, euro};

/// When tests begin, unix milliseconds.
pub const START_MS: i64 = 1_764_000_000_000;

/// The neighbours, which outlive a crash of svc-order.
#[derive(Clone, Default)]
pub struct Neighbours {
    pub catalog: Catalog,
    pub carts: Carts,
    pub users: Users,
    pub workflows: Workflows,
}

/// A running svc-order.
pub struct Shop {
    pub neighbours: Neighbours,
    pub clock: ManualClock,
    pub platform: Platform,
    folder: Arc<TempDir>,
    config: Config,
}

/// A keyspace that tests of this program share: what they make has ids and people of its own, and their clocks stand still.
static SHARED: LazyLock<Option<cql::Config>> =
    LazyLock::new(|| souk_backends::cql_for_tests().map(cql::Config::for_tests));

pub fn config() -> Config {
    Config { sweep_every_ms: 5, watch_poll_ms: 20, ..Config::default() }
}

/// One whose orders are in the shared keyspace, where there is a server for tests.
pub fn config_on_cql() -> Option<Config> {
    Some(Config { store: Store::Cql, cql: SHARED.clone()?, ..config() })
}

/// The same store, with nobody else's orders in it: for tests that list them, or move their clocks.
pub fn alone(config: Config) -> Config {
    match config.store {
        Store::Sqlite => config,
        Store::Cql => {
            let cql = cql::Config::for_tests(config.cql.contact_points.clone());
            Config { cql, ..config }
        }
    }
}

impl Shop {
    pub async fn open_with(config: Config) -> Shop {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = ManualClock::new(START_MS);
        Shop::start(folder, clock, Neighbours::default(), config).await
    }

    /// The process ends and another one comes up on the same data.
    pub async fn restart(self) -> Shop {
        let Shop { neighbours, clock, platform, folder, config } = self;
        platform.tasks.drain(Duration::from_secs(10)).await.unwrap();
        drop(platform);
        Shop::start(folder, clock, neighbours, config).await
    }

    /// Another process on the same data.
    pub async fn beside(&self, config: Config) -> Shop {
        Shop::start(self.folder.clone(), self.clock.clone(), self.neighbours.clone(), config).await
    }

    async fn start(
        folder: Arc<TempDir>,
        clock: ManualClock,
        neighbours: Neighbours,
        config: Config,
    ) -> Shop {
        let platform = Platform::for_tests_at(Path::new(folder.path()), Arc::new(clock.clone()));
        let Neighbours { catalog, carts, users, workflows } = neighbours.clone();
        let bind = |name, routes| platform.directory.bind_local(name, routes);
        bind("catalog", Routes::new(CatalogServiceServer::new(catalog)));
        bind("cart", Routes::new(CartServiceServer::new(carts)));
        bind("user", Routes::new(UserServiceServer::new(users)));
        bind("workflow", Routes::new(WorkflowServiceServer::new(workflows)));
        bind("order", souk_order::start(&platform, config.clone()).await.unwrap());
        Shop { neighbours, clock, platform, folder, config }
    }

    /// A caller without credentials.
    pub fn client(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.platform.directory.forwarding_channel("order"))
    }

    /// The orchestrator.
    pub fn orchestrator(&self) -> OrderServiceClient<Channel> {
        let directory = self.platform.directory.for_service("orchestrator");
        OrderServiceClient::new(directory.channel("order"))
    }

    pub fn person(&self, role: Role) -> Person {
        let user_id = Uuid::now_v7();
        let ttl = Duration::from_secs(3_600);
        let signer = &self.platform.keys.signer;
        let token = signer.sign(&user_id.to_string(), role, ttl, START_MS).unwrap();
        Person { user_id, bearer: format!("Bearer {token}") }
    }

    pub fn customer(&self) -> Person {
        self.person(Role::Customer)
    }

    pub fn staff(&self) -> Person {
        self.person(Role::Staff)
    }

    pub async fn place(
        &self,
        person: &Person,
        request: PlaceOrderRequest,
    ) -> Result<PlaceOrderResponse, Status> {
        Ok(self.client().place_order(person.says(request)).await?.into_inner())
    }

    /// An order of one piece that has been placed.
    pub async fn placed(&self, person: &Person) -> Order {
        let product_id = self.neighbours.catalog.sell(250, 10);
        let placed = self.place(person, wish(product_id, 1, 250)).await.unwrap();
        placed.order.unwrap()
    }

    /// An order that the workflow has brought to processing, its payment captured.
    pub async fn paid(&self, person: &Person) -> Order {
        let order = self.placed(person).await;
        let processing = append(&order, OrderState::Processing);
        let processing = self.orchestrator().append_order_event(processing).await.unwrap();
        self.capture(&order.order_id);
        processing.into_inner().order.unwrap()
    }

    pub fn capture(&self, order_id: &str) {
        let done = HistoryEventKind::StepCompleted;
        self.neighbours.workflows.tell(order_id, done, "CapturePayment", "{}", START_MS);
    }
}

/// Somebody with a token.
pub struct Person {
    pub user_id: Uuid,
    bearer: String,
}

impl Person {
    /// The request, with the person's token.
    pub fn says<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.parse().unwrap());
        request
    }
}

pub fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// A request for `quantity` pieces, expected to cost `total_minor` cents.
pub fn wish(product_id: Uuid, quantity: i32, total_minor: i64) -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: new_id(),
        lines: vec![PlaceOrderLine { product_id: product_id.to_string(), quantity }],
        shipping_address: Some(address()),
        payment_token: "tok_visa".into(),
        currency: "EUR".into(),
        expected_total: Some(euro(total_minor)),
        email: "mara@example.com".into(),
        ..PlaceOrderRequest::default()
    }
}

pub fn address() -> PostalAddress {
    PostalAddress {
        recipient: "Mara Lind".into(),
        line1: "Hafenweg 3".into(),
        city: "Graz".into(),
        postal_code: "8010".into(),
        country: "AT".into(),
        ..PostalAddress::default()
    }
}

pub fn append(order: &Order, state: OrderState) -> AppendOrderEventRequest {
    AppendOrderEventRequest {
        request_id: new_id(),
        order_id: order.order_id.clone(),
        state: state.into(),
        ..AppendOrderEventRequest::default()
    }
}

/// What is waited for, which comes at once or never: a test that waits in vain fails instead of hanging.
pub async fn soon<F: Future>(awaited: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), awaited).await.expect("never came")
}

/// Asserts that a call was refused so.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = outcome.expect_err("was not refused");
    let found = souk_mesh::error::reason_of(&status).unwrap_or_default();
    assert_eq!((status.code(), found.as_str()), (code, reason), "{status}");
    status
}

/// Makes tests of functions that take a shop, or a configuration of one after `of_config`: once with its orders in a file, once
/// on CQL.
macro_rules! on_each_store {
    (of_config: $($test:ident),* $(,)?) => {
        $(mod $test {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() {
                super::$test(crate::shop::config()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_cql() {
                let Some(config) = crate::shop::config_on_cql() else { return };
                super::$test(config).await;
            }
        })*
    };
    ($($test:ident),* $(,)?) => {
        $(mod $test {
            use crate::shop::{Shop, config, config_on_cql};

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() {
                super::$test(Shop::open_with(config()).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_cql() {
                let Some(config) = config_on_cql() else { return };
                super::$test(Shop::open_with(config).await).await;
            }
        })*
    };
}
pub(crate) use on_each_store;
