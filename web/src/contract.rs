//! The shapes of all messages as JSON, made from the same descriptors that the services are compiled from.
//!
//! ```json
//! {"messages": {"souk.cart.v1.GetCartRequest": [{"name": "user_id", "number": 1, "kind": "string"}]},
//!  "enums": {"souk.order.v1.OrderState": {"0": "ORDER_STATE_UNSPECIFIED"}}}
//! ```
//! A field is `repeated` or `optional` where the key says so; `type` names its message or enum.

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Map, Value, json};

/// The contract as the page reads it; made once, shared by all answers.
pub fn json() -> axum::body::Bytes {
    let pool = souk_proto::pool();
    let messages: Map<String, Value> = pool
        .all_messages()
        .map(|message| {
            let fields = message.fields().map(|field| describe(&field)).collect();
            (message.full_name().to_owned(), Value::Array(fields))
        })
        .collect();
    let enums: Map<String, Value> = pool
        .all_enums()
        .map(|kind| {
            let values = kind
                .values()
                .map(|value| (value.number().to_string(), value.name().into()))
                .collect::<Map<_, _>>();
            (kind.full_name().to_owned(), values.into())
        })
        .collect();
    json!({ "messages": messages, "enums": enums }).to_string().into()
}

fn describe(field: &FieldDescriptor) -> Value {
    let (kind, named) = kind(field.kind());
    let mut described = json!({ "name": field.name(), "number": field.number(), "kind": kind });
    if let Some(named) = named {
        described["type"] = named.into();
    }
    if field.cardinality() == prost_reflect::Cardinality::Repeated {
        described["repeated"] = true.into();
    } else if field.supports_presence() && kind != "message" {
        described["optional"] = true.into();
    }
    described
}

/// The page's name of a kind, and the message or enum that it refers to. `sint` and `fixed` integers are
/// not used by the contract; a page that meets one says so rather than misread it.
fn kind(kind: Kind) -> (&'static str, Option<String>) {
    match kind {
        Kind::String => ("string", None),
        Kind::Bytes => ("bytes", None),
        Kind::Bool => ("bool", None),
        Kind::Double => ("double", None),
        Kind::Float => ("float", None),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => ("integer", None),
        Kind::Message(message) => ("message", Some(message.full_name().to_owned())),
        Kind::Enum(kind) => ("enum", Some(kind.full_name().to_owned())),
        Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64 => ("unsupported", None),
    }
}
