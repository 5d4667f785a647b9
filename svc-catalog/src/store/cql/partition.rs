//! A product's partition: what is read of it for a group of operations, and what a group writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost::Message as _;
use scylla::DeserializeRow;
use souk_mesh::cql::outbox::Outbox;
use souk_mesh::cql::{Batch, Error as CqlError, Kind, Prepared, Session};
use souk_mesh::money::{Currency, Money};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use crate::domain::{Inventory, Line, Product, Reservation, State, Stock};
use crate::error::Error;
use crate::store::states;

/// Rows of one read: ScyllaDB takes at most 100 keys in one IN.
pub(super) const MAX_ROWS: usize = 100;
/// How long the events of a revision stay readable, in seconds: far longer than any relay needs, and short enough that
/// a partition does not grow by them.
const EVENTS_KEPT_S: i32 = 7 * 24 * 60 * 60;
/// How long an answer is kept that only its own process may look for, in seconds.
const PASSING_KEPT_S: i32 = 60 * 60;
/// A row that stays.
const FOR_GOOD: i32 = 0;
/// The number of a reservation's state where nothing is held and nothing was refused for good.
const GIVEN_UP: i8 = 0;

const HEAD: u8 = 0;
const RESERVATION: u8 = 1;
const ANSWER: u8 = 2;
const EVENTS: u8 = 3;

/// The key of a row within its product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Entry {
    /// The row that is always there.
    Head,
    /// A reservation.
    Reservation(Uuid),
    /// The answer of the request with this digest.
    Answer([u8; 32]),
    /// The events of a revision.
    Events(i64),
}

impl Entry {
    /// As the column holds it.
    pub(super) fn key(self) -> Vec<u8> {
        match self {
            Entry::Head => vec![HEAD],
            Entry::Reservation(id) => [&[RESERVATION], id.as_bytes().as_slice()].concat(),
            Entry::Answer(digest) => [&[ANSWER], digest.as_slice()].concat(),
            Entry::Events(revision) => [&[EVENTS], revision.to_be_bytes().as_slice()].concat(),
        }
    }

    fn of_key(key: &[u8]) -> Option<Entry> {
        let (kind, rest) = key.split_first()?;
        match *kind {
            HEAD => Some(Entry::Head),
            RESERVATION => Uuid::from_slice(rest).ok().map(Entry::Reservation),
            ANSWER => rest.try_into().ok().map(Entry::Answer),
            EVENTS => rest.try_into().ok().map(|rest| Entry::Events(i64::from_be_bytes(rest))),
            _ => None,
        }
    }
}

/// A product's stock and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Counts the partition's writes.
    pub(super) revision: i64,
    /// The stock.
    pub(super) inventory: Inventory,
    /// Counts the events about the product.
    pub(super) event_version: i64,
}

/// What a product knows of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// The order.
    pub(super) order_id: Uuid,
    /// All lines where this product decides for the whole reservation, else the product's own.
    pub(super) lines: Vec<Line>,
    /// `None`: pieces were held and given back before the reservation as a whole was.
    pub(super) state: Option<State>,
    /// As [`Reservation::until_ms`]; only where this product decides.
    pub(super) until_ms: i64,
    /// The attempt to hold all lines that this row belongs to.
    pub(super) round: i32,
    /// As [`Reservation::version`].
    pub(super) version: i64,
}

impl Kept {
    /// The reservation, as the domain sees it: nothing that was given up.
    pub(super) fn reservation(&self, id: Uuid) -> Option<Reservation> {
        Some(Reservation {
            id,
            order_id: self.order_id,
            lines: self.lines.clone(),
            state: self.state?,
            until_ms: self.until_ms,
            version: self.version,
        })
    }

    /// How many pieces of `product_id` it is about.
    pub(super) fn quantity(&self, product_id: Uuid) -> u32 {
        let line = self.lines.iter().find(|line| line.product_id == product_id);
        line.map_or(0, |line| line.quantity)
    }
}

