//! Starting runs: idempotent by workflow id and input.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Answer, Engine};
use crate::engine::attribute::{self, Attributes};
use crate::engine::cell::{Held, RunCell};
use crate::engine::core::{check_payload, check_size};
use crate::engine::directory::Found;
use crate::engine::error::Error;
use crate::engine::event::{Body, Parent, Started as StartedEvent};
use crate::engine::ids::RunId;
use crate::engine::limits::{MAX_ID_BYTES, MAX_TURNS_FOLLOWED};
use crate::engine::lineage::{IdReuse, Lineage, Newest, Verdict, judge};
use crate::engine::run::Run;

/// What a run is started with.
#[derive(Clone, Debug, Default)]
pub struct StartRequest {
    /// The caller's name for the run. A second start under it joins the first, if type and input are the same.
    pub workflow_id: String,
    /// The name under which the workflow is registered.
    pub workflow_type: String,
    /// JSON.
    pub input: Bytes,
    /// W3C trace context, or empty.
    pub traceparent: String,
    /// What becomes of the start if the workflow id has a run already.
    pub id_reuse: IdReuse,
    /// The sender's id of this start: a repetition is recognised by it. Needed with an [`IdReuse`] other than
    /// [`IdReuse::Join`], which alone looks at it.
    pub request_id: String,
    /// What the run is found by, until the workflow says otherwise. Not part of what makes two starts equal.
    pub attributes: Attributes,
}

impl StartRequest {
    /// A request with a typed input.
    ///
    /// # Errors
    /// If the input cannot be written as JSON.
    pub fn new<I: serde::Serialize>(
        workflow_id: impl Into<String>,
        workflow_type: impl Into<String>,
        input: &I,
    ) -> Result<StartRequest, serde_json::Error> {
        Ok(StartRequest {
            workflow_id: workflow_id.into(),
            workflow_type: workflow_type.into(),
            input: serde_json::to_vec(input)?.into(),
            ..StartRequest::default()
        })
    }

    /// A child is the same only if the same command has started it.
    pub(super) fn fingerprint(&self, parent: Option<&Parent>) -> Bytes {
        let mut hash = Sha256::new();
        hash.update((self.workflow_type.len() as u64).to_le_bytes());
        hash.update(self.workflow_type.as_bytes());
        hash.update(&self.input);
        if let Some(parent) = parent {
            hash.update(&parent.run_id);
            hash.update(parent.command.to_le_bytes());
        }
        Bytes::copy_from_slice(&hash.finalize())
    }
}

impl StartRequest {
    pub(super) fn judge(&self, fingerprint: &Bytes, newest: &Newest<'_>) -> Result<Verdict, Error> {
        judge(&self.workflow_id, self.id_reuse, &self.request_id, fingerprint, newest)
    }
}

/// A run that was started, now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The run's id.
    pub run_id: RunId,
    /// Whether this request started it; otherwise an equal one did before.
    pub is_new: bool,
}

impl Engine {
    /// Starts a run, or finds the one that an equal request started. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the workflow id belongs to a run with another type or input; [`Error::UnknownType`],
    /// [`Error::InvalidInput`], [`Error::TooLarge`], [`Error::InvalidAttribute`]; [`Error::Overloaded`]: try again.
    pub async fn start(&self, request: StartRequest) -> Result<Started, Error> {
        let (started, held) = self.start_and_hold(request, None).await?;
        if let Some(held) = held {
            self.core.wait_durable(&held, 1).await?;
        }
        Ok(started)
    }

    /// Like [`Engine::start`], and waits for the workflow's answer for a while. Every equal request gets the same one.
    ///
    /// # Errors
    /// Those of [`Engine::start`].
    pub async fn start_and_wait(
        &self,
        request: StartRequest,
        wait: Duration,
    ) -> Result<(Started, Answer), Error> {
        let workflow_id = request.workflow_id.clone();
        let (started, held) = self.start_and_hold(request, None).await?;
        let answer = match held {
            Some(held) => {
                let cell = held.clone();
                let answer = self.wait_in(held, wait).await?;
                // What is published is durable; what has not answered may not even have begun.
                self.core.wait_durable(&cell, 1).await?;
                answer
            }
            None => self.answer_of_run(&workflow_id, started.run_id, wait).await?,
        };
        Ok((started, answer))
    }

