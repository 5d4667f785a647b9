//! The newest events of a run, from their commit until they are in the tables, and the row that they make.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::cell::{damaged, decode};
use super::error::Error;
use super::event::Event;
use super::ids::RunId;
use super::limits::MAX_KEPT_WRITING_BYTES;
use super::projection;
use super::row::RunRow;
use super::slot::split_events;

/// The events of one commit, in the form that log and tables keep. All of them are durable, or none.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub count: u32,
    /// The events, each with its length in front.
    pub bytes: Arc<[u8]>,
}

impl Chunk {
    /// Writes events down, once for the log and for the tables.
    pub fn encode(events: &[Event]) -> Chunk {
        thread_local! {
            static WRITTEN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        let mut written = WRITTEN.take();
        written.clear();
        for event in events {
            event
                .encode_length_delimited(&mut written)
                .expect("a vector grows as far as it is needed");
        }
        let chunk = Chunk { count: events.len() as u32, bytes: written.as_slice().into() };
        if written.capacity() <= MAX_KEPT_WRITING_BYTES {
            WRITTEN.set(written);
        }
        chunk
    }

    fn events(&self, run_id: RunId) -> Result<Vec<Bytes>, Error> {
        let bytes = Bytes::from_owner(self.bytes.clone());
        split_events(bytes).map_err(|what| damaged(run_id, &what))
    }
}

fn encoded_bytes(event: &Event) -> usize {
    let bytes = event.encoded_len();
    prost::length_delimiter_len(bytes) + bytes
}

/// See the module.
#[derive(Default)]
pub(crate) struct Tail {
    /// The first event that the tables do not have.
    first_sequence: u64,
    chunks: VecDeque<Chunk>,
    /// The row that the tables have.
    row: Option<Arc<RunRow>>,
    /// The row as all events make it, while there are any that the tables do not have. `None` if they cannot follow; then
    /// draining tells.
    newest: Option<Arc<RunRow>>,
}

/// What is to be drained of a run.
pub(crate) struct Undrained {
    pub before: Option<Arc<RunRow>>,
    pub after: Arc<RunRow>,
    /// How many events there are.
    pub count: u32,
}

impl Tail {
    /// Of a run that is in the tables.
    pub fn of_row(row: RunRow) -> Tail {
        Tail { first_sequence: row.next_sequence, row: Some(Arc::new(row)), ..Tail::default() }
    }

    /// The row that the tables have.
    pub fn row(&self) -> Option<&RunRow> {
        self.row.as_deref()
    }

    /// Whether the tables have everything.
    pub fn is_drained(&self) -> bool {
        self.chunks.is_empty()
    }

    /// How many events the tables do not have.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.count as usize).sum()
    }

    /// Takes the events of a commit; `chunk` is what was written of them.
    pub fn push(&mut self, run_id: RunId, events: &[Event], chunk: Chunk) {
        let row = if self.chunks.is_empty() { self.row.clone() } else { self.newest.take() };
        let is_first = self.first_sequence == 0 && self.chunks.is_empty();
        self.chunks.push_back(chunk);
        if row.is_some() || is_first {
            self.newest = row_after(row, run_id, events);
        }
    }

    /// The events from `from` on and before `until`; `None` if the tables have the first.
    pub fn between(
        &self,
        run_id: RunId,
        from: u64,
        until: u64,
    ) -> Option<Result<Vec<Bytes>, Error>> {
        let skip = usize::try_from(from.checked_sub(self.first_sequence)?).ok()?;
        let take = usize::try_from(until.saturating_sub(self.first_sequence)).ok()?;
        Some(self.events(run_id).map(|events| events.into_iter().take(take).skip(skip).collect()))
    }

    fn events(&self, run_id: RunId) -> Result<Vec<Bytes>, Error> {
        let mut events = Vec::with_capacity(self.len());
        for chunk in &self.chunks {
            events.extend(chunk.events(run_id)?);
        }
        Ok(events)
    }

    /// The row as the events before `sequence` make it.
    pub fn row_before(&self, run_id: RunId, sequence: u64) -> Result<Option<Arc<RunRow>>, Error> {
        match &self.newest {
            Some(newest) if newest.next_sequence <= sequence => return Ok(Some(newest.clone())),
            _ => {}
        }
        let mut row = self.row.as_deref().cloned();
        let count = usize::try_from(sequence.saturating_sub(self.first_sequence));
        for bytes in self.events(run_id)?.iter().take(count.unwrap_or(usize::MAX)) {
            row = Some(project(row, run_id, bytes)?);
        }
        Ok(row.map(Arc::new))
    }

    /// What is to be drained of the events before `durable`; `None` if the tables have them. The events are written behind
    /// `plain`.
    pub fn undrained(
        &self,
        run_id: RunId,
        durable: u64,
        plain: &mut Vec<u8>,
    ) -> Result<Option<Undrained>, Error> {
        let mut end = self.first_sequence;
        for chunk in &self.chunks {
            if end + u64::from(chunk.count) > durable {
                break;
            }
            end += u64::from(chunk.count);
            plain.extend_from_slice(&chunk.bytes);
        }
        let count = u32::try_from(end - self.first_sequence).unwrap_or(u32::MAX);
        if count == 0 {
            return Ok(None);
        }
        let after = self.row_before(run_id, end)?;
        let after = after.ok_or_else(|| damaged(run_id, "no events and no row"))?;
        Ok(Some(Undrained { before: self.row.clone(), after, count }))
    }