/// The answer of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    /// Of the request's parameters.
    pub(super) fingerprint: Vec<u8>,
    /// As the caller got it.
    pub(super) answer: Vec<u8>,
}

impl Answered {
    /// Of a request with this fingerprint.
    pub(super) fn new(fingerprint: &[u8; 32], answer: Vec<u8>) -> Answered {
        Answered { fingerprint: fingerprint.to_vec(), answer }
    }
}

/// What was read of a partition, all at one revision.
#[derive(Debug, Clone, Default)]
pub(super) struct Loaded {
    /// `None`: there is no such product.
    pub(super) head: Option<Head>,
    /// Those asked for that are there.
    pub(super) reservations: HashMap<Uuid, Kept>,
    /// Those asked for that are there.
    pub(super) answers: HashMap<[u8; 32], Answered>,
}

/// A product without its stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The partition's revision when it was read.
    pub(super) revision: i64,
    /// The product.
    pub(super) product: Product,
    /// Names the entries of the lists that count.
    pub(super) listing: Uuid,
    /// Pieces that could be had.
    pub(super) available: i64,
}

/// What one conditional write changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// The revision that it is based on; `None` for a product that is not there yet.
    pub(super) based_on: Option<i64>,
    /// The head after it.
    pub(super) head: Option<Head>,
    /// The product after it, with its listing, if that changes.
    pub(super) facts: Option<(Product, Uuid)>,
    /// Reservations after it.
    pub(super) reservations: BTreeMap<Uuid, Kept>,
    /// New answers.
    pub(super) answers: BTreeMap<[u8; 32], Answered>,
    /// Those of the answers that nobody but this process asks for.
    pub(super) passing: BTreeSet<[u8; 32]>,
    /// What the rest of the shop is told of it.
    pub(super) events: Vec<Event>,
}

#[derive(DeserializeRow)]
struct Row {
    entry: Vec<u8>,
    revision: Option<i64>,
    event_version: Option<i64>,
    on_hand: Option<i64>,
    reserved: Option<i64>,
    stock_version: Option<i64>,
    stock_changed_at_ms: Option<i64>,
    order_id: Option<Uuid>,
    lines: Option<BTreeMap<Uuid, i32>>,
    quantity: Option<i32>,
    state: Option<i8>,
    until_ms: Option<i64>,
    round: Option<i32>,
    change: Option<i64>,
    fingerprint: Option<Vec<u8>>,
    answer: Option<Vec<u8>>,
}

#[derive(DeserializeRow)]
struct FactsRow {
    #[expect(dead_code, reason = "read because CQL wants it")]
    entry: Vec<u8>,
    revision: Option<i64>,
    sku: Option<String>,
    name: Option<String>,
    description: Option<String>,
    category_id: Option<Uuid>,
    price_minor: Option<i64>,
    currency: Option<String>,
    picture: Option<String>,
    archived: Option<bool>,
    version: Option<i64>,
    created_at_ms: Option<i64>,
    updated_at_ms: Option<i64>,
    listing: Option<Uuid>,
    on_hand: Option<i64>,
    reserved: Option<i64>,
}

const ROWS: &str = "SELECT entry, revision, event_version, on_hand, reserved, stock_version,
    stock_changed_at_ms, order_id, lines, quantity, state, until_ms, round, change, fingerprint, answer
    FROM {}.product WHERE product_id = ? AND entry IN ?";
// The key is read too: nothing but fixed columns may not be read of one row.
const FACTS: &str =
    "SELECT entry, revision, sku, name, description, category_id, price_minor, currency,
    picture, archived, version, created_at_ms, updated_at_ms, listing, on_hand, reserved
    FROM {}.product WHERE product_id = ? AND entry = 0x00";
const SET_HEAD: &str = "UPDATE {}.product SET revision = ?, event_version = ?, on_hand = ?,
    reserved = ?, stock_version = ?, stock_changed_at_ms = ? WHERE product_id = ? IF revision = ?";
