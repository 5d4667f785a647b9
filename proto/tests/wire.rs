//! The generated client against the generated server, in process: requests are judged before a
//! handler sees them, and what is not built says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use souk_proto::user::v1::user_service_client::UserServiceClient;
use souk_proto::user::v1::user_service_server::{UserService, UserServiceServer};
use souk_proto::user::v1::{LoginRequest, RegisterRequest, RegisterResponse, User};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::rules::register;

/// Counts the registrations that reach it.
#[derive(Clone, Default)]
struct Desk {
    reached: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl UserService for Desk {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        self.reached.fetch_add(1, Ordering::SeqCst);
        // Breaks rules that hold for requests: answers are not judged.
        let user =
            User { email: request.into_inner().email, user_id: "?".into(), ..User::default() };
        Ok(Response::new(RegisterResponse { user: Some(user), ..RegisterResponse::default() }))
    }
}

fn desk() -> (UserServiceClient<UserServiceServer<Desk>>, Arc<AtomicUsize>) {
    let desk = Desk::default();
    let reached = desk.reached.clone();
    (UserServiceClient::new(UserServiceServer::new(desk)), reached)
}

#[tokio::test]
async fn a_well_formed_request_reaches_its_handler() {
    let (mut client, reached) = desk();
    let answer = client.register(register()).await.expect("well-formed").into_inner();
    assert_eq!(answer.user.map(|user| user.email), Some(register().email));
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_broken_rule_is_told_field_by_field_and_nothing_is_done() {
    let (mut client, reached) = desk();
    let request = RegisterRequest { email: "ada".into(), password: "short".into(), ..register() };
    let status = client.register(request).await.expect_err("two rules are broken");
    assert_eq!(status.code(), Code::InvalidArgument);
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELDS", "souk"));
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    let told: Vec<(&str, &str)> =
        violations.iter().map(|v| (v.field.as_str(), v.description.as_str())).collect();
    let expected =
        [("email", "must be an e-mail address"), ("password", "must have at least 8 characters")];
    assert_eq!(told, expected);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_request_that_is_no_message_is_the_callers_fault() {
    let desk = Desk::default();
    let reached = desk.reached.clone();
    let mut grpc = tonic::client::Grpc::new(UserServiceServer::new(desk));
    let path = "/souk.user.v1.UserService/Register".parse().expect("a path");
    let codec = tonic_prost::ProstCodec::<Raw, RegisterResponse>::default();
    let raw = Raw { request_id: vec![0xff, 0xfe] };
    let outcome: Result<Response<RegisterResponse>, Status> =
        grpc.unary(Request::new(raw), path, codec).await;
    let status = outcome.expect_err("not UTF-8");
    assert_eq!(status.code(), Code::InvalidArgument);
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, "MALFORMED_MESSAGE");
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

/// Field 1 of a request as bytes, where the contract says text.
#[derive(Clone, PartialEq, prost::Message)]
struct Raw {
    #[prost(bytes = "vec", tag = "1")]
    request_id: Vec<u8>,
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let (mut client, _) = desk();
    let login = LoginRequest {
        email: "ada@example.org".into(),
        password: "correct horse".into(),
        request_id: String::new(),
    };
    let status = client.login(login).await.expect_err("not built");
    assert_eq!(status.code(), Code::Unimplemented);
}
