//! Drain: what is under way finishes, streams go elsewhere, nothing waits for ever.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use souk_mesh::error::reason_of;
use souk_mesh::{server, telemetry};
use souk_proto::catalog::v1::catalog_service_server::CatalogServiceServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

use crate::stack::support::{DRAIN_LIMIT, Shop, Stub, Way, both_ways, inventory, name, product};

both_ways!(a_drain_lets_calls_finish_and_sends_streams_elsewhere);

async fn a_drain_lets_calls_finish_and_sends_streams_elsewhere(way: Way) {
    let gate = Arc::new(Semaphore::new(0));
    let (entered, mut enters) = mpsc::unbounded_channel();
    let waits = Arc::clone(&gate);
    let stub = Stub::new().get_product(move |_| {
        entered.send(()).unwrap();
        let waits = Arc::clone(&waits);
        async move {
            let _permit = waits.acquire().await.unwrap();
            Ok(String::from("finished"))
        }
    });
    let shop = Shop::open(way, stub).await;
    shop.server.readiness.set_ready();
    assert!(shop.server.readiness.is_ready());
    let mut stream = shop.catalog().watch_inventory(inventory()).await.unwrap().into_inner();
    let mut client = shop.catalog();
    let call = tokio::spawn(async move { client.get_product(product()).await });
    enters.recv().await.unwrap();

    let tasks = shop.server.tasks.clone();
    let drained = tokio::spawn(async move { tasks.drain(DRAIN_LIMIT).await });
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(reason_of(&error).as_deref(), Some("DRAINING"));
    assert!(!shop.server.readiness.is_ready());

    gate.add_permits(1);
    assert_eq!(name(call.await.unwrap().unwrap()), "finished");
    drained.await.unwrap().unwrap();
    if let Some(address) = shop.address {
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
    }
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_end() {
    let (entered, mut enters) = mpsc::unbounded_channel();
    let stub = Stub::new().get_product(move |_| {
        entered.send(()).unwrap();
        std::future::pending()
    });
    let shop = Shop::open(Way::InProcess, Stub::new()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let stack = shop.server.stack.clone();
    let limit = Duration::from_millis(50);
    let served = tokio::spawn(async move {
        let services = vec![("catalog", Routes::new(CatalogServiceServer::new(stub)))];
        server::serve(listener, &stack, services, limit).await
    });
    shop.client.directory.bind_remote("catalog", vec![uri]);
    let mut client = shop.catalog();
    let call = tokio::spawn(async move { client.get_product(product()).await });
    enters.recv().await.unwrap();

    shop.server.tasks.drain(DRAIN_LIMIT).await.unwrap();
    served.await.unwrap().unwrap();
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

/// One frame of HTTP/2 (RFC 9113, 4.1) on stream 0.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 0], payload].concat()
}

/// The kind and the payload of the next frame; nothing at the end.
async fn next_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    match stream.read_exact(&mut head).await {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
        read => read.unwrap(),
    };
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await.unwrap();
    Some((head[3], payload))
}

#[tokio::test]
async fn a_client_that_still_sends_while_the_server_drains_is_not_met_by_a_reset() {
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const ACK: u8 = 1;
    const NO_SUCH_FRAME: u8 = 0xfa;
    let shop = Shop::open(Way::Sockets, Stub::new()).await;
    let mut stream = TcpStream::connect(shop.address.unwrap()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
    assert_eq!(next_frame(&mut stream).await.unwrap().0, SETTINGS);

    let tasks = shop.server.tasks.clone();
    let drained = tokio::spawn(async move { tasks.drain(DRAIN_LIMIT).await });
    let mut goodbyes = 0;
    while let Some((kind, payload)) = next_frame(&mut stream).await {
        match kind {
            PING => stream.write_all(&frame(PING, ACK, &payload)).await.unwrap(),
            GOAWAY => goodbyes += 1,
            _ => {}
        }
    }
    assert_eq!(goodbyes, 2, "no new calls; then: these were the last that I took");
    // More than enough turns for the server to close the socket, had it not waited for us.
    for _ in 0..1_000 {
        stream.write_all(&frame(NO_SUCH_FRAME, 0, &[0; 64])).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(!drained.is_finished());
    drop(stream);
    drained.await.unwrap().unwrap();
}

#[tokio::test]
async fn health_and_reflection_tell_what_is_served() {
    let shop = Shop::open(Way::Sockets, Stub::new()).await;
    let uri = format!("http://{}", shop.address.unwrap());
    let channel = tonic::transport::Endpoint::from_shared(uri).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "souk.order.v1.OrderService", "souk.catalog.v1.CatalogService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let absent = HealthCheckRequest { service: "souk.cart.v1.CartService".into() };
    assert_eq!(health.check(absent).await.unwrap_err().code(), Code::NotFound);

    let mut updates = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(updates.next().await.unwrap().unwrap().status(), ServingStatus::Serving);

    use tonic_reflection::pb::v1 as reflection;
    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(channel);
    use reflection::server_reflection_request::MessageRequest;
    use reflection::server_reflection_response::MessageResponse;
    let ask = |message| reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    // The details of errors are known too, so that grpcurl shows them in words.
    let asked = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".into())),
    ]);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.next().await.unwrap().unwrap().message_response
    else {
        panic!("expected a list of services");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for expected in ["souk.order.v1.OrderService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|name| name == expected), "{expected} is not in {names:?}");
    }
    let details = answers.next().await.unwrap().unwrap().message_response;
    assert!(matches!(details, Some(MessageResponse::FileDescriptorResponse(_))), "{details:?}");
}

#[tokio::test]
async fn probes_follow_readiness() {
    let shop = Shop::open(Way::InProcess, Stub::new()).await;
    let probe = |path: &'static str| {
        let router = telemetry::router(shop.server.readiness.clone());
        async move {
            let request = Request::get(path).body(Body::empty()).unwrap();
            router.oneshot(request).await.unwrap().status()
        }
    };
    assert_eq!(probe("/health").await, StatusCode::OK);
    assert_eq!(probe("/ready").await, StatusCode::SERVICE_UNAVAILABLE);
    shop.server.readiness.set_ready();
    assert_eq!(probe("/ready").await, StatusCode::OK);
    shop.server.tasks.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(probe("/ready").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(probe("/health").await, StatusCode::OK);
}
