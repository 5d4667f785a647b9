//! Events and dead letters as messages.

use std::sync::atomic::{AtomicI64, Ordering};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use prost::Message as _;
use souk_proto::event::v1::Event;

use super::topology::Names;
use crate::bus::{DeadLetter, Error, REQUEST_LIFE_MS};

const CONTENT_TYPE: &str = "application/protobuf";
/// Written to disk: AMQP 0-9-1, basic class, delivery-mode.
const PERSISTENT: u8 = 2;
/// W3C Trace Context.
const TRACE_PARENT: &str = "traceparent";
const QUEUE: &str = "souk-queue";
const REASON: &str = "souk-reason";
const ATTEMPTS: &str = "souk-attempts";
const DEAD_ID: &str = "souk-dead-id";
const DEAD_AT_MS: &str = "souk-dead-at-ms";
const MARK: &str = "souk-mark";
const REQUEST: &str = "souk-request";
const FINGERPRINT: &str = "souk-fingerprint";
/// How long a mark may stay where nobody takes it, in milliseconds.
const MARK_LIFE_MS: &str = "60000";

/// Something to publish.
pub(super) struct Message {
    pub exchange: ShortString,
    pub routing_key: ShortString,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

/// An event for everybody.
pub(super) fn of_event(names: &Names, event: &Event) -> Result<Message, Error> {
    let routing_key = ShortString::try_new(event.r#type.as_str())
        .map_err(|_| Error::Topic(event.r#type.clone()))?;
    let exchange = names.events();
    let (properties, body) = (properties(event, FieldTable::default()), event.encode_to_vec());
    Ok(Message { exchange, routing_key, properties, body })
}

/// An event for one queue: a dead letter that is replayed, or what was kept for a new queue.
pub(super) fn of_event_for(names: &Names, queue: &str, event: &Event) -> Message {
    let properties = properties(event, FieldTable::default());
    to_queue(names.queue(queue), properties, event.encode_to_vec())
}

/// A dead letter for the queue of those.
pub(super) fn of_dead(names: &Names, letter: &DeadLetter) -> Message {
    let mut headers = FieldTable::default();
    headers.insert(QUEUE.into(), text(&letter.queue));
    headers.insert(REASON.into(), text(&letter.reason));
    headers.insert(ATTEMPTS.into(), AMQPValue::LongLongInt(letter.attempts.into()));
    headers.insert(DEAD_ID.into(), AMQPValue::LongLongInt(letter.id));
    headers.insert(DEAD_AT_MS.into(), AMQPValue::LongLongInt(letter.dead_at_ms));
    let properties = properties(&letter.event, headers);
    to_queue(names.dead(), properties, letter.event.encode_to_vec())
}

/// What a reader of a queue puts behind everything, to know that it has read all.
pub(super) fn of_mark(queue: ShortString, mark: &str) -> Message {
    let mut headers = FieldTable::default();
    headers.insert(MARK.into(), text(mark));
    let properties =
        BasicProperties::default().with_headers(headers).with_expiration(MARK_LIFE_MS.into());
    to_queue(queue, properties, Vec::new())
}

/// Which dead letters a request replays.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The request by its name, in hexadecimal.
    pub request: String,
    /// What it asks for, in hexadecimal.
    pub fingerprint: String,
    /// The dead letters that were chosen.
    pub ids: Vec<i64>,
}

/// A receipt for the queue of those, which the broker forgets when it is old.
pub(super) fn of_receipt(names: &Names, receipt: &Receipt) -> Message {
    let mut headers = FieldTable::default();
    headers.insert(REQUEST.into(), text(&receipt.request));
    headers.insert(FINGERPRINT.into(), text(&receipt.fingerprint));
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
        .with_expiration(REQUEST_LIFE_MS.to_string().into());
    let ids = receipt.ids.iter().flat_map(|id| id.to_be_bytes()).collect();
    to_queue(names.replays(), properties, ids)
}

fn to_queue(queue: ShortString, properties: BasicProperties, body: Vec<u8>) -> Message {
    Message { exchange: "".into(), routing_key: queue, properties, body }
}

fn properties(event: &Event, mut headers: FieldTable) -> BasicProperties {
    if !event.trace_parent.is_empty() {
        headers.insert(TRACE_PARENT.into(), text(&event.trace_parent));
    }
    let properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers);
    // For people who look; we read it from the event.
    match ShortString::try_new(event.event_id.as_str()) {
        Ok(id) => properties.with_message_id(id),
        Err(_too_long) => properties,
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// The mark that a message is, if it is one.
pub(super) fn mark_of(properties: &BasicProperties) -> Option<String> {
    text_of(properties.headers().as_ref()?, MARK)
}

/// What the queues of dead letters and of receipts hold.
pub(super) enum Read {
    Letter(Box<DeadLetter>),
    Receipt(Receipt),
    Mark(String),
    /// Nothing of ours.
    Unknown,
}

pub(super) fn read(properties: &BasicProperties, body: &[u8]) -> Read {
    if let Some(mark) = mark_of(properties) {
        return Read::Mark(mark);
    }
    let Some(headers) = properties.headers() else { return Read::Unknown };
    if let Some(receipt) = receipt(headers, body) {
        return Read::Receipt(receipt);
    }
    letter(headers, body).map_or(Read::Unknown, |letter| Read::Letter(Box::new(letter)))
}

fn receipt(headers: &FieldTable, body: &[u8]) -> Option<Receipt> {
    let (ids, rest) = body.as_chunks::<{ size_of::<i64>() }>();
    let is_whole = rest.is_empty();
    is_whole.then_some(Receipt {
        request: text_of(headers, REQUEST)?,
        fingerprint: text_of(headers, FINGERPRINT)?,
        ids: ids.iter().map(|id| i64::from_be_bytes(*id)).collect(),
    })
}

fn letter(headers: &FieldTable, body: &[u8]) -> Option<DeadLetter> {
    Some(DeadLetter {
        id: number_of(headers, DEAD_ID)?,
        queue: text_of(headers, QUEUE)?,
        event: Event::decode(body).ok()?,
        reason: text_of(headers, REASON)?,
        attempts: number_of(headers, ATTEMPTS)?.try_into().ok()?,
        dead_at_ms: number_of(headers, DEAD_AT_MS)?,
    })
}

fn text_of(headers: &FieldTable, name: &str) -> Option<String> {
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn number_of(headers: &FieldTable, name: &str) -> Option<i64> {
    match headers.inner().get(name)? {
        AMQPValue::LongLongInt(number) => Some(*number),
        _ => None,
    }
}

/// Ids of dead letters: the time in milliseconds, and below it a random number, so that those of
/// different processes differ. They grow within a process whatever the clock does.
#[derive(Default)]
pub(super) struct DeadIds(AtomicI64);

impl DeadIds {
    const RANDOM_BITS: u32 = 20;

    pub(super) fn next(&self, now_ms: i64) -> i64 {
        let random = rand::random_range(0..1_i64 << Self::RANDOM_BITS);
        let by_time = (now_ms << Self::RANDOM_BITS) | random;
        let after = |last: i64| Some(by_time.max(last + 1));
        // The closure always has an answer, so both are the id before.
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        by_time.max(last.unwrap_or_else(|last| last) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_read_as_it_was_written() {
        let event =
            Event { event_id: "e".into(), trace_parent: "00-a-b-01".into(), ..Event::default() };
        let letter = DeadLetter {
            id: 7,
            queue: "orders".into(),
            event,
            reason: "Größe fehlt".into(),
            attempts: 16,
            dead_at_ms: 1_800_000_000_000,
        };
        let message = of_dead(&Names::new("souk"), &letter);
        let Read::Letter(read) = read(&message.properties, &message.body) else {
            panic!("no letter")
        };
        assert_eq!(*read, letter);
        let headers = message.properties.headers().as_ref().unwrap();
        assert_eq!(text_of(headers, TRACE_PARENT).unwrap(), "00-a-b-01");
    }

    #[test]
    fn a_receipt_is_read_as_it_was_written() {
        let names = Names::new("souk");
        for ids in [vec![], vec![1, -7, i64::MAX]] {
            let receipt = Receipt { request: "ab".into(), fingerprint: "cd".into(), ids };
            let message = of_receipt(&names, &receipt);
            let read = read(&message.properties, &message.body);
            assert!(matches!(read, Read::Receipt(read) if read == receipt));
        }
    }

    #[test]
    fn what_is_not_ours_is_no_letter() {
        assert!(matches!(read(&BasicProperties::default(), b""), Read::Unknown));
    }

    #[test]
    fn ids_grow_even_when_the_clock_goes_back() {
        let ids = DeadIds::default();
        let given: Vec<i64> = [1_000, 1_000, 1_000, 500, 2_000].map(|ms| ids.next(ms)).into();
        assert!(given.is_sorted_by(|one, next| one < next), "{given:?}");
    }
}