    /// Starts or finds the run; its cell if it is in memory.
    pub(super) async fn start_and_hold(
        &self,
        request: StartRequest,
        parent: Option<&Parent>,
    ) -> Result<(Started, Option<Held>), Error> {
        check(&request)?;
        let core = &self.core;
        core.check_open()?;
        if core.registry.get(&request.workflow_type).is_none() {
            return Err(Error::UnknownType(request.workflow_type));
        }
        let fingerprint = request.fingerprint(parent);
        for _ in 0..MAX_TURNS_FOLLOWED {
            let departures = match core.directory.find(&request.workflow_id)? {
                Found::Here(held) if request.id_reuse == IdReuse::Join => {
                    return joined(&fingerprint, held);
                }
                Found::Here(_) => match self.start_behind(&request, parent, &fingerprint).await? {
                    Some(started) => return Ok(started),
                    None => continue,
                },
                Found::Absent(departures) => departures,
            };
            let row = core.tables.run_by_workflow_id(&request.workflow_id).await?;
            let newest = row.as_ref().map(Newest::of_row);
            if let Some(newest) = &newest {
                match request.judge(&fingerprint, newest)? {
                    Verdict::Begin if newest.state.is_closed() => {}
                    // It comes into memory, and is ended there.
                    Verdict::Begin => {
                        drop(core.hold(&request.workflow_id).await);
                        continue;
                    }
                    Verdict::Join => return Ok((already(newest.run_id), None)),
                    Verdict::JoinEarlier(run_id) => return Ok((already(run_id), None)),
                }
            }
            let (cell, run, event) =
                self.new_run(&request, parent, &fingerprint, newest.as_ref(), Weak::new())?;
            let Some(held) = self.begin(&cell, run, event, departures) else { continue };
            if Arc::ptr_eq(&held, &cell) {
                return Ok((Started { run_id: cell.run_id, is_new: true }, Some(held)));
            }
            // Another start was faster; what that means for this one is looked at again.
        }
        Err(Error::Overloaded("the run is started anew too quickly"))
    }

    /// A run that is about to begin, in a cell of its own.
    pub(super) fn new_run(
        &self,
        request: &StartRequest,
        parent: Option<&Parent>,
        fingerprint: &Bytes,
        newest: Option<&Newest<'_>>,
        previous: Weak<RunCell>,
    ) -> Result<(Arc<RunCell>, Run, StartedEvent), Error> {
        let core = &self.core;
        let definition = core
            .registry
            .get(&request.workflow_type)
            .ok_or_else(|| Error::UnknownType(request.workflow_type.clone()))?;
        core.admit_start()?;
        let run_id = newest
            .map_or_else(|| core.new_run_id(), |newest| core.new_run_id_behind(newest.run_id));
        let lineage = (request.id_reuse != IdReuse::Join)
            .then(|| Lineage::next(run_id, &request.request_id, newest));
        let event = StartedEvent {
            workflow_id: request.workflow_id.clone(),
            workflow_type: request.workflow_type.clone(),
            input: request.input.clone(),
            fingerprint: fingerprint.clone(),
            traceparent: request.traceparent.clone(),
            carried: None,
            lineage,
            parent: parent.cloned(),
            attributes: attribute::recorded(&request.attributes),
            ..StartedEvent::default()
        };
        let run = Run::prepare(&**definition, run_id, &event).map_err(|error| {
            let problem = error.to_string();
            Error::InvalidInput { what: request.workflow_type.clone(), problem }
        })?;
        let cell = RunCell::new(
            run_id,
            event.workflow_id.as_str().into(),
            event.workflow_type.as_str().into(),
            fingerprint.clone(),
        );
        let cell = cell.behind(event.lineage.clone().map(Arc::new), previous);
        Ok((Arc::new(cell), run, event))
    }

    /// Puts a new run into the directory and lets it begin, unless another is there already.
    fn begin(
        &self,
        cell: &Arc<RunCell>,
        mut run: Run,
        event: StartedEvent,
        departures: u64,
    ) -> Option<Held> {
        let core = &self.core;
        // Before the cell can be seen: who finds it waits for the lock, and finds the run.
        let mut guard = cell.run.lock();
        let held = core.directory.insert(cell.clone(), departures)?;
        if Arc::ptr_eq(&held, cell) {
            let events = run.observe(Body::Started(Box::new(event)), core.now_ms());
            core.commit(cell, &mut run, &events);
            if run.is_closed() {
                run.unload();
            }
            *guard = Some(Box::new(run));
        }
        Some(held)
    }
}

pub(super) fn check(request: &StartRequest) -> Result<(), Error> {
    check_size("the workflow id's bytes", request.workflow_id.len(), MAX_ID_BYTES)?;
    check_size("the request id's bytes", request.request_id.len(), MAX_ID_BYTES)?;
    check_payload(&request.workflow_type, &request.input)?;
    attribute::check(&request.attributes)?;
    if request.id_reuse != IdReuse::Join && request.request_id.is_empty() {
        let problem = "a start that may use its workflow id again needs a request id".to_owned();
        return Err(Error::InvalidInput { what: "the start".into(), problem });
    }
    Ok(())
}

/// What a start that joins a run is told.
pub(super) fn already(run_id: RunId) -> Started {
    Started { run_id, is_new: false }
}

fn joined(wanted: &Bytes, held: Held) -> Result<(Started, Option<Held>), Error> {
    if held.fingerprint != *wanted {
        return Err(Error::Conflict { workflow_id: held.workflow_id.to_string() });
    }
    Ok((already(held.run_id), Some(held)))
}