const SET_FACTS: &str = "UPDATE {}.product SET sku = ?, name = ?, description = ?, category_id = ?,
    price_minor = ?, currency = ?, picture = ?, archived = ?, version = ?, created_at_ms = ?,
    updated_at_ms = ?, listing = ? WHERE product_id = ?";
const PUT_HEAD: &str = "INSERT INTO {}.product (product_id, entry) VALUES (?, 0x00)";
const PUT_RESERVATION: &str = "INSERT INTO {}.product
    (product_id, entry, order_id, lines, quantity, state, until_ms, round, change)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const PUT_ANSWER: &str = "INSERT INTO {}.product (product_id, entry, fingerprint, answer) VALUES (?, ?, ?, ?) USING TTL ?";
const PUT_EVENTS: &str =
    "INSERT INTO {}.product (product_id, entry, events) VALUES (?, ?, ?) USING TTL ?";
const VOID: &str = "UPDATE {}.product SET revision = 0 WHERE product_id = ? IF revision = null";

const REVISION: &str = "SELECT DISTINCT product_id, revision FROM {}.product WHERE product_id = ?";

/// The statements of the table `product`.
pub(super) struct Partitions {
    session: Session,
    outbox: Outbox,
    rows: Prepared,
    settled_rows: Prepared,
    facts: Prepared,
    settled_facts: Prepared,
    set_head: Prepared,
    set_facts: Prepared,
    put_head: Prepared,
    put_reservation: Prepared,
    put_answer: Prepared,
    put_events: Prepared,
    void: Prepared,
    revision: Prepared,
}

impl Partitions {
    pub(super) async fn prepare(session: &Session, outbox: Outbox) -> Result<Partitions, CqlError> {
        Ok(Partitions {
            outbox,
            rows: session.prepare(Kind::Read, ROWS).await?,
            settled_rows: session.prepare(Kind::SettledRead, ROWS).await?,
            facts: session.prepare(Kind::Read, FACTS).await?,
            settled_facts: session.prepare(Kind::SettledRead, FACTS).await?,
            set_head: session.prepare(Kind::Conditional, SET_HEAD).await?,
            set_facts: session.prepare(Kind::Conditional, SET_FACTS).await?,
            put_head: session.prepare(Kind::Conditional, PUT_HEAD).await?,
            put_reservation: session.prepare(Kind::Conditional, PUT_RESERVATION).await?,
            put_answer: session.prepare(Kind::Conditional, PUT_ANSWER).await?,
            put_events: session.prepare(Kind::Conditional, PUT_EVENTS).await?,
            void: session.prepare(Kind::Conditional, VOID).await?,
            revision: session.prepare(Kind::SettledRead, REVISION).await?,
            session: session.clone(),
        })
    }

    /// Reads the head and these rows, at most [`MAX_ROWS`] with it. One read, so that all is of one revision. `settled`
    /// after a write whose outcome is not known, or that was not applied.
    pub(super) async fn load(
        &self,
        product_id: Uuid,
        entries: &BTreeSet<Entry>,
        settled: bool,
    ) -> Result<Loaded, Error> {
        let statement = if settled { &self.settled_rows } else { &self.rows };
        let mut keys = vec![Entry::Head.key()];
        keys.extend(entries.iter().map(|entry| entry.key()));
        let rows: Vec<Row> = self.session.rows(statement, (product_id, keys)).await?;
        let mut loaded = Loaded::default();
        for row in rows {
            loaded.take(product_id, row)?;
        }
        Ok(loaded)
    }

    /// The product without its reservations; `None` if there is none.
    pub(super) async fn facts(
        &self,
        product_id: Uuid,
        settled: bool,
    ) -> Result<Option<Facts>, Error> {
        let statement = if settled { &self.settled_facts } else { &self.facts };
        let row: Option<FactsRow> = self.session.row(statement, (product_id,)).await?;
        row.map_or(Ok(None), |row| row.facts(product_id))
    }

