//! The codec of every generated client and server: protobuf, and on decoding a request its field
//! rules, before a handler sees it.

use std::collections::HashMap;
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::ProstEncoder;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::ERROR_DOMAIN;
use crate::validate::Validate;

/// Reason of a request that is not a protobuf message of its type.
const MALFORMED_MESSAGE: &str = "MALFORMED_MESSAGE";

/// Protobuf that refuses requests which break a field rule.
#[derive(Debug, Clone)]
pub struct ValidatingCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ValidatingCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ValidatingCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Validate + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ValidatingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ValidatingDecoder(PhantomData)
    }
}

/// Decodes messages and judges those that are requests.
#[derive(Debug, Clone)]
pub struct ValidatingDecoder<U>(PhantomData<U>);

impl<U: Message + Default + Validate> Decoder for ValidatingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = U::decode(source).map_err(|error| malformed(U::REQUEST, &error))?;
        if U::REQUEST {
            message.validate()?;
        }
        Ok(Some(message))
    }
}

/// The caller's fault when it is a request, ours when it is an answer.
fn malformed(is_request: bool, error: &prost::DecodeError) -> Status {
    let code = if is_request { Code::InvalidArgument } else { Code::Internal };
    let details = ErrorDetails::with_error_info(MALFORMED_MESSAGE, ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(code, format!("not a message of the contract: {error}"), details)
}
