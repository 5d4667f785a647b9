//! Starts under a workflow id whose newest run is in memory.

use std::sync::Arc;

use bytes::Bytes;

use super::Engine;
use super::start::{StartRequest, Started, already};
use crate::engine::cell::{Held, RunCell};
use crate::engine::error::Error;
use crate::engine::event::{Body, Parent, Started as StartedEvent};
use crate::engine::lineage::{Newest, Verdict};
use crate::engine::row::RunState;
use crate::engine::run::{Phase, Run};

/// A run that is about to begin behind another one.
struct Next {
    cell: Arc<RunCell>,
    run: Run,
    event: StartedEvent,
}

impl Engine {
    /// Joins the newest run, or begins another one behind it. `None` if it has left meanwhile: look again.
    pub(super) async fn start_behind(
        &self,
        request: &StartRequest,
        parent: Option<&Parent>,
        fingerprint: &Bytes,
    ) -> Result<Option<(Started, Option<Held>)>, Error> {
        let held = match self.core.hold(&request.workflow_id).await {
            Ok(held) => held,
            Err(Error::Closed { .. } | Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let verdict = {
            let mut guard = held.run.lock();
            let Some(run) = guard.as_mut() else { return Ok(None) };
            let state = match run.phase {
                Phase::Closed(RunState::Continued) => return Ok(None),
                Phase::Closed(state) => state,
                _ => RunState::Running,
            };
            let lineage = held.lineage.as_deref();
            let newest =
                Newest { run_id: held.run_id, state, fingerprint: &held.fingerprint, lineage };
            let verdict = request.judge(fingerprint, &newest)?;
            if verdict == Verdict::Begin {
                let previous = Arc::downgrade(&held);
                let (cell, next, event) =
                    self.new_run(request, parent, fingerprint, Some(&newest), previous)?;
                let next = Next { cell, run: next, event };
                return self.begin_behind(&held, run, next, &request.request_id);
            }
            verdict
        };
        match verdict {
            Verdict::JoinEarlier(run_id) => {
                // The newest run's record has it from whom it was begun: that must be durable first.
                self.core.wait_durable(&held, 1).await?;
                Ok(Some((already(run_id), None)))
            }
            _ => Ok(Some((already(held.run_id), Some(held)))),
        }
    }

    /// Under the lock of the run that is the newest: ends it, if it is open, and begins the next one in the same commit.
    fn begin_behind(
        &self,
        ended: &Arc<RunCell>,
        run: &mut Run,
        next: Next,
        request_id: &str,
    ) -> Result<Option<(Started, Option<Held>)>, Error> {
        let core = &self.core;
        let Next { cell, run: mut next, event } = next;
        let end = match run.is_closed() {
            true => None,
            false => Some(super::control::termination(
                ended,
                run,
                &format!("the start {request_id} takes its place"),
                false,
            )?),
        };
        // Before the cell can be seen: who finds it waits for the lock, and finds the run.
        let mut guard = cell.run.lock();
        if !core.directory.replace_if(ended, &cell) {
            return Ok(None);
        }
        let held = core.directory.hold(&cell);
        let events = next.observe(Body::Started(Box::new(event)), core.now_ms());
        let begin = core.prepare(&cell, &mut next, &events);
        match end {
            None => core.committer.push(begin),
            Some(end) => {
                let events = run.observe(Body::Terminated(end), core.now_ms());
                core.commit_with(ended, run, &events, Some(Box::new(begin)));
                run.unload();
            }
        }
        if next.is_closed() {
            next.unload();
        }
        *guard = Some(Box::new(next));
        drop(guard);
        Ok(Some((Started { run_id: cell.run_id, is_new: true }, Some(held))))
    }
}