    /// Whether it was applied; not so when somebody else changed the product in between. Its events leave then.
    pub(super) async fn write(&self, product_id: Uuid, changes: Changes) -> Result<bool, CqlError> {
        if changes.events.is_empty() {
            return self.put(product_id, changes).await;
        }
        let revision = changes.based_on.unwrap_or(0) + 1;
        let marker = self.outbox.mark(&product_id.to_string(), revision).await?;
        let events = changes.events.clone();
        let outcome = self.put(product_id, changes).await;
        match &outcome {
            Ok(true) => marker.publish(events),
            // Whoever looks for the outcome does not publish: the outbox finds what was written.
            Err(CqlError::Unknown(_)) => drop(marker),
            Ok(false) | Err(_) => marker.forget(),
        }
        outcome
    }

    async fn put(&self, product_id: Uuid, changes: Changes) -> Result<bool, CqlError> {
        let Changes { based_on, head, facts, reservations, answers, passing, events } = changes;
        let head = head.ok_or_else(|| CqlError::Refused("a change without a head".to_owned()))?;
        let mut batch = Batch::conditional();
        let Inventory { stock, version, updated_at_ms, .. } = head.inventory;
        let (on_hand, reserved) = (stock.on_hand(), stock.reserved());
        let counted = (head.revision, head.event_version);
        batch.add(
            &self.set_head,
            (counted.0, counted.1, on_hand, reserved, version, updated_at_ms, product_id, based_on),
        );
        if based_on.is_none() {
            batch.add(&self.put_head, (product_id,));
        }
        if let Some((product, listing)) = facts {
            batch.add(&self.set_facts, facts_values(product, listing));
        }
        for (id, kept) in reservations {
            batch.add(&self.put_reservation, reservation_values(product_id, id, kept));
        }
        for (digest, Answered { fingerprint, answer }) in answers {
            let key = Entry::Answer(digest).key();
            let kept_s = if passing.contains(&digest) { PASSING_KEPT_S } else { FOR_GOOD };
            batch.add(&self.put_answer, (product_id, key, fingerprint, answer, kept_s));
        }
        if !events.is_empty() {
            let key = Entry::Events(head.revision).key();
            let events: Vec<Vec<u8>> = events.iter().map(Event::encode_to_vec).collect();
            batch.add(&self.put_events, (product_id, key, events, EVENTS_KEPT_S));
        }
        self.session.conditional_batch(batch).await
    }

    /// Makes sure that a product which is not there never will be, under this id; `false` if it is there.
    pub(super) async fn void(&self, product_id: Uuid) -> Result<bool, CqlError> {
        match self.session.conditional(&self.void, (product_id,)).await {
            Ok(_) | Err(CqlError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
        let found: Option<(Uuid, Option<i64>)> =
            self.session.row(&self.revision, (product_id,)).await?;
        match found.and_then(|(_, revision)| revision) {
            Some(revision) => Ok(revision == 0),
            None => Err(CqlError::Unknown("an id was neither used nor voided".to_owned())),
        }
    }
}

fn facts_values(
    product: Product,
    listing: Uuid,
) -> impl scylla::serialize::row::SerializeRow + Send + Sync + 'static {
    (
        product.sku,
        product.name,
        product.description,
        product.category_id,
        product.price.minor,
        product.price.currency.code().to_owned(),
        product.picture,
        product.archived,
        product.version,
        product.created_at_ms,
        product.updated_at_ms,
        listing,
        product.id,
    )
}

fn reservation_values(
    product_id: Uuid,
    id: Uuid,
    kept: Kept,
) -> impl scylla::serialize::row::SerializeRow + Send + Sync + 'static {
    let quantity = kept.quantity(product_id) as i32;
    // A reservation of this product alone has its one line in `quantity`.
    let lines = (kept.lines.len() > 1).then(|| map_of(&kept.lines));
    (
        product_id,
        Entry::Reservation(id).key(),
        kept.order_id,
        lines,
        quantity,
        kept.state.map_or(GIVEN_UP, states::number),
        kept.until_ms,
        kept.round,
        kept.version,
    )
}

