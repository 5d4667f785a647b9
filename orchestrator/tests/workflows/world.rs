//! A world for one test: a simulated disk, a paused clock, participants that outlive every crash, the mesh between them
//! and the engine, and the engine with the shop's workflows.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use souk_mesh::client::{Channel, Directory};
use souk_mesh::identity::{Keys, Role};
use souk_mesh::server::{Limits, ServerStack};
use souk_mesh::tasks::Tasks;
use souk_orchestrator::engine::event::Event;
use souk_orchestrator::engine::row::{RunRow, RunState};
use souk_orchestrator::engine::seams::{Clock, TokioClock};
use souk_orchestrator::engine::{Error, Outcome, Registry, StartRequest};
use souk_orchestrator::testing::{TestEnvironment, Unsynced};
use souk_orchestrator::workflows::place_order::{Cart, Line, PlaceOrder, TYPE, workflow_id};
use souk_orchestrator::workflows::{self, Participants};
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use tonic::Request;
use uuid::Uuid;

use super::shop::Shop;

/// A key is dear to make, and every world may have the same.
static KEYS: LazyLock<Arc<Keys>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    Arc::new(Keys::load_or_create(folder.path()).expect("a key"))
});

/// The trace that orders are placed in.
pub const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

struct MeshClock(Arc<TokioClock>);

impl souk_mesh::clock::Clock for MeshClock {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }
}

/// See the module.
pub struct World {
    pub environment: TestEnvironment,
    pub shop: Shop,
    pub directory: Directory,
    pub keys: Arc<Keys>,
}

impl Deref for World {
    type Target = TestEnvironment;

    fn deref(&self) -> &TestEnvironment {
        &self.environment
    }
}

/// Three pieces for 59.80, from a cart, paid by `token`.
pub fn order(token: &str) -> PlaceOrder {
    PlaceOrder {
        order_id: Uuid::from_u128(0x0198_c5b2_7d1e_7c3a_9a51_3f0f_5f0c_9d11),
        user_id: Uuid::from_u128(7),
        currency: "EUR".into(),
        total_minor: 5_980,
        lines: vec![
            Line { product_id: Uuid::from_u128(1), quantity: 2, unit_price_minor: 2_490 },
            Line { product_id: Uuid::from_u128(2), quantity: 1, unit_price_minor: 1_000 },
        ],
        payment_token: token.into(),
        cart: Some(Cart { version: 7 }),
        email: "mara@example.com".into(),
    }
}

/// Who cancels, retries and skips.
pub const STAFF: Uuid = Uuid::from_u128(42);

/// Pieces in [`order`].
pub const PIECES: i64 = 3;

/// The workflow id of [`order`].
pub fn id() -> String {
    workflow_id(&order("").order_id.to_string())
}

impl World {
    pub async fn new(seed: u64) -> World {
        World::with(seed, workflows::registry()).await
    }

    pub async fn with(seed: u64, registry: Registry) -> World {
        let builder = TestEnvironment::builder().seed(seed).registry(registry);
        let clock = builder.clock();
        let shop = Shop::new(clock.clone());
        let keys = KEYS.clone();
        let mesh_clock = Arc::new(MeshClock(clock));
        let drain = Tasks::new().token();
        let stack = ServerStack::new(keys.clone(), mesh_clock.clone(), drain, Limits::default());
        let directory = Directory::new(stack, keys.clone(), mesh_clock);
        shop.bind(&directory);
        let participants = Participants::find(&directory.for_service("workflow"));
        let environment = builder.resource(participants).open().await;
        World { environment, shop, directory, keys }
    }

    /// Pulls the plug and starts again, with the code of the shop.
    pub async fn restart(&mut self, unsynced: Unsynced) {
        self.restart_with(unsynced, workflows::registry()).await;
    }

    /// Pulls the plug, if that was not done, and starts again with this code.
    pub async fn restart_with(&mut self, unsynced: Unsynced, registry: Registry) {
        self.environment.restart_with(unsynced, registry).await;
    }

    /// The service over this engine, through the mesh.
    pub fn workflows(&self) -> WorkflowServiceClient<Channel> {
        self.directory
            .bind_local("workflow", souk_orchestrator::routes(self.engine.clone(), &self.keys));
        WorkflowServiceClient::new(self.directory.forwarding_channel("workflow"))
    }

    /// A request of a member of staff.
    pub fn staff<T>(&self, message: T) -> Request<T> {
        self.signed(STAFF, Role::Staff, message)
    }

    /// A request of a user with this role.
    pub fn signed<T>(&self, user_id: Uuid, role: Role, message: T) -> Request<T> {
        let now_ms = self.clock.now_ms();
        let ttl = Duration::from_secs(24 * 3600);
        let token = self.keys.signer.sign(&user_id.to_string(), role, ttl, now_ms).unwrap();
        let mut request = Request::new(message);
        let header = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    }

    /// Does what svc-order does: records the order and starts its run.
    pub async fn place(&self, order: &PlaceOrder) {
        self.shop.record_order(order.order_id);
        let mut request = StartRequest::new(id(), TYPE, order).unwrap();
        request.traceparent = format!("00-{TRACE_ID}-b7ad6b7169203331-01");
        self.start_by(request).await.unwrap();
    }

    /// The answer to those who wait for it.
    pub async fn answer(&self) -> serde_json::Value {
        self.environment.answer(&id()).await
    }

    pub async fn signal(&self, name: &str, signal_id: &str) -> Result<bool, Error> {
        let payload = r#"{"reason":"CUSTOMER","message":"changed my mind"}"#;
        self.signal_json(&id(), name, signal_id, payload).await
    }

    /// The end of the run, however long it takes.
    pub async fn end(&self) -> Outcome {
        self.environment.end(&id()).await
    }

    pub async fn row(&self) -> RunRow {
        self.environment.row(&id()).await
    }

    /// Waits until the run has come to `line`.
    pub async fn until(&self, line: &str) {
        self.environment.until(&id(), line).await;
    }

    /// Waits until the run has ended or is parked.
    pub async fn rest(&self) -> RunState {
        self.environment.rest(&id()).await
    }

    pub async fn history(&self) -> Vec<Event> {
        self.environment.history(&id()).await
    }

    pub async fn outline(&self) -> Vec<String> {
        self.environment.outline(&id()).await
    }

    pub async fn pass(&self, duration: Duration) {
        self.skip(duration).await;
    }

    pub fn check_clean(&self) {
        self.shop.books().is_clean().unwrap();
    }

    pub fn check_done(&self) {
        self.shop.books().is_done(PIECES).unwrap();
    }
}