    /// The tables have this row, and the events that make it. To be told twice changes nothing.
    pub fn drained(&mut self, row: Arc<RunRow>) {
        if row.next_sequence <= self.first_sequence {
            return;
        }
        while let Some(chunk) = self.chunks.front() {
            let end = self.first_sequence + u64::from(chunk.count);
            if end > row.next_sequence {
                break;
            }
            self.first_sequence = end;
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() {
            self.newest = None;
        }
        self.row = Some(row);
    }
}

/// The row after the events of a commit; `None` if they cannot follow.
fn row_after(row: Option<Arc<RunRow>>, run_id: RunId, events: &[Event]) -> Option<Arc<RunRow>> {
    let mut events = events.iter();
    let mut row = match row {
        Some(row) => row,
        None => {
            let first = events.next()?;
            Arc::new(projection::begin(run_id, first, encoded_bytes(first)).ok()?)
        }
    };
    // In its place, unless the drainer writes it now.
    let changed = Arc::make_mut(&mut row);
    events
        .try_for_each(|event| projection::follow(changed, event, encoded_bytes(event)))
        .ok()
        .map(|()| row)
}

/// The row after one more event, as it was written.
pub(crate) fn project(row: Option<RunRow>, run_id: RunId, bytes: &Bytes) -> Result<RunRow, Error> {
    let applied = projection::apply(row, run_id, &decode(bytes)?, bytes.len());
    applied.map_err(|illegal| damaged(run_id, &illegal.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{Body, Started, StepScheduled, TimerSet};

    const RUN: RunId = RunId(uuid::Uuid::from_u128(7));

    /// Three commits of two events each.
    fn commits() -> Vec<Vec<Event>> {
        let started =
            Body::Started(Box::new(Started { workflow_id: "w".into(), ..Started::default() }));
        let step =
            |command| Body::StepScheduled(StepScheduled { command, ..StepScheduled::default() });
        let timer = |command| Body::TimerSet(TimerSet { command, fire_at_ms: 9 });
        let bodies = [[started, step(1)], [step(2), timer(3)], [timer(4), step(5)]];
        let event = |(at, body)| Event { time_ms: at, body: Some(body) };
        bodies.into_iter().map(|bodies| (1..).zip(bodies).map(event).collect()).collect()
    }

    fn tail() -> Tail {
        let mut tail = Tail::default();
        for events in commits() {
            tail.push(RUN, &events, Chunk::encode(&events));
        }
        tail
    }

    fn written(commits: &[Vec<Event>]) -> Vec<u8> {
        commits.iter().flat_map(|events| Chunk::encode(events).bytes.to_vec()).collect()
    }

    #[test]
    fn the_row_that_is_kept_is_the_one_that_the_written_events_make() {
        let tail = tail();
        let mut row = None;
        for (bytes, sequence) in tail.events(RUN).unwrap().iter().zip(1..) {
            row = Some(project(row, RUN, bytes).unwrap());
            let before = tail.row_before(RUN, sequence).unwrap();
            assert_eq!(before.as_deref(), row.as_ref(), "before {sequence}");
        }
        assert_eq!(
            (tail.newest.clone(), tail.row_before(RUN, u64::MAX).unwrap()),
            (row.clone().map(Arc::new), row.map(Arc::new))
        );
    }

    #[test]
    fn only_what_is_durable_is_drained_and_the_rest_later() {
        let mut tail = tail();
        let mut plain = Vec::new();
        assert!(tail.undrained(RUN, 1, &mut plain).unwrap().is_none(), "half a commit is none");
        let first = tail.undrained(RUN, 4, &mut plain).unwrap().unwrap();
        assert_eq!((first.count, first.after.next_sequence, first.before.is_none()), (4, 4, true));
        assert_eq!(plain, written(&commits()[..2]));
        for _ in 0..2 {
            tail.drained(first.after.clone());
        }
        assert_eq!((tail.len(), tail.row()), (2, Some(&*first.after)));

        plain.clear();
        let rest = tail.undrained(RUN, 6, &mut plain).unwrap().unwrap();
        assert_eq!((rest.count, rest.before.as_ref()), (2, Some(&first.after)));
        assert_eq!(plain, written(&commits()[2..]));
        tail.drained(rest.after.clone());
        assert!(tail.is_drained() && tail.undrained(RUN, 6, &mut plain).unwrap().is_none());
        assert!(tail.between(RUN, 5, 6).is_none(), "the tables have it");
    }

    #[test]
    fn events_that_cannot_follow_are_told_when_they_are_drained() {
        let mut tail = tail();
        let again = &commits()[0];
        tail.push(RUN, again, Chunk::encode(again));
        assert!(tail.undrained(RUN, 6, &mut Vec::new()).unwrap().is_some());
        assert!(matches!(tail.undrained(RUN, 8, &mut Vec::new()), Err(Error::Damaged { .. })));
    }
}
