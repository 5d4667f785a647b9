//! The participants of place_order in memory, behind the mesh like the real ones.

use std::future::ready;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use souk_mesh::client::Directory;
use souk_mesh::error;
use souk_mesh::identity::Caller;
use souk_mesh::telemetry;
use souk_orchestrator::engine::seams::{Clock, TokioClock};
use souk_orchestrator::testing::{Faults, Trouble};
use souk_proto::cart::v1::cart_service_server::CartServiceServer;
use souk_proto::catalog::v1::catalog_service_server::CatalogServiceServer;
use souk_proto::order::v1::OrderState;
use souk_proto::order::v1::order_service_server::OrderServiceServer;
use souk_proto::payment::v1::PaymentState;
use souk_proto::payment::v1::payment_service_server::PaymentServiceServer;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::books::{Books, Order};

/// A call that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The step or undo that makes it.
    pub step: String,
    pub request_id: String,
    pub caller: String,
    /// The trace that it belongs to.
    pub trace_id: String,
}

/// The participants. Clones share everything; they outlive every crash of the engine.
#[derive(Clone)]
pub struct Shop {
    pub faults: Faults,
    books: Arc<Mutex<Books>>,
    calls: Arc<Mutex<Vec<Call>>>,
    clock: Arc<TokioClock>,
}

impl Shop {
    pub fn new(clock: Arc<TokioClock>) -> Shop {
        let books = Arc::new(Mutex::new(Books::new()));
        Shop { faults: Faults::default(), books, calls: Arc::default(), clock }
    }

    /// Opens for calls.
    pub fn bind(&self, directory: &Directory) {
        let shop = || self.clone();
        directory.bind_local("catalog", Routes::new(CatalogServiceServer::new(shop())));
        directory.bind_local("payment", Routes::new(PaymentServiceServer::new(shop())));
        directory.bind_local("order", Routes::new(OrderServiceServer::new(shop())));
        directory.bind_local("cart", Routes::new(CartServiceServer::new(shop())));
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock()
    }

    /// Everything that has arrived, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// The names of the steps and undos that have called, in order, each as often as it called in a row.
    pub fn journal(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.step).collect()
    }

    /// What svc-order does before a run begins.
    pub fn record_order(&self, order_id: Uuid) {
        let pending = Order { state: OrderState::Pending, ..Order::default() };
        self.books().orders.entry(order_id.to_string()).or_insert(pending);
    }

    /// What becomes of an order by others than the run: the customer, the warehouse.
    pub fn move_order(&self, order_id: Uuid, state: OrderState, reason: &str) {
        let mut books = self.books();
        let order = books.orders.get_mut(&order_id.to_string()).unwrap();
        order.state = state;
        order.reason = reason.to_owned();
    }

    pub fn order(&self, order_id: Uuid) -> Order {
        self.books().orders[&order_id.to_string()].clone()
    }

    /// What the bank or the provider decides about the only payment there is.
    pub fn decide_payment(&self, state: PaymentState) {
        let mut books = self.books();
        assert_eq!(books.payments.len(), 1);
        books.payments.values_mut().for_each(|payment| payment.state = state);
    }

    /// Serves a call of `step` by `work`, unless a fault strikes.
    pub(super) async fn serve<Q, A>(
        &self,
        request: Request<Q>,
        step: &str,
        request_id: impl Fn(&Q) -> &str,
        work: impl Fn(&mut Books, &Q, i64) -> Result<A, Status> + Send + 'static,
    ) -> Result<Response<A>, Status>
    where
        Q: Send + Sync + 'static,
        A: Send + 'static,
    {
        let caller = Caller::of(&request).subject.to_string();
        let traceparent = telemetry::current_traceparent().unwrap_or_default();
        let trace_id = traceparent.split('-').nth(1).unwrap_or_default().to_owned();
        let request = request.into_inner();
        let request_id = request_id(&request).to_owned();
        self.calls.lock().push(Call { step: step.to_owned(), request_id, caller, trace_id });
        let (books, clock) = (self.books.clone(), self.clock.clone());
        let work = move || ready(work(&mut books.lock(), &request, clock.now_ms()));
        self.faults.around(step, work, trouble).await.map(Response::new)
    }
}

/// What a participant in trouble answers.
fn trouble(trouble: Trouble) -> Status {
    match trouble {
        Trouble::Refused | Trouble::Broken => {
            error::status(Code::FailedPrecondition, "BROKEN", "told to refuse")
        }
        Trouble::Away => Status::unavailable("told to be away"),
    }
}