/// Lines as a column: at most `MAX_QUANTITY` pieces each, which fits.
pub(super) fn map_of(lines: &[Line]) -> BTreeMap<Uuid, i32> {
    lines.iter().map(|line| (line.product_id, line.quantity as i32)).collect()
}

/// Back from [`map_of`], in order of the products.
pub(super) fn lines_of(map: BTreeMap<Uuid, i32>) -> Vec<Line> {
    let line = |(product_id, quantity): (Uuid, i32)| Line {
        product_id,
        quantity: quantity.unsigned_abs(),
    };
    map.into_iter().map(line).collect()
}

impl Loaded {
    fn take(&mut self, product_id: Uuid, row: Row) -> Result<(), Error> {
        let damaged = || Error::Damaged(format!("product {product_id}, entry {:02x?}", row.entry));
        match Entry::of_key(&row.entry).ok_or_else(damaged)? {
            Entry::Head => self.head = row.head(product_id)?,
            Entry::Reservation(id) => {
                let kept = row.kept(product_id).ok_or_else(damaged)?;
                self.reservations.insert(id, kept);
            }
            Entry::Answer(digest) => {
                let (fingerprint, answer) = row.fingerprint.zip(row.answer).unwrap_or_default();
                self.answers.insert(digest, Answered { fingerprint, answer });
            }
            Entry::Events(_) => {}
        }
        Ok(())
    }
}

impl Row {
    fn head(&self, product_id: Uuid) -> Result<Option<Head>, Error> {
        let Some(revision) = self.revision.filter(|revision| *revision > 0) else {
            return Ok(None);
        };
        let (on_hand, reserved) = (self.on_hand.unwrap_or(-1), self.reserved.unwrap_or(0));
        let stock = stock(product_id, on_hand, reserved)?;
        Ok(Some(Head {
            revision,
            inventory: Inventory {
                product_id,
                stock,
                version: self.stock_version.unwrap_or(0),
                updated_at_ms: self.stock_changed_at_ms.unwrap_or(0),
            },
            event_version: self.event_version.unwrap_or(0),
        }))
    }

    fn kept(&self, product_id: Uuid) -> Option<Kept> {
        let quantity = self.quantity?.unsigned_abs();
        let own = (quantity > 0).then_some(Line { product_id, quantity });
        let lines = self.lines.clone().map_or_else(|| own.into_iter().collect(), lines_of);
        let state = match self.state? {
            GIVEN_UP => None,
            number => Some(states::of_number(number.into())?),
        };
        Some(Kept {
            order_id: self.order_id?,
            lines,
            state,
            until_ms: self.until_ms?,
            round: self.round?,
            version: self.change?,
        })
    }
}

fn stock(product_id: Uuid, on_hand: i64, reserved: i64) -> Result<Stock, Error> {
    Stock::new(on_hand, reserved).ok_or_else(|| {
        Error::Damaged(format!("product {product_id}: {on_hand} on hand, {reserved} reserved"))
    })
}

impl FactsRow {
    fn facts(self, product_id: Uuid) -> Result<Option<Facts>, Error> {
        if self.revision.is_none_or(|revision| revision < 1) {
            return Ok(None);
        }
        let facts = self.whole(product_id);
        facts.map(Some).ok_or_else(|| Error::Damaged(format!("product {product_id}")))
    }

    fn whole(self, id: Uuid) -> Option<Facts> {
        let currency = Currency::from_code(&self.currency?).ok()?;
        let product = Product {
            id,
            sku: self.sku?,
            name: self.name?,
            description: self.description?,
            category_id: self.category_id?,
            price: Money::new(self.price_minor?, currency),
            picture: self.picture?,
            archived: self.archived?,
            version: self.version?,
            created_at_ms: self.created_at_ms?,
            updated_at_ms: self.updated_at_ms?,
        };
        let available = Stock::new(self.on_hand?, self.reserved?)?.available();
        Some(Facts { revision: self.revision?, product, listing: self.listing?, available })
    }
}
