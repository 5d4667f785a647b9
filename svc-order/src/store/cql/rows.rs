//! Orders and timeline entries as rows, both ways.

use prost::Message as _;
use scylla::DeserializeRow;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use souk_mesh::cql;
use souk_mesh::idempotency::RequestKey;
use souk_mesh::money::{Currency, Money};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use crate::Error;
use crate::domain::{Cancellation, Entry, Order, Parcel, Shipment, State};
use crate::store::Start;
use crate::store::details::Details;

/// What never changes after placing, beside what has a column.
#[derive(Serialize, Deserialize)]
struct Fixed {
    currency: String,
    total_minor: i64,
    email: String,
    cart_version: Option<u64>,
    #[serde(flatten)]
    details: Details,
}

/// What changes may bring, beside state, version and time.
#[derive(Default, Serialize, Deserialize)]
struct Changing {
    payment_id: Option<Uuid>,
    parcel: Option<StoredParcel>,
    /// Reason and note.
    cancellation: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct StoredParcel {
    carrier: String,
    tracking_number: String,
    shipped_at_ms: i64,
    delivered_at_ms: Option<i64>,
}

/// Which order a request placed: a row of `placing`.
#[derive(Clone, DeserializeRow)]
pub(super) struct Claim {
    pub fingerprint: Vec<u8>,
    pub order_id: Uuid,
    pub user_id: Uuid,
    pub created_at_ms: i64,
    pub fixed: String,
    pub event: Vec<u8>,
}

impl Claim {
    /// The claim of the request `key` on a new order.
    pub fn of(order: &Order, key: &RequestKey, event: &Event) -> Result<Claim, Error> {
        Ok(Claim {
            fingerprint: key.fingerprint.to_vec(),
            order_id: order.id,
            user_id: order.user_id,
            created_at_ms: order.created_at_ms,
            fixed: fixed_of(order)?,
            event: event.encode_to_vec(),
        })
    }

    /// Refuses a request that was used before with other parameters.
    pub fn check(&self, key: &RequestKey) -> Result<(), Error> {
        if self.fingerprint == key.fingerprint { Ok(()) } else { Err(Error::RequestIdReused) }
    }

    /// The order as it was placed.
    pub fn order(&self) -> Result<Order, Error> {
        order_of(Head {
            id: self.order_id,
            user_id: self.user_id,
            state: State::Pending.number(),
            version: 1,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.created_at_ms,
            fixed: &self.fixed,
            changing: None,
        })
    }

    /// What tells of the placing.
    pub fn event(&self) -> Result<Event, Error> {
        decode_event(&self.event)
    }
}

/// A row of `orders`, its static columns with it. Without `version` there is no order (yet), only an input.
#[derive(Clone, DeserializeRow)]
pub(super) struct OrderRow {
    pub order_id: Uuid,
    user_id: Option<Uuid>,
    state: Option<i64>,
    version: Option<i64>,
    created_at_ms: Option<i64>,
    updated_at_ms: Option<i64>,
    fixed: Option<String>,
    changing: Option<String>,
    input: Option<Vec<u8>>,
    answer: Option<Vec<u8>>,
    entry: Option<i64>,
    entry_state: Option<i64>,
    at_ms: Option<i64>,
    reason: Option<String>,
    note: Option<String>,
    actor: Option<String>,
    request: Option<Vec<u8>>,
    fingerprint: Option<Vec<u8>>,
}

/// The columns of [`OrderRow`].
pub(super) const ORDER_COLUMNS: &str = "order_id, user_id, state, version, created_at_ms, \
     updated_at_ms, fixed, changing, input, answer, entry, entry_state, at_ms, reason, note, actor, request, \
     fingerprint";

impl cql::Row<Uuid> for OrderRow {
    fn key(&self) -> Uuid {
        self.order_id
    }
}

/// An order as it was found.
pub(super) struct Found {
    pub order: Order,
    pub entries: Vec<Kept>,
    input: Option<Vec<u8>>,
    answer: Option<Vec<u8>>,
}

/// A timeline entry, and the request that made it.
pub(super) struct Kept {
    pub entry: Entry,
    pub request: Vec<u8>,
    pub fingerprint: Vec<u8>,
}

impl Found {
    /// From rows of one partition; `None` when they hold no order.
    pub fn of(rows: Vec<OrderRow>) -> Result<Option<Found>, Error> {
        let Some(first) = rows.first() else { return Ok(None) };
        let OrderRow {
            order_id,
            user_id: Some(user_id),
            state: Some(state),
            version: Some(version),
            created_at_ms: Some(created_at_ms),
            updated_at_ms: Some(updated_at_ms),
            fixed: Some(fixed),
            changing,
            input,
            answer,
            ..
        } = first
        else {
            return Ok(None);
        };
        let order = order_of(Head {
            id: *order_id,
            user_id: *user_id,
            state: *state,
            version: *version,
            created_at_ms: *created_at_ms,
            updated_at_ms: *updated_at_ms,
            fixed,
            changing: changing.as_deref(),
        })?;
        let (input, answer) = (input.clone(), answer.clone());
        let entries = rows.into_iter().map(kept_of).collect::<Result<_, _>>()?;
        Ok(Some(Found { order, entries, input, answer }))
    }

