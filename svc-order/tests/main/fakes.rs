//! The services around svc-order, as far as it asks them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use souk_mesh::money::{Currency, Money};
use souk_proto::cart::v1::cart_service_server::CartService;
use souk_proto::cart::v1::{Cart, CartItem, GetCartRequest, GetCartResponse};
use souk_proto::catalog::v1::catalog_service_server::CatalogService;
use souk_proto::catalog::v1::{BatchGetProductsRequest, BatchGetProductsResponse, Product};
use souk_proto::google::r#type::Money as WireMoney;
use souk_proto::time::timestamp;
use souk_proto::user::v1::user_service_server::UserService;
use souk_proto::user::v1::{Address, ListAddressesRequest, ListAddressesResponse};
use souk_proto::workflow::v1::workflow_service_server::WorkflowService;
use souk_proto::workflow::v1::{
    GetWorkflowHistoryRequest, GetWorkflowHistoryResponse, HistoryEvent, HistoryEventKind,
    StartWorkflowRequest, StartWorkflowResponse, WorkflowState,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::shop::soon;

/// Products by id.
#[derive(Clone, Default)]
pub struct Catalog {
    pub products: Arc<Mutex<BTreeMap<Uuid, Product>>>,
    pub reads: Arc<AtomicUsize>,
}

pub fn euro(minor: i64) -> WireMoney {
    let (units, nanos) = Money::new(minor, Currency::EUR).to_units();
    WireMoney { currency_code: "EUR".into(), units, nanos }
}

impl Catalog {
    /// Sells `available` pieces of a product at `minor` cents.
    pub fn sell(&self, minor: i64, available: i64) -> Uuid {
        let product_id = Uuid::now_v7();
        let product = Product {
            product_id: product_id.to_string(),
            sku: "GLASS".into(),
            name: "Tea glass".into(),
            price: Some(euro(minor)),
            available_quantity: Some(available),
            ..Product::default()
        };
        self.products.lock().insert(product_id, product);
        product_id
    }

    pub fn change(&self, product_id: Uuid, change: impl FnOnce(&mut Product)) {
        change(self.products.lock().get_mut(&product_id).unwrap());
    }
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn batch_get_products(
        &self,
        request: Request<BatchGetProductsRequest>,
    ) -> Result<Response<BatchGetProductsResponse>, Status> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let known = self.products.lock();
        let mut response = BatchGetProductsResponse::default();
        for product_id in request.into_inner().product_ids {
            match known.get(&product_id.parse().unwrap()) {
                Some(product) => response.products.push(product.clone()),
                None => response.missing_product_ids.push(product_id),
            }
        }
        Ok(Response::new(response))
    }
}

/// Carts by user.
#[derive(Clone, Default)]
pub struct Carts(pub Arc<Mutex<BTreeMap<String, Cart>>>);

impl Carts {
    pub fn put(&self, user_id: Uuid, version: i64, items: &[(Uuid, i32)]) {
        let items = items.iter().map(|(product_id, quantity)| CartItem {
            product_id: product_id.to_string(),
            quantity: *quantity,
            ..CartItem::default()
        });
        let cart = Cart { items: items.collect(), version, ..Cart::default() };
        self.0.lock().insert(user_id.to_string(), cart);
    }
}

#[tonic::async_trait]
impl CartService for Carts {
    async fn get_cart(
        &self,
        request: Request<GetCartRequest>,
    ) -> Result<Response<GetCartResponse>, Status> {
        let cart = self.0.lock().get(&request.get_ref().user_id).cloned();
        Ok(Response::new(GetCartResponse { cart: cart.or_else(|| Some(Cart::default())) }))
    }
}

/// Address books by user.
#[derive(Clone, Default)]
pub struct Users(pub Arc<Mutex<BTreeMap<String, Vec<Address>>>>);

#[tonic::async_trait]
impl UserService for Users {
    async fn list_addresses(
        &self,
        request: Request<ListAddressesRequest>,
    ) -> Result<Response<ListAddressesResponse>, Status> {
        let addresses = self.0.lock().get(&request.get_ref().user_id).cloned().unwrap_or_default();
        Ok(Response::new(ListAddressesResponse { addresses, next_page_token: String::new() }))
    }
}

/// A workflow: what it was started with, its answer and its history.
#[derive(Clone, Default)]
struct Run {
    input: Vec<u8>,
    answer: Option<String>,
    events: Vec<HistoryEvent>,
    state: WorkflowState,
}

/// Workflows, moved by the test's hand.
#[derive(Clone)]
pub struct Workflows {
    runs: Arc<watch::Sender<BTreeMap<String, Run>>>,
    /// What a new workflow answers; nothing when it does not by itself.
    pub answer: Arc<Mutex<Option<String>>>,
    /// Calls of StartWorkflow.
    pub starts: Arc<AtomicUsize>,
    /// Whether StartWorkflow fails.
    pub away: Arc<Mutex<bool>>,
    /// Whether those who follow a history hear nothing for now; those who look back do.
    pub lag: Arc<watch::Sender<bool>>,
}

