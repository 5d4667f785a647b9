//! gRPC-web as browsers speak it, byte by byte.
//!
//! Protocol: github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use prost::Message as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use souk_mesh::identity::Role;
use souk_proto::catalog::v1::{
    GetProductRequest, GetProductResponse, WatchInventoryRequest, WatchInventoryResponse,
};
use souk_proto::google::rpc::{ErrorInfo, Status};
use souk_proto::order::v1::{GetOrderRequest, GetOrderResponse};

use crate::support::{Edge, KNOWN, UNKNOWN};

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";
const GET_PRODUCT: &str = "/souk.catalog.v1.CatalogService/GetProduct";
const WATCH_INVENTORY: &str = "/souk.catalog.v1.CatalogService/WatchInventory";
/// The flag of a frame that carries trailers.
const TRAILERS: u8 = 0x80;
const FRAME_HEADER_BYTES: usize = 5;

/// An answer taken apart: its messages, and its status with what goes with it.
struct Answer {
    content_type: String,
    messages: Vec<Vec<u8>>,
    trailers: Vec<(String, String)>,
}

impl Answer {
    fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The reason in the details of the status.
    fn reason(&self) -> String {
        let details = self.trailer("grpc-status-details-bin").unwrap().trim_end_matches('=');
        let details = STANDARD_NO_PAD.decode(details).unwrap();
        let status = Status::decode(details.as_slice()).unwrap();
        let info = status.details.iter().find(|detail| detail.type_url.ends_with("ErrorInfo"));
        ErrorInfo::decode(info.unwrap().value.as_slice()).unwrap().reason
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

async fn call(edge: &Edge, path: &str, content_type: &str, message: Vec<u8>) -> Answer {
    let body = match content_type {
        TEXT => STANDARD.encode(frame(&message)).into_bytes(),
        _ => frame(&message),
    };
    let request = reqwest::Client::new()
        .post(edge.url(path))
        .header(CONTENT_TYPE, content_type)
        .header(ACCEPT, content_type)
        .header("x-grpc-web", "1")
        .body(body);
    take_apart(request.send().await.unwrap()).await
}

/// Trailers are in the last frame, or, of an answer without messages, in the headers.
async fn take_apart(response: reqwest::Response) -> Answer {
    assert_eq!(response.status(), 200);
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().unwrap();
        Some((name.to_owned(), value.to_owned()))
    };
    let content_type = header("content-type").unwrap().1;
    let in_headers = ["grpc-status", "grpc-message", "grpc-status-details-bin"];
    let mut trailers: Vec<_> = in_headers.into_iter().filter_map(header).collect();
    let body = response.bytes().await.unwrap();
    let body = if content_type.starts_with("application/grpc-web-text") {
        from_text(&body)
    } else {
        body.to_vec()
    };
    let mut messages = Vec::new();
    let mut rest = body.as_slice();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..FRAME_HEADER_BYTES].try_into().unwrap()) as usize;
        let (flags, data) = (rest[0], &rest[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length]);
        rest = &rest[FRAME_HEADER_BYTES + length..];
        if flags & TRAILERS == 0 {
            messages.push(data.to_vec());
            continue;
        }
        for line in std::str::from_utf8(data).unwrap().lines() {
            let (name, value) = line.split_once(':').unwrap();
            trailers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    Answer { content_type, messages, trailers }
}

/// The text form may pad in the middle: each chunk is base64 of its own.
fn from_text(body: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(body).unwrap();
    let quanta = text.as_bytes().chunks(4);
    quanta.flat_map(|quantum| STANDARD.decode(quantum).unwrap()).collect()
}

fn get_product(product_id: &str) -> Vec<u8> {
    GetProductRequest { product_id: product_id.to_owned() }.encode_to_vec()
}

