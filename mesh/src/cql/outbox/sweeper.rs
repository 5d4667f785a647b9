//! Finds what was committed and not published, because its process died or lost count.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use souk_proto::event::v1::Event;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::super::slots::{SAVED_BEHIND, Slots};
use super::line::Line;
use super::markers::{Markers, Row, SHARDS, SLOT_MS, made_at_ms, slot_of};
use super::{Error, Events, StoreError};
use crate::bus::Bus;
use crate::tasks::Tasks;

/// How old a marker must be before another process looks after it, milliseconds: longer than a change takes with all its
/// retries, so that little is published twice.
pub const SWEEP_AFTER_MS: i64 = 5_000;
/// How old a marker is when its change can no longer come, milliseconds.
pub const GIVE_UP_MS: i64 = 10 * 60 * 1_000;
/// How long after its end a slot may still be written to, milliseconds: by writes on their way, and by processes whose
/// clocks are behind.
pub const SETTLE_MS: i64 = 30_000;

/// Between two sweeps, on average: each process takes 0.5 to 1.5 times that, so that they do not all look at once.
const PAUSE: Duration = Duration::from_secs(6);
/// Between two sweeps that catch up with a long stop.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
/// Slots read at once.
const PARALLEL_SLOTS: usize = 8;
/// Markers read at once, and events published at once are those of so many.
const PAGE_MARKERS: i32 = 64;
/// Aggregates asked at once.
const PARALLEL_AGGREGATES: usize = 8;
/// What one pass did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pass {
    pub published: usize,
    /// Whether there are old slots that it did not come to.
    pub is_behind: bool,
}

pub(super) struct Sweeper {
    markers: Arc<Markers>,
    line: Arc<Line>,
    bus: Arc<dyn Bus>,
    events: Arc<dyn Events>,
    name: &'static str,
    /// One pass at a time.
    shards: Mutex<Vec<Slots>>,
}

/// Sweeps until the drain.
pub(super) fn spawn(sweeper: Arc<Sweeper>, tasks: &Tasks) {
    let drain = tasks.token();
    tasks.spawn(sweeper.name, async move {
        let mut pause = PAUSE.mul_f64(rand::random::<f64>());
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            // Whatever it is doing can be broken off: nothing is deleted that was not published.
            let pass = tokio::select! {
                () = drain.cancelled() => return,
                pass = sweeper.pass() => pass,
            };
            pause = PAUSE.mul_f64(0.5 + rand::random::<f64>());
            match pass {
                Ok(pass) if pass.is_behind => pause = SHORT_PAUSE,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(outbox = sweeper.name, %error, "events wait to be swept");
                }
            }
        }
    });
}

impl Sweeper {
    /// Begins where the processes before have come to; at the first start, now.
    pub async fn open(
        markers: Arc<Markers>,
        line: Arc<Line>,
        bus: Arc<dyn Bus>,
        events: Arc<dyn Events>,
        name: &'static str,
    ) -> Result<Sweeper, StoreError> {
        let mut shards = Vec::new();
        for number in 0..SHARDS {
            let low = match markers.swept(number).await? {
                Some(low) => low,
                None => {
                    let low = slot_of(markers.now_ms()) - SAVED_BEHIND;
                    // Before anything is marked: the next start must look from here on.
                    markers.save_swept(number, low).await?;
                    low
                }
            };
            shards.push(Slots::new(low));
        }
        Ok(Sweeper { markers, line, bus, events, name, shards: Mutex::new(shards) })
    }

    /// Looks at every slot that may hold something.
    pub async fn pass(&self) -> Result<Pass, Error> {
        let mut shards = self.shards.lock().await;
        let mut pass = Pass::default();
        for (number, slots) in (0..).zip(shards.iter_mut()) {
            let newest = slot_of(self.markers.now_ms());
            pass.is_behind |= slots.is_behind(newest);
            let to_look_at = slots.to_look_at(newest);
            let looks = to_look_at.into_iter().map(|slot| self.look(number, slot));
            // In the order of time, so that an aggregate's events are.
            let mut looks = stream::iter(looks).buffered(PARALLEL_SLOTS);
            while let Some((slot, rows)) = looks.try_next().await? {
                let is_done =
                    rows.is_empty() && self.markers.now_ms() >= (slot + 1) * SLOT_MS + SETTLE_MS;
                if is_done {
                    slots.set_done(slot);
                } else {
                    pass.published += self.sweep_slot(number, slot, rows).await?;
                }
            }
            if let Some(begin) = slots.to_save() {
                self.markers.save_swept(number, begin).await?;
            }
        }
        Ok(pass)
    }

    async fn look(&self, shard: i32, slot: i64) -> Result<(i64, Vec<Row>), Error> {
        Ok((slot, self.markers.page(shard, slot, Uuid::nil(), PAGE_MARKERS).await?))
    }

    /// Publishes what the markers of a slot name, page by page; returns how many events.
    async fn sweep_slot(&self, shard: i32, slot: i64, first: Vec<Row>) -> Result<usize, Error> {
        let mut published = 0;
        let mut rows = first;
        while let Some(last) = rows.last().map(|row| row.key.marker_id) {
            let is_full = rows.len() == PAGE_MARKERS as usize;
            let before_ms = self.markers.now_ms() - SWEEP_AFTER_MS;
            rows.retain(|row| {
                let id = row.key.marker_id;
                made_at_ms(id) <= before_ms && !self.markers.is_open(id)
            });
            published += self.sweep_rows(shard, slot, rows).await?;
            if !is_full {
                break;
            }
            rows = self.markers.page(shard, slot, last, PAGE_MARKERS).await?;
        }
        Ok(published)
    }

    /// Publishes what the aggregates of these markers tell, then deletes them.
    async fn sweep_rows(&self, shard: i32, slot: i64, rows: Vec<Row>) -> Result<usize, Error> {
        let told = self.ask(&rows).await?;
        let mut sent = BTreeSet::new();
        let events: Vec<Event> = rows
            .iter()
            .flat_map(|row| &row.names)
            .flat_map(|name| told.get(name).into_iter().flatten())
            .filter(|event| sent.insert(&event.event_id))
            .cloned()
            .collect();
        let count = events.len();
        self.line.swept(count);
        if count > 0 {
            self.bus.publish(events).await?;
            self.line.swept(0);
            tracing::info!(outbox = self.name, count, "events published that were left behind");
        }
        let mut done = Vec::new();
        for mut row in rows {
            let is_old = self.markers.now_ms() - made_at_ms(row.key.marker_id) > GIVE_UP_MS;
            let names = row.names.len();
            row.names.retain(|name| told.get(name).is_none_or(Vec::is_empty));
            if is_old || row.names.is_empty() {
                done.push(row.key.marker_id);
            } else if row.names.len() < names {
                // What was published is not published by every pass.
                self.markers.put(row.key, &row.names).await?;
            }
        }
        if !done.is_empty() {
            self.markers.delete(shard, slot, done).await?;
        }
        Ok(count)
    }

    async fn ask(&self, rows: &[Row]) -> Result<HashMap<(String, i64), Vec<Event>>, Error> {
        let names: BTreeSet<(String, i64)> =
            rows.iter().flat_map(|row| row.names.iter().cloned()).collect();
        let asked = names.into_iter().map(async |name| {
            let (aggregate, from_version) = &name;
            let events = self.events.events_since(aggregate, *from_version).await;
            let events = events
                .map_err(|problem| Error::Events { aggregate: aggregate.clone(), problem })?;
            Ok::<_, Error>((name, events))
        });
        stream::iter(asked).buffer_unordered(PARALLEL_AGGREGATES).try_collect().await
    }
}
