//! Payments and the requests that changed them: what is decided, by conditional writes, and what is
//! noted, by plain ones.

use async_trait::async_trait;
use prost::Message;
use souk_mesh::cql::outbox::Events;
use souk_mesh::cql::{self, Batch, Session};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::lists::Lists;
use super::rows::{Head, HeadRow};
use super::schema::{Lookups, Statements};
use crate::domain::{Change, Payment, State};
use crate::error::Error;
use crate::store::{Found, NewPayment, Opened};

/// Write times of the notes, in the order of a payment's life.
const NOTED_MADE: i64 = 1;
const NOTED_AUTHORIZED: i64 = 2;

/// The tables and the statements on them.
pub struct Books {
    pub session: Session,
    pub statements: Statements,
    pub lookups: Lookups,
    pub lists: Lists,
}

impl Books {
    /// What a quorum knows of a payment.
    pub async fn head(&self, payment_id: Uuid) -> Result<Head, Error> {
        let row = self.lookups.heads.row(payment_id).await?;
        Head::of(payment_id, row)
    }

    /// What is known of a payment once every change under way is done or void.
    pub async fn settled_head(&self, payment_id: Uuid) -> Result<Head, Error> {
        let row = self.session.row::<HeadRow>(&self.statements.settled_head, (payment_id,)).await?;
        Head::of(payment_id, row)
    }

    /// The payments that a request was used for.
    pub async fn claims(&self, request_key: Uuid) -> Result<Vec<Uuid>, Error> {
        let rows = self.lookups.claims.rows(request_key).await?;
        Ok(rows.into_iter().map(|(_, payment_id)| payment_id).collect())
    }

    /// Uses a request for a payment; `false` when it was used for another one.
    pub async fn claim(&self, request_key: Uuid, payment_id: Uuid) -> Result<bool, Error> {
        self.session.write(&self.statements.claim, (request_key, payment_id)).await?;
        Ok(self.claims(request_key).await?.iter().all(|claimed| *claimed == payment_id))
    }

    /// As [`Books::claim`], with the refusal as an error.
    pub async fn claim_own(&self, request_key: Uuid, payment_id: Uuid) -> Result<(), Error> {
        if self.claim(request_key, payment_id).await? {
            Ok(())
        } else {
            Err(Error::RequestIdReused)
        }
    }

    /// How a payment that is to be opened stands already; `None` when it does not.
    pub async fn known(&self, new: &NewPayment) -> Result<Option<Opened>, Error> {
        let head = self.settled_head(new.payment.payment_id).await?;
        Ok(match head.found {
            Found::Payment(known) if head.fingerprint == new.fingerprint => {
                Some(Opened::Known(known))
            }
            Found::Payment(_) => Some(Opened::Reused),
            Found::Tombstone => Some(Opened::Undone),
            Found::Nothing => None,
        })
    }

    /// Opens a payment, unless there is one, or a tombstone.
    pub async fn insert(&self, new: &NewPayment) -> Result<Opened, Error> {
        let payment = &new.payment;
        let writer = Uuid::new_v4();
        let values = (
            payment.version,
            writer,
            new.fingerprint.as_slice(),
            payment.order_id,
            payment.user_id,
            payment.state.name(),
            payment.amount.minor,
            payment.amount.currency.code(),
            payment.captured,
            payment.refunded,
            &payment.token,
            payment.created_ms,
            payment.updated_ms,
            payment.payment_id,
        );
        match self.session.conditional(&self.statements.open, values).await {
            Ok(true) => Ok(Opened::New),
            // Where there is nothing now, a tombstone was forgotten meanwhile.
            Ok(false) => self.known(new).await?.ok_or(Error::Stale),
            Err(unknown @ cql::Error::Unknown(_)) => {
                if self.settled_head(payment.payment_id).await?.writer == Some(writer) {
                    return Ok(Opened::New);
                }
                self.known(new).await?.ok_or(unknown.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a change: the payment, its events, and what the batch holds already.
    pub async fn change(
        &self,
        change: &Change,
        mut batch: Batch,
        events: &[Event],
    ) -> Result<(), Error> {
        let payment = &change.payment;
        let payment_id = payment.payment_id;
        let writer = Uuid::new_v4();
        let values = (
            payment.version,
            writer,
            payment.state.name(),
            payment.captured,
            payment.refunded,
            payment.provider_id.clone(),
            payment.challenge_url.clone(),
            payment.decline_code.clone(),
            payment.updated_ms,
            payment_id,
            change.from_version,
        );
        batch.add(&self.statements.change, values);
        for event in events {
            let item = event.aggregate_version.to_be_bytes().to_vec();
            batch.add(&self.statements.event, (payment_id, item, event.encode_to_vec()));
        }
        match self.session.conditional_batch(batch).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Stale),
            Err(unknown @ cql::Error::Unknown(_)) => {
                let head = self.settled_head(payment_id).await?;
                match head.writer == Some(writer) {
                    true => Ok(()),
                    false if head.version != change.from_version => Err(Error::Stale),
                    false => Err(unknown.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes what the provider knows.
    pub async fn note(&self, payment: &Payment) -> Result<(), Error> {
        let rank = if payment.state == State::Authorized { NOTED_AUTHORIZED } else { NOTED_MADE };
        let Payment { payment_id, provider_id, updated_ms, .. } = payment;
        let values = (rank, payment.state.name(), provider_id, updated_ms, payment_id);
        Ok(self.session.write(&self.statements.note, values).await?)
    }

    /// Forgets a tombstone that need not be kept any more; `false` where there is none such.
    pub async fn forget_tombstone(&self, payment_id: Uuid, now_ms: i64) -> Result<bool, Error> {
        Ok(self.session.conditional(&self.statements.unbury, (payment_id, now_ms)).await?)
    }
}

#[async_trait]
impl Events for Books {
    async fn events_since(&self, aggregate: &str, from_version: i64) -> Result<Vec<Event>, String> {
        let payment_id = Uuid::parse_str(aggregate).map_err(|error| error.to_string())?;
        let from = from_version.to_be_bytes().to_vec();
        let read = self.session.rows::<(Vec<u8>,)>(&self.statements.events, (payment_id, from));
        let rows = read.await.map_err(|error| error.to_string())?;
        let events = rows.into_iter().map(|(event,)| Event::decode(event.as_slice()));
        events.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}
