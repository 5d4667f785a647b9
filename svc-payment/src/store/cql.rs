//! The store on ScyllaDB or Cassandra, for any number of processes.
//!
//! **What must change together** lives in one partition: the payment (its static columns), its
//! refunds and its events. A change is one conditional batch on the payment's version, with the
//! events and the refund's answer in it; what it tells leaves by the mesh's outbox. Whether a batch
//! of unknown outcome came through is read from `writer`, which is new with each of them.
//!
//! **Two conditional writes are all that a payment without trouble costs**: its opening, and the
//! capture with its event. What the provider knows anyway, its id of the payment and that money is
//! set aside, is noted by plain writes ([`Change::is_note`]) before the call is answered. That is safe
//! because nothing is decided by a note: an undo asks the provider, not us; a confirmation that finds
//! no note asks again under the same key; a capture that finds one is a conditional write. Notes are
//! ranked by their write times, so that the further one stays whatever the order of their arrival,
//! and count only while the payment itself is `opening`: what was changed is not noted away.
//!
//! **Request ids.** A request belongs to one payment. That is noticed without a condition: whoever
//! uses a request for a payment first writes that down (one row per payment), then reads all rows of
//! the request. Of two at the same time at least one finds the other's row, since each has written
//! before it reads, and both through a quorum. So never do both go on; it may be that neither does,
//! and then the caller, who used one id for two things at once, is told so. Money does not hang on
//! it: that moves once per payment id, which is decided in the payment's partition and at the
//! provider, by keys that follow from the payment's id.
//!
//! Lists are rows beside: [`lists`]. Refunds: [`refunds`].

mod books;
mod lists;
mod refunds;
mod rows;
mod schema;

use std::sync::Arc;

use async_trait::async_trait;
use souk_mesh::bus::Bus;
use souk_mesh::clock::SharedClock;
use souk_mesh::cql::outbox::{Marker, Outbox};
use souk_mesh::cql::{self, Batch, Config, Session};
use souk_mesh::tasks::Tasks;
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::{Filter, Found, KnownRefund, NewPayment, Opened, Page, PaymentStore, Place, Tombstone};
use crate::domain::{Change, NewRefund, Payment, Refund};
use crate::error::Error;
use books::Books;
use lists::{Lists, REFUNDS, TOMBSTONES};
use rows::damaged;
use schema::{Lookups, MIGRATIONS, Statements};

/// The version of the tables that this build makes.
pub const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// Payments in a keyspace that processes share.
#[derive(Clone)]
pub struct CqlStore {
    books: Arc<Books>,
    outbox: Outbox,
}

impl CqlStore {
    /// Brings the keyspace up to date, and starts the outbox.
    ///
    /// # Errors
    /// When no node answers, or the keyspace was written by a newer build.
    pub async fn open(
        config: &Config,
        bus: Arc<dyn Bus>,
        tasks: &Tasks,
        clock: SharedClock,
    ) -> Result<CqlStore, Error> {
        let session = Session::open(config, crate::NAME, MIGRATIONS).await?;
        let statements = Statements::prepare(&session).await?;
        let lookups = Lookups::prepare(&session).await?;
        let books = Arc::new(Books { session, statements, lookups, lists: Lists::default() });
        let outbox =
            Outbox::start(&books.session, bus, tasks, clock, crate::NAME, books.clone()).await?;
        Ok(CqlStore { books, outbox })
    }

    /// What tells of changes.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Makes a change by a batch that holds it, and tells of it. What must be there before goes side by side.
    async fn commit(
        &self,
        change: &Change,
        request_key: Option<Uuid>,
        more: Batch,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        let (marked, claimed, listed) = tokio::join!(
            self.mark(change, &events),
            self.claim(request_key, &change.payment),
            self.books.list_state(&change.payment),
        );
        let marker = marked?;
        if let Err(error) = claimed.and(listed) {
            marker.into_iter().for_each(Marker::forget);
            return Err(error);
        }
        let done = self.books.change(change, more, &events).await;
        match (&done, marker) {
            (Ok(()), Some(marker)) => marker.publish(events),
            (Err(Error::Stale), Some(marker)) => marker.forget(),
            // Nobody knows: the sweeper finds out.
            (Err(_), marker) => drop::<Option<Marker>>(marker),
            (Ok(()), None) => {}
        }
        done
    }

    async fn mark(&self, change: &Change, events: &[Event]) -> Result<Option<Marker>, Error> {
        if events.is_empty() {
            return Ok(None);
        }
        let aggregate = change.payment.payment_id.to_string();
        Ok(Some(self.outbox.mark(&aggregate, change.from_version + 1).await?))
    }

