//! What may be seen of runs: descriptions, histories, lists. Only what is durable is shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};

use super::{Engine, RunRef};
use crate::engine::cell::{Held, decode};
use crate::engine::core::Core;
use crate::engine::drainer::unpack_from;
use crate::engine::error::Error;
use crate::engine::event::{Body, Event};
use crate::engine::filter::Filter;
use crate::engine::ids::RunId;
use crate::engine::limits::{MAX_COUNTED_PAGES, MAX_PAGE_ROWS, READ_BYTES};
use crate::engine::membership::NodeState;
use crate::engine::row::{RunRow, RunState};
use crate::engine::run::PendingCall;
use crate::engine::tables::Listed;

/// What is known of a run.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its row.
    pub row: RunRow,
    /// Steps and compensations under way. Empty for a run that is not in memory: it has none.
    pub pending: Vec<PendingCall>,
}

/// An event and its place in the history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    /// From 0. The place to go on from is one more.
    pub sequence: u64,
    /// What happened, and when.
    pub event: Event,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct ListPage {
    /// Newest first.
    pub rows: Vec<RunRow>,
    /// Where the next page begins: `before` this run. `None` if there is none.
    pub next: Option<RunId>,
    /// The list knows everything that was durable before this time, in unix milliseconds.
    pub as_of_ms: i64,
}

/// How many runs there are.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// By type and state.
    pub runs: BTreeMap<(String, RunState), u64>,
    /// Where to go on counting: `before` this run. `None` if all were counted.
    pub next: Option<RunId>,
    /// The count knows everything that was durable before this time, in unix milliseconds.
    pub as_of_ms: i64,
}

impl Engine {
    /// What is known of a run: the newest under a workflow id, or the one that has this run id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn describe(&self, run: impl Into<RunRef<'_>>) -> Result<Description, Error> {
        let run = run.into();
        let row = self.row_of(run).await?;
        let mut pending = Vec::new();
        if let Some(held) = self.find(run)?
            && let Some(run) = held.run.lock().as_ref()
        {
            pending = run.pending_calls();
            pending.retain(|call| row.open_steps.contains(&call.command));
        }
        Ok(Description { row, pending })
    }

    /// How many runs are in memory.
    pub fn loaded_runs(&self) -> usize {
        self.core.directory.len()
    }

    /// Runs that the filter means, newest first; those older than `before` only. Eventual: see [`ListPage::as_of_ms`].
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub async fn list(
        &self,
        filter: &Filter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<ListPage, Error> {
        let as_of_ms = self.as_of_ms();
        let Listed { rows, next } =
            self.core.tables.list(filter, before, limit.min(MAX_PAGE_ROWS)).await?;
        Ok(ListPage { rows, next, as_of_ms })
    }

    /// The tables know everything that was durable before this time, in unix milliseconds: on any node, as far as those
    /// have said.
    fn as_of_ms(&self) -> i64 {
        let own_ms = self.core.drainer.behind_since_ms().unwrap_or_else(|| self.core.now_ms());
        let Some(shared) = self.core.ownership.as_shared() else { return own_ms };
        let view = shared.view();
        let others = view
            .nodes
            .values()
            .filter(|node| node.log != self.core.log_id && node.state != NodeState::Sealed);
        others.map(|node| node.beat.as_of_ms).fold(own_ms, i64::min)
    }

    /// How many runs of each type and state the filter means, as far as a bounded look goes; those older than `before` only.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub async fn count(&self, filter: &Filter, before: Option<RunId>) -> Result<Counted, Error> {
        let mut counted = Counted { next: before, ..Counted::default() };
        for page in 0..MAX_COUNTED_PAGES {
            let listed = self.list(filter, counted.next, MAX_PAGE_ROWS).await?;
            if page == 0 {
                counted.as_of_ms = listed.as_of_ms;
            }
            for row in listed.rows {
                let state = row.state();
                *counted.runs.entry((row.workflow_type, state)).or_default() += 1;
            }
            counted.next = listed.next;
            if counted.next.is_none() {
                break;
            }
        }
        Ok(counted)
    }

    /// What time it is for the engine, in unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.core.now_ms()
    }

    /// The history of a run, the newest under a workflow id or the one that has this run id, from event `from` on. With `follow` it goes on with every event that becomes durable, until
    /// the run has ended; a run that is followed stays in memory.
    ///
    /// # Errors
    /// [`Error::NotFound`]; in the stream, whatever keeps it from being read.
    pub async fn history(
        &self,
        run: impl Into<RunRef<'_>>,
        from: u64,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<HistoryEvent, Error>>, Error> {
        let run = run.into();
        let held = match self.find(run)? {
            None if follow => match self.core.hold(run.workflow_id).await {
                Ok(held) => Some(held),
                Err(Error::Closed { .. }) => None,
                Err(error) => return Err(error),
            },
            held => held,
        };
        let is_meant = |held: &Held| run.run_id.is_none_or(|run_id| run_id == held.run_id);
        let held = held.filter(is_meant);
        let run_id = match &held {
            Some(held) => held.run_id,
            None => self.row_of(run).await?.id(),
        };
        Ok(self.events(held, run_id, from, follow).boxed())
    }

    /// The events of a run: of its cell, if it is in memory, and of the tables.
    pub(super) fn events(
        &self,
        held: Option<Held>,
        run_id: RunId,
        from: u64,
        follow: bool,
    ) -> impl Stream<Item = Result<HistoryEvent, Error>> + Send + use<> {
        let buffer = VecDeque::new();
        let core = self.core.clone();
        let reader = Reader { core, held, run_id, next: from, buffer, follow, is_done: false };
        stream::unfold(reader, |mut reader| async move {
            let item = reader.next().await?;
            Some((item, reader))
        })
    }
}

struct Reader {
    core: Arc<Core>,
    held: Option<Held>,
    run_id: RunId,
    /// The place of the first event of the buffer, or of the next one to read.
    next: u64,
    buffer: VecDeque<Bytes>,
    follow: bool,
    is_done: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<HistoryEvent, Error>> {
        if self.is_done {
            return None;
        }
        while self.buffer.is_empty() {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(error));
                }
            }
        }
        let bytes = self.buffer.pop_front()?;
        let sequence = self.next;
        self.next += 1;
        let event = decode(&bytes);
        let body = event.as_ref().ok().and_then(|event| event.body.as_ref());
        self.is_done =
            matches!(body, Some(Body::Closed(_) | Body::Superseded(_) | Body::Terminated(_)));
        Some(event.map(|event| HistoryEvent { sequence, event }))
    }

    /// Returns false at the end.
    async fn fill(&mut self) -> Result<bool, Error> {
        let tail = self.held.as_ref().and_then(|held| held.tail_from(self.next)).transpose()?;
        match (tail, &self.held) {
            (Some(events), _) if !events.is_empty() => {
                self.buffer = events.into();
                Ok(true)
            }
            (Some(_), Some(held)) if self.follow => {
                let next = self.next;
                if held.published.lock().closed.is_some() && held.durable() <= next {
                    return Ok(false);
                }
                self.core.wait_durable(held, next + 1).await?;
                Ok(true)
            }
            (Some(_), _) => Ok(false),
            (None, _) => self.fill_from_tables().await,
        }
    }

    async fn fill_from_tables(&mut self) -> Result<bool, Error> {
        let chunks = self.core.tables.history(self.run_id, self.next, READ_BYTES).await?;
        for chunk in chunks {
            let next = self.next + self.buffer.len() as u64;
            self.buffer.extend(unpack_from(self.run_id, &chunk, next)?);
        }
        Ok(!self.buffer.is_empty())
    }
}
