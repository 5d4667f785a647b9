//! The same shop split into three processes that meet over sockets, seen by a collector of traces.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use souk_proto::catalog::v1::GetProductRequest;
use souk_proto::order::v1::{OrderState, Placement};
use tempfile::TempDir;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::support::{Caller, Ledger, Program, Provider, Way, eventually, steady_address};

/// The trace that the customer's own side has begun, as W3C Trace Context writes it.
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID: &str = "b7ad6b7169203331";

/// Keeps every span that it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// A collector that listens, and where.
    fn start() -> (Self, String) {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", incoming.local_addr().unwrap());
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(incoming));
        (collector, url)
    }

    /// The spans of the customer's trace.
    fn trace(&self) -> Vec<Span> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|span| hex::encode(&span.trace_id) == TRACE_ID).cloned().collect()
    }
}

/// One process of the mesh, with `roles`; `services` says where others are.
fn serve(folder: &TempDir, roles: &str, services: &[(&str, &str)], settings: &[&str]) -> Program {
    let mut arguments = vec!["serve".to_owned()];
    arguments.extend(roles.split(' ').map(str::to_owned));
    arguments.extend(["--data".to_owned(), folder.path().join("data").display().to_string()]);
    let ports = ["edge", "ops", "internal"].map(|port| format!("listen.{port}=127.0.0.1:0"));
    let others = services.iter().map(|(role, url)| format!("mesh.services.{role}={url}"));
    let settings = settings.iter().map(|setting| (*setting).to_owned());
    for setting in ports.into_iter().chain(others).chain(settings) {
        arguments.extend(["--set".to_owned(), setting]);
    }
    let name = roles.split(' ').next().unwrap();
    Program::start(arguments, &folder.path().join(format!("{name}.log")))
}

#[tokio::test]
async fn three_processes_are_one_shop_and_an_order_is_one_trace() {
    let folder = TempDir::new().unwrap();
    let provider = Provider::start(folder.path()).await;
    let (collector, endpoint) = Collector::start();
    let traces = format!("telemetry.otlp_endpoint={endpoint}");
    let provided = format!("payment.provider_url={}", provider.url);

    let goods = serve(&folder, "user catalog cart", &[], &[&traces, "catalog.seed=true"]);
    let goods_url = goods.address("internal gRPC").await;
    let mut services: Vec<(&str, &str)> =
        ["user", "catalog", "cart"].map(|role| (role, goods_url.as_str())).to_vec();
    let roles = "order payment notify search workflow";
    let orders = serve(&folder, roles, &services, &[&traces, &provided]);
    let orders_url = orders.address("internal gRPC").await;
    services.extend(roles.split(' ').map(|role| (role, orders_url.as_str())));
    let edge = serve(&folder, "edge", &services, &[&traces]);
    let customer = Caller::register(&Way::new(&edge.address("the shop").await)).await;

    let product = customer.product().await;
    let before = customer.stock(&product.product_id).await;
    let mut request = Request::new(customer.order("tok_visa", &[(&product, 2)]));
    let traceparent = format!("00-{TRACE_ID}-{PARENT_ID}-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    let answer = customer.orders().place_order(request).await.unwrap().into_inner();
    assert_eq!(answer.placement(), Placement::Placed, "{answer:?}");
    let order_id = answer.order.unwrap().order_id;
    customer.until(&order_id, OrderState::Processing).await;
    let ledger = Ledger::new(&provider.url);
    eventually("the payment is captured and the pieces have left", async || {
        let stock = customer.stock(&product.product_id).await;
        let sold = (stock.on_hand, stock.reserved) == (before.on_hand - 2, 0);
        (sold && ledger.net(&order_id).await > 0).then_some(())
    })
    .await;

    let wanted = [
        "/souk.order.v1.OrderService/PlaceOrder",
        "/souk.workflow.v1.WorkflowService/StartWorkflow",
        "ReserveStock",
        "/souk.catalog.v1.CatalogService/ReserveInventory",
        "ConfirmPayment",
        "/souk.payment.v1.PaymentService/ConfirmPayment",
        "RecordOrder",
        "/souk.order.v1.OrderService/AppendOrderEvent",
        "CapturePayment",
        "/souk.payment.v1.PaymentService/CapturePayment",
    ];
    eventually("the order's whole trace is collected", async || {
        let spans = collector.trace();
        let names: HashSet<_> = spans.iter().map(|span| span.name.as_str()).collect();
        // Each span hangs on another one, and the first on the customer's own.
        let known: HashSet<_> = spans.iter().map(|span| hex::encode(&span.span_id)).collect();
        let mut parents = spans.iter().map(|span| hex::encode(&span.parent_span_id));
        let whole = parents.all(|parent| parent == PARENT_ID || known.contains(&parent));
        (whole && wanted.iter().all(|name| names.contains(name))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_role_that_is_away_is_missed_and_found_again() {
    let folder = TempDir::new().unwrap();
    let listen = format!("listen.internal={}", steady_address());
    let start = || serve(&folder, "user catalog cart", &[], &["catalog.seed=true", &listen]);
    let mut goods = start();
    let goods_url = goods.address("internal gRPC").await;
    let services = ["user", "catalog", "cart"].map(|role| (role, goods_url.as_str()));
    let edge = serve(&folder, "edge", &services, &[]);
    let customer = Caller::register(&Way::new(&edge.address("the shop").await)).await;
    let product = customer.product().await;

    goods.kill_9();
    let request = GetProductRequest { product_id: product.product_id.clone() };
    let status = customer.catalog().get_product(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(souk_mesh::error::reason_of(&status).is_some(), "{status:?}");

    let _goods = start();
    eventually("the catalog is found again", async || {
        customer.catalog().get_product(request.clone()).await.ok()
    })
    .await;
}