    async fn claim(&self, request_key: Option<Uuid>, payment: &Payment) -> Result<(), Error> {
        match request_key {
            Some(key) => self.books.claim_own(key, payment.payment_id).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl PaymentStore for CqlStore {
    async fn open(&self, new: NewPayment, now_ms: i64) -> Result<Opened, Error> {
        let books = &self.books;
        if new.not_after_ms.is_some_and(|limit| now_ms > limit) {
            return Ok(books.known(&new).await?.unwrap_or(Opened::TooLate));
        }
        let claimed = books.claim(new.request_key, new.payment.payment_id);
        let (is_ours, ()) = tokio::try_join!(claimed, books.list_payment(&new.payment))?;
        if !is_ours {
            return Ok(books.known(&new).await?.unwrap_or(Opened::Reused));
        }
        books.insert(&new).await
    }

    async fn find(
        &self,
        payment_id: Uuid,
        request_key: Option<Uuid>,
    ) -> Result<(Found, Option<Uuid>), Error> {
        let claims = async {
            match request_key {
                Some(key) => self.books.claims(key).await,
                None => Ok(Vec::new()),
            }
        };
        let (head, claims) = tokio::try_join!(self.books.head(payment_id), claims)?;
        // Another payment's claim tells of a misuse.
        let other = claims.iter().find(|claimed| **claimed != payment_id);
        Ok((head.found, other.or(claims.first()).copied()))
    }

    async fn save(
        &self,
        change: Change,
        request_key: Option<Uuid>,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        if change.is_note() {
            self.claim(request_key, &change.payment).await?;
            return self.books.note(&change.payment).await;
        }
        self.commit(&change, request_key, Batch::conditional(), events).await
    }

    async fn bury(&self, tombstone: Tombstone, request_key: Uuid) -> Result<Found, Error> {
        let books = &self.books;
        let Tombstone { payment_id, keep_until_ms, created_ms } = tombstone;
        let head = books.head(payment_id).await?;
        if head.found != Found::Nothing {
            return Ok(head.found);
        }
        books.claim_own(request_key, payment_id).await?;
        if let Some(until_ms) = keep_until_ms {
            let id = payment_id.as_bytes().as_slice();
            books.list(TOMBSTONES, until_ms.max(created_ms), (until_ms, id)).await?;
        }
        let values = (Uuid::new_v4(), keep_until_ms, created_ms, payment_id);
        let unknown = match books.session.conditional(&books.statements.bury, values).await {
            Ok(true) => return Ok(Found::Tombstone),
            Ok(false) => Error::Stale,
            Err(unknown @ cql::Error::Unknown(_)) => unknown.into(),
            Err(error) => return Err(error.into()),
        };
        match books.settled_head(payment_id).await?.found {
            Found::Nothing => Err(unknown),
            found => Ok(found),
        }
    }

    async fn sweep_tombstones(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        let books = &self.books;
        let mut forgotten = 0;
        loop {
            let due = books.oldest(TOMBSTONES, now_ms, None).await?;
            if due.is_empty() {
                for list in [TOMBSTONES, REFUNDS] {
                    books.forget_empty(list, now_ms).await?;
                }
                return Ok(forgotten);
            }
            for listed in due {
                let payment_id = Uuid::from_slice(&listed.id).map_err(damaged)?;
                forgotten += usize::from(books.forget_tombstone(payment_id, now_ms).await?);
                books.unlist(TOMBSTONES, &listed).await?;
                if forgotten == limit {
                    return Ok(forgotten);
                }
            }
        }
    }

    async fn begin_refund(&self, refund: NewRefund) -> Result<Option<KnownRefund>, Error> {
        self.books.begin(&refund).await
    }

    async fn refund_of(&self, request_key: Uuid) -> Result<Option<KnownRefund>, Error> {
        self.books.refund_of(request_key).await
    }

    async fn finish_refund(
        &self,
        change: Change,
        refund: &NewRefund,
        answer: Vec<u8>,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        let mut batch = Batch::conditional();
        let item = refund.request_key.as_bytes().to_vec();
        let values = (answer, change.payment.payment_id, item, refund.refund.refund_id);
        batch.add(&self.books.statements.answer_refund, values);
        self.commit(&change, None, batch, events).await?;
        self.books.unlist_refund(refund).await;
        Ok(())
    }

    async fn drop_refund(&self, refund: &NewRefund) -> Result<(), Error> {
        self.books.drop_refund(refund).await
    }

    async fn unfinished_refunds(
        &self,
        payment_id: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<NewRefund>, Error> {
        let Some(payment_id) = payment_id else { return self.books.unfinished(limit).await };
        let known = self.books.refunds(payment_id).await?.into_iter();
        let unfinished = known.filter(|known| known.answer.is_none()).map(|known| known.asked);
        Ok(unfinished.take(limit).collect())
    }

    async fn refunds(&self, payment_id: Uuid) -> Result<Vec<Refund>, Error> {
        let known = self.books.refunds(payment_id).await?.into_iter();
        Ok(known.filter(|known| known.answer.is_some()).map(|known| known.asked.refund).collect())
    }

    async fn list(
        &self,
        filter: Filter,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Page, Error> {
        self.books.page(&filter, before, limit).await
    }
}
