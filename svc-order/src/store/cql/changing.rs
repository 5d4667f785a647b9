//! Appending a change: the arbiter. A change is judged by a version and written only if the order is still at it.

use souk_mesh::cql::outbox::Marker;
use souk_mesh::cql::{Batch, Error as StoreError};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::CqlStore;
use super::rows::{self, Found};
use crate::domain::{Entry, Order};
use crate::store::Append;
use crate::{Error, events, wire};

/// How often a change is judged anew because the order had moved on: more than it has states.
const APPEND_TRIES: u32 = 16;

/// What is to be done about a change.
enum Verdict {
    /// Its request was answered before, by the entry of this version.
    Repeat(Order, i64),
    /// The order is as the change wants it.
    Nothing(Order),
    /// To be written.
    Write(Box<(Order, Entry, Event)>),
}

impl CqlStore {
    pub(super) async fn change(&self, append: Append) -> Result<Order, Error> {
        // Changes of one order in one process queue here instead of at the store.
        let _turn = self.turn(append.order_id).await;
        let request = append.key.digest();
        let mut marker = None;
        for tries in 0..APPEND_TRIES {
            // After a try that failed or is unknown: what is under way is finished or void.
            let is_settled = tries > 0;
            let verdict = match self.judge(&append, &request, is_settled).await {
                // Before a refusal, too: an earlier try of this request may be under way.
                Err(error) if is_refusal(&error) && !is_settled => continue,
                Err(error) => {
                    if let (Some(marker), true) = (marker, is_refusal(&error)) {
                        Marker::forget(marker);
                    }
                    return Err(error);
                }
                Ok(verdict) => verdict,
            };
            match verdict {
                Verdict::Repeat(order, version) => {
                    if let Some(marker) = marker {
                        // By a try of this call, most likely.
                        self.tell_again(marker, order.id, version).await;
                    }
                    return Ok(order);
                }
                Verdict::Nothing(order) => {
                    marker.into_iter().for_each(Marker::forget);
                    return Ok(order);
                }
                Verdict::Write(change) => {
                    let (order, entry, event) = *change;
                    let own = match marker.take() {
                        Some(own) => own,
                        None => {
                            let name = order.id.to_string();
                            self.outbox.mark(&name, wire::version(order.version)).await?
                        }
                    };
                    if self.write(&append, &request, &order, entry, &event).await? {
                        self.tell(own, &order, event).await;
                        return Ok(order);
                    }
                    marker = Some(own);
                }
            }
        }
        Err(StoreError::Unavailable("the order is changed by too many at once".to_owned()).into())
    }

    async fn judge(
        &self,
        append: &Append,
        request: &[u8; 32],
        is_settled: bool,
    ) -> Result<Verdict, Error> {
        let found = self.tables.whole(append.order_id, is_settled).await?;
        let Found { order, entries, .. } = found.ok_or(Error::OrderNotFound(append.order_id))?;
        if let Some(kept) = entries.iter().find(|kept| kept.request == request) {
            if kept.fingerprint != append.key.fingerprint {
                return Err(Error::RequestIdReused);
            }
            let order = append.repeat(order, &kept.entry)?;
            return Ok(Verdict::Repeat(order, wire::version(kept.entry.version)));
        }
        Ok(match append.judge(&order)? {
            None => Verdict::Nothing(order),
            Some((after, entry)) => {
                let trace_parent = append.trace_parent.clone();
                let event = events::of(&after, &entry, Some(order.state), trace_parent);
                Verdict::Write(Box::new((after, entry, event)))
            }
        })
    }

    /// Whether the change was written; `false` when it may not have been, and must be judged anew.
    async fn write(
        &self,
        append: &Append,
        request: &[u8; 32],
        order: &Order,
        entry: Entry,
        event: &Event,
    ) -> Result<bool, Error> {
        use prost::Message as _;
        let version = wire::version(order.version);
        let state = order.state.number();
        let mut batch = Batch::conditional();
        let changing = rows::changing_of(order)?;
        batch.add(
            &self.tables.statements.change,
            (state, version, order.updated_at_ms, changing, order.id, version - 1),
        );
        let Entry { at_ms, reason, note, actor, .. } = entry;
        let fingerprint = append.key.fingerprint.to_vec();
        batch.add(
            &self.tables.statements.add_entry,
            (
                order.id,
                version,
                state,
                at_ms,
                reason,
                note,
                actor,
                request.to_vec(),
                fingerprint,
                event.encode_to_vec(),
            ),
        );
        match self.tables.session.conditional_batch(batch).await {
            Ok(applied) => Ok(applied),
            Err(StoreError::Unknown(why)) => {
                tracing::debug!(order_id = %order.id, why, "a change is looked for");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lists the order as it is now, and tells of the change. What fails is made up for by the outbox's sweep: see
    /// [`super::telling`].
    async fn tell(&self, marker: Marker, order: &Order, event: Event) {
        match self.tables.list(order).await {
            Ok(()) => marker.publish(vec![event]),
            Err(error) => {
                tracing::warn!(order_id = %order.id, %error, "an order is left to be listed later");
            }
        }
    }

    /// Tells of a change whose write seemed to fail: of what the store holds, which a try of another process may have
    /// written.
    async fn tell_again(&self, marker: Marker, order_id: Uuid, version: i64) {
        match self.told_since(order_id, version).await {
            Ok(events) => marker.publish(events),
            Err(error) => tracing::warn!(%order_id, %error, "an event is left to be swept"),
        }
    }
}

/// Whether the order, and not the store, says no.
fn is_refusal(error: &Error) -> bool {
    !matches!(error, Error::Cql(_) | Error::Corrupt { .. } | Error::OrderNotFound(_))
}