pub const PLACED: &str =
    r#"{"placement":"PLACED","payment_id":"9a3f6c1e-1c57-5d0e-8a52-7d6f1b0e2c33"}"#;

impl Default for Workflows {
    fn default() -> Workflows {
        Workflows {
            runs: Arc::new(watch::channel(BTreeMap::new()).0),
            answer: Arc::new(Mutex::new(Some(PLACED.to_owned()))),
            starts: Arc::default(),
            away: Arc::default(),
            lag: Arc::new(watch::channel(false).0),
        }
    }
}

impl Workflows {
    /// The ids of all workflows that were started.
    pub fn started(&self) -> Vec<String> {
        self.runs.borrow().keys().cloned().collect()
    }

    pub fn input(&self, order_id: &str) -> serde_json::Value {
        serde_json::from_slice(&self.runs.borrow()[&format!("order/{order_id}")].input).unwrap()
    }

    /// Returns once so many workflows have been started.
    pub async fn wait_for(&self, count: usize) {
        let mut runs = self.runs.subscribe();
        soon(runs.wait_for(|runs| runs.len() >= count)).await.unwrap();
    }

    pub fn give_answer(&self, order_id: &str, answer: &str) {
        self.change(order_id, |run| run.answer = Some(answer.to_owned()));
    }

    /// Adds an event to a workflow's history.
    pub fn tell(
        &self,
        order_id: &str,
        kind: HistoryEventKind,
        name: &str,
        payload: &str,
        at_ms: i64,
    ) {
        self.change(order_id, |run| {
            run.events.push(HistoryEvent {
                sequence: run.events.len() as i64 + 1,
                time: Some(timestamp(at_ms)),
                kind: kind.into(),
                name: name.to_owned(),
                payload: payload.to_owned().into(),
                ..HistoryEvent::default()
            });
        });
    }

    pub fn close(&self, order_id: &str) {
        self.change(order_id, |run| run.state = WorkflowState::Completed);
    }

    fn change(&self, order_id: &str, change: impl FnOnce(&mut Run)) {
        self.runs.send_modify(|runs| {
            change(runs.entry(format!("order/{order_id}")).or_default());
        });
    }
}

#[tonic::async_trait]
impl WorkflowService for Workflows {
    async fn start_workflow(
        &self,
        request: Request<StartWorkflowRequest>,
    ) -> Result<Response<StartWorkflowResponse>, Status> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        if *self.away.lock() {
            return Err(Status::new(Code::Unavailable, "away"));
        }
        let request = request.into_inner();
        assert_eq!(request.workflow_type, "place_order");
        let mut already_started = true;
        self.runs.send_modify(|runs| {
            let run = runs.entry(request.workflow_id.clone()).or_insert_with(|| {
                already_started = false;
                let input = request.input.to_vec();
                let answer = self.answer.lock().clone();
                Run { input, answer, state: WorkflowState::Running, ..Run::default() }
            });
            assert_eq!(run.input, request.input, "a join with another input");
        });
        let mut runs = self.runs.subscribe();
        let wait = request
            .wait_for_answer
            .map_or(0, |wait| wait.seconds * 1_000 + i64::from(wait.nanos) / 1_000_000);
        let wait = std::time::Duration::from_millis(wait as u64);
        let answered = runs.wait_for(|runs| runs[&request.workflow_id].answer.is_some());
        let _ = tokio::time::timeout(wait, answered).await;
        let answer = self.runs.borrow()[&request.workflow_id].answer.clone();
        Ok(Response::new(StartWorkflowResponse {
            workflow_id: request.workflow_id,
            already_started,
            answer: answer.map(Into::into),
            state: WorkflowState::Running.into(),
            ..StartWorkflowResponse::default()
        }))
    }

    async fn get_workflow_history(
        &self,
        request: Request<GetWorkflowHistoryRequest>,
    ) -> Result<Response<BoxStream<GetWorkflowHistoryResponse>>, Status> {
        let GetWorkflowHistoryRequest { workflow_id, from_sequence, follow, .. } =
            request.into_inner();
        if !self.runs.borrow().contains_key(&workflow_id) {
            return Err(Status::new(Code::NotFound, "no such workflow"));
        }
        let (sender, receiver) = mpsc::channel(4);
        let mut runs = self.runs.subscribe();
        let mut lag = self.lag.subscribe();
        tokio::spawn(async move {
            let mut next = usize::try_from(from_sequence.max(1)).unwrap() - 1;
            loop {
                if follow && lag.wait_for(|lag| !*lag).await.is_err() {
                    return;
                }
                let run = runs.borrow_and_update()[&workflow_id].clone();
                let events = run.events.get(next..).unwrap_or_default().to_vec();
                next = next.max(run.events.len());
                let batch = GetWorkflowHistoryResponse { events, state: run.state.into() };
                if sender.send(Ok(batch)).await.is_err() || !follow {
                    return;
                }
                if run.state == WorkflowState::Completed || runs.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
