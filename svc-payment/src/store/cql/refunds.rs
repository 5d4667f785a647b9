//! Refunds: rows of the payment's partition, by the key of the request that asked for them, so that
//! equal requests in several processes meet in one row.
//!
//! The list of unfinished refunds has a row from before a refund is begun until after it is answered
//! or taken back; rows for nothing are passed over.

use souk_mesh::cql;
use uuid::Uuid;

use super::Books;
use super::lists::{Listed, REFUNDS, bucket_of};
use super::rows::{RefundRow, damaged};
use crate::domain::NewRefund;
use crate::error::Error;
use crate::store::KnownRefund;

/// Rows of the list of unfinished refunds that are looked at in one go.
const MAX_LOOKED_AT: usize = 2_048;
/// The length of a UUID in bytes.
const UUID_BYTES: usize = 16;

impl Books {
    /// See [`PaymentStore::begin_refund`](crate::store::PaymentStore::begin_refund).
    pub async fn begin(&self, new: &NewRefund) -> Result<Option<KnownRefund>, Error> {
        let NewRefund { refund, request_key, fingerprint } = new;
        if !self.claim(*request_key, refund.payment_id).await? {
            let known = self.refund_of(*request_key).await?;
            return known.map(Some).ok_or(Error::RequestIdReused);
        }
        let id = refund_entry(new);
        self.list(REFUNDS, refund.created_ms, (refund.created_ms, &id)).await?;
        let values = (
            refund.payment_id,
            request_key.as_bytes().as_slice(),
            refund.refund_id,
            fingerprint.as_slice(),
            refund.amount.minor,
            refund.amount.currency.code(),
            &refund.reason,
            refund.created_ms,
        );
        let began = self.session.conditional(&self.statements.begin_refund, values).await;
        let unknown = match began {
            Ok(true) => return Ok(None),
            Ok(false) => None,
            Err(unknown @ cql::Error::Unknown(_)) => Some(unknown),
            Err(error) => return Err(error.into()),
        };
        match (self.refund(refund.payment_id, *request_key, true).await?, unknown) {
            (Some(known), Some(_)) if known.asked.refund.refund_id == refund.refund_id => Ok(None),
            (Some(known), _) => Ok(Some(known)),
            (None, Some(unknown)) => Err(unknown.into()),
            // It was taken back since.
            (None, None) => Err(Error::Stale),
        }
    }

    /// The refund of a payment that a request asked for.
    async fn refund(
        &self,
        payment_id: Uuid,
        request_key: Uuid,
        is_settled: bool,
    ) -> Result<Option<KnownRefund>, Error> {
        let statements = &self.statements;
        let read = if is_settled { &statements.settled_refund } else { &statements.refund };
        let values = (payment_id, request_key.as_bytes().as_slice());
        let row = self.session.row::<RefundRow>(read, values).await?;
        row.map(|row| row.known(payment_id)).transpose()
    }

    /// See [`PaymentStore::refund_of`](crate::store::PaymentStore::refund_of).
    pub async fn refund_of(&self, request_key: Uuid) -> Result<Option<KnownRefund>, Error> {
        for payment_id in self.claims(request_key).await? {
            let known = self.refund(payment_id, request_key, false).await?;
            if known.is_some() {
                return Ok(known);
            }
        }
        Ok(None)
    }

    /// Every refund of a payment, oldest first.
    pub async fn refunds(&self, payment_id: Uuid) -> Result<Vec<KnownRefund>, Error> {
        let rows = self.session.rows::<RefundRow>(&self.statements.refunds, (payment_id,)).await?;
        let known: Result<Vec<_>, _> = rows.into_iter().map(|row| row.known(payment_id)).collect();
        let mut known = known?;
        known.sort_by_key(|known| {
            let refund = &known.asked.refund;
            (refund.created_ms, refund.refund_id)
        });
        Ok(known)
    }

    /// Takes a refund without an answer back.
    pub async fn drop_refund(&self, new: &NewRefund) -> Result<(), Error> {
        let NewRefund { refund, request_key, .. } = new;
        let key = request_key.as_bytes().as_slice();
        let values = (refund.payment_id, key, refund.refund_id);
        // Not applied is as good: it has an answer, or is gone.
        let dropped = self.session.conditional(&self.statements.drop_refund, values).await?;
        if dropped {
            self.unlist_refund(new).await;
        }
        Ok(())
    }

    /// Takes a refund off the list of the unfinished ones.
    pub async fn unlist_refund(&self, new: &NewRefund) {
        let at_ms = new.refund.created_ms;
        let listed = Listed { bucket: bucket_of(REFUNDS, at_ms), at_ms, id: refund_entry(new) };
        if let Err(error) = self.unlist(REFUNDS, &listed).await {
            tracing::debug!(%error, "a refund stays listed for nothing");
        }
    }

    /// Refunds of all payments without an answer, oldest first.
    pub async fn unfinished(&self, limit: usize) -> Result<Vec<NewRefund>, Error> {
        let mut unfinished = Vec::new();
        let mut last: Option<Listed> = None;
        let mut looked_at = 0;
        while looked_at < MAX_LOOKED_AT {
            let ids = self.oldest(REFUNDS, i64::MAX, last.as_ref()).await?;
            if ids.is_empty() {
                break;
            }
            looked_at += ids.len();
            for listed in ids {
                let [refund_id, payment_id, request_key] = of_entry(&listed.id)?;
                match self.refund(payment_id, request_key, false).await? {
                    Some(KnownRefund { answer: None, asked })
                        if asked.refund.refund_id == refund_id =>
                    {
                        unfinished.push(asked);
                    }
                    Some(_) => self.unlist(REFUNDS, &listed).await?,
                    // It may be about to be begun.
                    None => {}
                }
                if unfinished.len() == limit {
                    return Ok(unfinished);
                }
                last = Some(listed);
            }
        }
        Ok(unfinished)
    }
}

/// A refund in the list: its own id, by which those of a moment are in order, and where it is.
fn refund_entry(new: &NewRefund) -> Vec<u8> {
    let ids = [new.refund.refund_id, new.refund.payment_id, new.request_key];
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

fn of_entry(entry: &[u8]) -> Result<[Uuid; 3], Error> {
    let ids: Result<Vec<_>, _> = entry.chunks(UUID_BYTES).map(Uuid::from_slice).collect();
    ids.map_err(damaged)?.try_into().map_err(|_| damaged("an entry is not three ids"))
}
