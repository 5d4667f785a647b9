//! The embedded form of the store: one SQLite file with group commit.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::Connection;
use souk_mesh::outbox;
use souk_mesh::store::Store;
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::{
    Filter, Found, KnownRefund, NewPayment, Opened, Page, PaymentStore, Place, Tombstone, rows,
};
use crate::domain::{Change, NewRefund, Refund};
use crate::error::Error;

/// Payments in a SQLite file.
#[derive(Clone)]
pub struct SqliteStore {
    store: Store,
}

impl SqliteStore {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When it cannot be opened, or was written by a newer build.
    pub fn open(file: &Path) -> Result<SqliteStore, Error> {
        Ok(SqliteStore { store: Store::open(file, rows::MIGRATIONS)? })
    }

    /// The file itself, for the outbox relay.
    pub fn file(&self) -> &Store {
        &self.store
    }
}

fn found(conn: &Connection, payment_id: Uuid) -> Result<Found, Error> {
    if let Some((payment, _)) = rows::payment(conn, payment_id)? {
        return Ok(Found::Payment(payment));
    }
    let buried = rows::has_tombstone(conn, payment_id)?;
    Ok(if buried { Found::Tombstone } else { Found::Nothing })
}

fn save(conn: &Connection, change: &Change, events: &[Event]) -> Result<(), Error> {
    if change.is_note() {
        rows::note(conn, change)?;
    } else if !rows::update_payment(conn, change)? {
        return Err(Error::Stale);
    }
    for event in events {
        outbox::put(conn, event)?;
    }
    Ok(())
}

#[async_trait]
impl PaymentStore for SqliteStore {
    async fn open(&self, new: NewPayment, now_ms: i64) -> Result<Opened, Error> {
        self.store
            .write(move |conn| {
                let payment_id = new.payment.payment_id;
                if let Some((known, fingerprint)) = rows::payment(conn, payment_id)? {
                    let same = fingerprint == new.fingerprint;
                    return Ok(if same { Opened::Known(known) } else { Opened::Reused });
                }
                if rows::has_tombstone(conn, payment_id)? {
                    return Ok(Opened::Undone);
                }
                if new.not_after_ms.is_some_and(|limit| now_ms > limit) {
                    return Ok(Opened::TooLate);
                }
                if !rows::remember_request(conn, new.request_key, payment_id)? {
                    return Ok(Opened::Reused);
                }
                rows::insert_payment(conn, &new)?;
                Ok(Opened::New)
            })
            .await
    }

    async fn find(
        &self,
        payment_id: Uuid,
        request_key: Option<Uuid>,
    ) -> Result<(Found, Option<Uuid>), Error> {
        self.store
            .look_up(move |conn| {
                let used_for = match request_key {
                    Some(key) => rows::request(conn, key)?,
                    None => None,
                };
                Ok((found(conn, payment_id)?, used_for))
            })
            .await
    }

    async fn save(
        &self,
        change: Change,
        request_key: Option<Uuid>,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        self.store
            .write(move |conn| {
                save(conn, &change, &events)?;
                if let Some(key) = request_key {
                    remember_own(conn, key, change.payment.payment_id)?;
                }
                Ok(())
            })
            .await
    }

    async fn bury(&self, tombstone: Tombstone, request_key: Uuid) -> Result<Found, Error> {
        self.store
            .write(move |conn| {
                let known = found(conn, tombstone.payment_id)?;
                if known != Found::Nothing {
                    return Ok(known);
                }
                remember_own(conn, request_key, tombstone.payment_id)?;
                rows::insert_tombstone(conn, &tombstone)?;
                Ok(Found::Tombstone)
            })
            .await
    }

    async fn sweep_tombstones(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        self.store.write(move |conn| Ok(rows::forget_tombstones(conn, now_ms, limit)?)).await
    }

    async fn begin_refund(&self, refund: NewRefund) -> Result<Option<KnownRefund>, Error> {
        self.store
            .write(move |conn| {
                let known = rows::refund_of(conn, refund.request_key)?;
                if known.is_none() {
                    rows::insert_refund(conn, &refund)?;
                }
                Ok(known)
            })
            .await
    }

    async fn refund_of(&self, request_key: Uuid) -> Result<Option<KnownRefund>, Error> {
        self.store.look_up(move |conn| Ok(rows::refund_of(conn, request_key)?)).await
    }

    async fn finish_refund(
        &self,
        change: Change,
        refund: &NewRefund,
        answer: Vec<u8>,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        let refund_id = refund.refund.refund_id;
        self.store
            .write(move |conn| {
                save(conn, &change, &events)?;
                if rows::finish_refund(conn, refund_id, &answer)? {
                    Ok(())
                } else {
                    Err(Error::Stale)
                }
            })
            .await
    }

    async fn drop_refund(&self, refund: &NewRefund) -> Result<(), Error> {
        let refund_id = refund.refund.refund_id;
        self.store.write(move |conn| Ok(rows::delete_refund(conn, refund_id)?)).await
    }

    async fn unfinished_refunds(
        &self,
        payment_id: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<NewRefund>, Error> {
        self.store.read(move |conn| Ok(rows::unfinished_refunds(conn, payment_id, limit)?)).await
    }

    async fn refunds(&self, payment_id: Uuid) -> Result<Vec<Refund>, Error> {
        self.store.read(move |conn| Ok(rows::refunds(conn, payment_id)?)).await
    }

    async fn list(
        &self,
        filter: Filter,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Page, Error> {
        let before = before.map(|place| place.at);
        let mut found = self
            .store
            .read(move |conn| Ok::<_, Error>(rows::payments(conn, &filter, before, limit + 1)?))
            .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        // Rows have numbers of their own: there are no ties.
        let last = found.last().map(|(at, _)| Place { at: *at, tie: Uuid::nil() });
        let payments = found.into_iter().map(|(_, payment)| payment).collect();
        Ok(Page { payments, next: last.filter(|_| more) })
    }
}

/// Remembers a request; [`Error::RequestIdReused`] when it was used for another payment.
fn remember_own(conn: &Connection, request_key: Uuid, payment_id: Uuid) -> Result<(), Error> {
    if rows::remember_request(conn, request_key, payment_id)?
        || rows::request(conn, request_key)? == Some(payment_id)
    {
        return Ok(());
    }
    Err(Error::RequestIdReused)
}
