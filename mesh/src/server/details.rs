//! Reasons for errors that come without one: from generated stubs, and from tonic's own decoding.

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use super::method::Method;
use crate::error;

/// The header with the binary `google.rpc.Status`.
const DETAILS_HEADER: &str = "grpc-status-details-bin";
/// What tonic says of a message over the size limit (`tonic::codec::decode`, 0.14).
const TOO_LARGE: &str = "decoded message length too large";
/// What tonic-prost says of bytes that are not the message (`tonic_prost::codec`, 0.14).
const NOT_DECODED: &str = "failed to decode Protobuf message";

/// Adds what is missing to an error that has no details; everything else passes as it is.
pub(super) fn complete(method: &Method, response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(DETAILS_HEADER) {
        return response;
    }
    let Some(bare) = Status::from_header_map(headers) else { return response };
    match explained(method, &bare) {
        Some(status) => status.into_http(),
        None => response,
    }
}

/// The same error with a reason, if it is one that comes without.
fn explained(method: &Method, bare: &Status) -> Option<Status> {
    match bare.code() {
        Code::Unimplemented if method.is_known() => {
            let message = format!("{} is not built yet", method.path);
            Some(error::status(Code::Unimplemented, "NOT_BUILT", message))
        }
        Code::Unimplemented => {
            let message = "there is no such method here";
            Some(error::status(Code::Unimplemented, "UNKNOWN_METHOD", message))
        }
        Code::OutOfRange if bare.message().contains(TOO_LARGE) => Some(error::status(
            Code::ResourceExhausted,
            "MESSAGE_TOO_LARGE",
            bare.message().trim_start_matches("Error, "),
        )),
        Code::Internal if bare.message().contains(NOT_DECODED) => {
            Some(error::status(Code::InvalidArgument, "MALFORMED_MESSAGE", bare.message()))
        }
        _ => None,
    }
}