    /// The workflow's answer, if it is known.
    pub fn has_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// The order, and how far its workflow has come.
    pub fn into_start(self) -> Result<(Order, Start), Error> {
        let start = match (self.answer, self.input) {
            (Some(answer), _) => Start::Answer(answer),
            (None, Some(input)) => Start::Input(input),
            (None, None) => return Err(Error::corrupt("order start", "neither input nor answer")),
        };
        Ok((self.order, start))
    }
}

fn kept_of(row: OrderRow) -> Result<Kept, Error> {
    let missing = || Error::corrupt("order entry", "a column is missing");
    let entry = Entry {
        version: to_u64(row.entry.ok_or_else(missing)?)?,
        state: state_of(row.entry_state.ok_or_else(missing)?)?,
        at_ms: row.at_ms.ok_or_else(missing)?,
        reason: row.reason.ok_or_else(missing)?,
        note: row.note.ok_or_else(missing)?,
        actor: row.actor.ok_or_else(missing)?,
    };
    // The first entry's request is in `placing`.
    let (request, fingerprint) = (row.request.unwrap_or_default(), row.fingerprint);
    Ok(Kept { entry, request, fingerprint: fingerprint.unwrap_or_default() })
}

struct Head<'a> {
    id: Uuid,
    user_id: Uuid,
    state: i64,
    version: i64,
    created_at_ms: i64,
    updated_at_ms: i64,
    fixed: &'a str,
    changing: Option<&'a str>,
}

fn order_of(head: Head<'_>) -> Result<Order, Error> {
    let fixed: Fixed = decode("order", head.fixed)?;
    let changing: Changing =
        head.changing.map(|text| decode("order changes", text)).transpose()?.unwrap_or_default();
    let currency = Currency::from_code(&fixed.currency)
        .map_err(|problem| Error::corrupt("order currency", problem))?;
    let (lines, address) = fixed.details.into_parts(currency);
    let parcel = changing.parcel.map(|stored| Parcel {
        shipment: Shipment { carrier: stored.carrier, tracking_number: stored.tracking_number },
        shipped_at_ms: stored.shipped_at_ms,
        delivered_at_ms: stored.delivered_at_ms,
    });
    let cancellation = changing.cancellation.map(|(reason, note)| Cancellation { reason, note });
    Ok(Order {
        id: head.id,
        user_id: head.user_id,
        state: state_of(head.state)?,
        version: to_u64(head.version)?,
        lines,
        total: Money::new(fixed.total_minor, currency),
        address,
        email: fixed.email,
        cart_version: fixed.cart_version,
        payment_id: changing.payment_id,
        parcel,
        cancellation,
        created_at_ms: head.created_at_ms,
        updated_at_ms: head.updated_at_ms,
    })
}

fn fixed_of(order: &Order) -> Result<String, Error> {
    encode(
        "order",
        &Fixed {
            currency: order.total.currency.code().to_owned(),
            total_minor: order.total.minor,
            email: order.email.clone(),
            cart_version: order.cart_version,
            details: Details::of(order),
        },
    )
}

/// The column `changing` of an order.
pub(super) fn changing_of(order: &Order) -> Result<String, Error> {
    let parcel = order.parcel.as_ref().map(|parcel| StoredParcel {
        carrier: parcel.shipment.carrier.clone(),
        tracking_number: parcel.shipment.tracking_number.clone(),
        shipped_at_ms: parcel.shipped_at_ms,
        delivered_at_ms: parcel.delivered_at_ms,
    });
    let cancellation = order.cancellation.as_ref();
    let cancellation = cancellation.map(|why| (why.reason.clone(), why.note.clone()));
    encode("order changes", &Changing { payment_id: order.payment_id, parcel, cancellation })
}

/// An event as it was stored.
pub(super) fn decode_event(bytes: &[u8]) -> Result<Event, Error> {
    Event::decode(bytes).map_err(|problem| Error::corrupt("order event", problem))
}

fn encode(what: &'static str, value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|problem| Error::corrupt(what, problem))
}

fn decode<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|problem| Error::corrupt(what, problem))
}

/// The state stored under a number.
pub(super) fn state_of(number: i64) -> Result<State, Error> {
    State::from_number(number).ok_or_else(|| Error::corrupt("order state", number))
}

fn to_u64(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|problem| Error::corrupt("order version", problem))
}
