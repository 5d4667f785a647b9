//! Metrics of every method, and one trace through all services.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use souk_mesh::context::TraceContext;
use souk_mesh::telemetry;
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::stack::support::{
    Shop, Stub, Way, both_ways, inventory, metric, name, order, product, with_token,
};

both_ways!(every_method_is_counted_by_its_outcome, a_trace_goes_on_through_the_services);

async fn every_method_is_counted_by_its_outcome(way: Way) {
    let shop = Shop::open(way, Stub::new()).await;
    let handled = |method: &str, code: &str| {
        let labels = format!("service=\"souk.order.v1.OrderService\",method=\"{method}\"");
        metric(&format!("grpc_server_handled_total{{{labels},code=\"{code}\"}}"))
    };
    let seconds = || {
        let labels = "service=\"souk.order.v1.OrderService\",method=\"GetOrder\"";
        metric(&format!("grpc_server_handling_seconds_count{{{labels}}}"))
    };
    let before = (handled("GetOrder", "OK"), handled("GetOrder", "UNAUTHENTICATED"), seconds());
    let mut client = shop.forwarding_order();
    client.get_order(with_token(order(), &shop.customer())).await.unwrap();
    client.get_order(order()).await.unwrap_err();
    // Other tests count too: what is counted here has been counted at least.
    assert!(handled("GetOrder", "OK") >= before.0 + 1.0);
    assert!(handled("GetOrder", "UNAUTHENTICATED") >= before.1 + 1.0);
    assert!(seconds() >= before.2 + 2.0);

    // A stream that its client leaves was cancelled; made-up methods share one name.
    let watched = "service=\"souk.catalog.v1.CatalogService\",method=\"WatchInventory\"";
    let cancelled = format!("grpc_server_handled_total{{{watched},code=\"CANCELLED\"}}");
    let before = metric(&cancelled);
    drop(shop.catalog().watch_inventory(inventory()).await.unwrap());
    while metric(&cancelled) < before + 1.0 {
        tokio::task::yield_now().await;
    }
    assert!(!telemetry::render_metrics().contains("Nonsense"));
}

async fn a_trace_goes_on_through_the_services(way: Way) {
    let catalog: Arc<Mutex<Option<CatalogServiceClient<_>>>> = Arc::default();
    let client = Arc::clone(&catalog);
    let seen: Arc<Mutex<Vec<TraceContext>>> = Arc::default();
    let (in_order, in_catalog) = (Arc::clone(&seen), Arc::clone(&seen));
    let here = || telemetry::current_traceparent().unwrap().parse().unwrap();
    let stub = Stub::new()
        .get_order(move |_| {
            in_order.lock().push(here());
            let mut catalog = client.lock().clone().unwrap();
            async move { catalog.get_product(product()).await.map(|_| ()) }
        })
        .get_product(move |_| {
            in_catalog.lock().push(here());
            async { Ok(String::new()) }
        });
    let shop = Shop::open(way, stub).await;
    *catalog.lock() = Some(shop.catalog());

    let root = TraceContext::new_root();
    let mut request = with_token(order(), &shop.customer());
    request.metadata_mut().insert("traceparent", root.to_string().parse().unwrap());
    shop.forwarding_order().get_order(request).await.unwrap();
    let text = root.to_string();
    let mut client = shop.catalog();
    telemetry::in_trace("step", Some(&text), client.get_product(product())).await.unwrap();

    let seen = seen.lock().clone();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|trace| trace.trace_id == root.trace_id), "{seen:?}");
    let mut spans: Vec<_> = seen.iter().map(|trace| trace.span_id).collect();
    spans.push(root.span_id);
    spans.sort_unstable();
    spans.dedup();
    assert_eq!(spans.len(), 4, "each call is a span of its own");
}

/// A collector that keeps what it is sent.
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
        self.0.lock().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_collector_as_one_tree() {
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone());
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming),
    );
    let config = telemetry::Config { otlp_endpoint: endpoint, ..telemetry::Config::default() };
    let guard = telemetry::init("souk", &config).unwrap();
    assert!(matches!(telemetry::init("souk", &config), Err(telemetry::Error::StartedBefore)));

    let catalog: Arc<Mutex<Option<CatalogServiceClient<_>>>> = Arc::default();
    let client = Arc::clone(&catalog);
    let stub = Stub::new().get_order(move |_| {
        let mut catalog = client.lock().clone().unwrap();
        async move { catalog.get_product(product()).await.map(|_| ()) }
    });
    let shop = Shop::open(Way::Sockets, stub).await;
    *catalog.lock() = Some(shop.catalog());
    let root = TraceContext::new_root();
    let text = root.to_string();
    let request = with_token(order(), &shop.customer());
    let mut orders = shop.forwarding_order();
    telemetry::in_trace("place_order", Some(&text), orders.get_order(request)).await.unwrap();
    assert_eq!(name(shop.catalog().get_product(product()).await.unwrap()), "ok");
    guard.flush().await;

    let spans = collector.0.lock().clone();
    let ours: HashMap<&str, &Span> = spans
        .iter()
        .filter(|span| span.trace_id == root.trace_id.to_be_bytes())
        .map(|span| (span.name.as_str(), span))
        .collect();
    let parents = [
        ("place_order", root.span_id.to_be_bytes().to_vec()),
        ("/souk.order.v1.OrderService/GetOrder", ours["place_order"].span_id.clone()),
        (
            "/souk.catalog.v1.CatalogService/GetProduct",
            ours["/souk.order.v1.OrderService/GetOrder"].span_id.clone(),
        ),
    ];
    assert_eq!(ours.len(), parents.len(), "{:?}", ours.keys());
    for (name, parent) in parents {
        assert_eq!(ours[name].parent_span_id, parent, "{name}");
    }
}