#[tokio::test]
async fn one_message_goes_and_comes_in_both_forms() {
    let edge = Edge::open().await;
    for content_type in [BINARY, TEXT] {
        let answer = call(&edge, GET_PRODUCT, content_type, get_product(KNOWN)).await;
        assert_eq!(answer.content_type, content_type);
        let [message] = answer.messages.as_slice() else { panic!("one message") };
        let product = GetProductResponse::decode(message.as_slice()).unwrap().product.unwrap();
        assert_eq!((product.product_id.as_str(), product.name.as_str()), (KNOWN, "Teapot"));
        assert_eq!(answer.trailer("grpc-status"), Some("0"), "{content_type}");
    }
}

#[tokio::test]
async fn a_refusal_tells_its_reason_in_both_forms() {
    let edge = Edge::open().await;
    for content_type in [BINARY, TEXT] {
        let answer = call(&edge, GET_PRODUCT, content_type, get_product(UNKNOWN)).await;
        assert!(answer.messages.is_empty());
        assert_eq!(answer.trailer("grpc-status"), Some("5"), "{content_type}");
        assert_eq!(
            answer.trailer("grpc-message"),
            Some("no%20such%20product:%20%E2%80%9Cth%C3%A9i%C3%A8re%E2%80%9D")
        );
        assert_eq!(answer.reason(), "PRODUCT_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_error_after_its_messages() {
    let edge = Edge::open().await;
    for (product_id, status) in [(KNOWN, "0"), (UNKNOWN, "5")] {
        let request = WatchInventoryRequest { product_id: product_id.to_owned() };
        let answer = call(&edge, WATCH_INVENTORY, BINARY, request.encode_to_vec()).await;
        let available: Vec<i64> = answer
            .messages
            .iter()
            .map(|message| WatchInventoryResponse::decode(message.as_slice()).unwrap())
            .map(|answer| answer.inventory.unwrap().available)
            .collect();
        assert_eq!(available, [2, 1]);
        assert_eq!(answer.trailer("grpc-status"), Some(status));
    }
}

#[tokio::test]
async fn a_token_is_passed_on() {
    let edge = Edge::open().await;
    let order = GetOrderRequest { order_id: KNOWN.to_owned() };
    let signed = edge.signed(Role::Customer, ());
    let token = signed.metadata().get("authorization").unwrap().to_str().unwrap();
    let request = reqwest::Client::new()
        .post(edge.url("/souk.order.v1.OrderService/GetOrder"))
        .header(CONTENT_TYPE, BINARY)
        .header(AUTHORIZATION, token)
        .body(frame(&order.encode_to_vec()));
    let answer = take_apart(request.send().await.unwrap()).await;
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
    let order = GetOrderResponse::decode(answer.messages[0].as_slice()).unwrap().order.unwrap();
    assert!(!order.user_id.is_empty());
}

#[tokio::test]
async fn what_is_not_exposed_is_refused_as_a_page_can_read_it() {
    let edge = Edge::open().await;
    let path = "/souk.order.v1.OrderService/ShipOrder";
    let answer = call(&edge, path, BINARY, Vec::new()).await;
    assert_eq!(answer.trailer("grpc-status"), Some("12"));
    assert_eq!(answer.reason(), "NOT_EXPOSED");
}

#[tokio::test]
async fn a_body_that_is_no_message_is_an_error_and_not_a_crash() {
    let edge = Edge::open().await;
    for body in [&b"\0\0\0\0\x05abc"[..], b"no frame", b"\0\xff\xff\xff\xff", b""] {
        let request = reqwest::Client::new()
            .post(edge.url(GET_PRODUCT))
            .header(CONTENT_TYPE, BINARY)
            .body(body.to_vec());
        let answer = take_apart(request.send().await.unwrap()).await;
        assert!(answer.messages.is_empty());
        assert_ne!(answer.trailer("grpc-status"), Some("0"), "{body:?}");
        assert!(answer.trailer("grpc-status").is_some(), "{body:?}");
    }
    call(&edge, GET_PRODUCT, BINARY, get_product(KNOWN)).await;
}
