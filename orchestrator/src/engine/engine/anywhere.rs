//! Runs wherever they are: what is to happen to one that another node serves is asked of that node.
//!
//! For what the engine itself and its own workflows do to other runs. Callers from outside are led to the right node
//! before they come to an engine.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};

use super::{ChildEnd, Engine, HistoryEvent, StartRequest, Started, WasReset};
use crate::engine::cell::Outcome;
use crate::engine::error::Error;
use crate::engine::event::{Parent, ParentClose};
use crate::engine::ids::RunId;
use crate::engine::peers::{Control, PeerCall, PeerReply, PeerRequest, Peers};
use crate::engine::reset::{ResetPoint, ResetRequest};
use crate::engine::row::RunRow;

/// See the module. Every call fails with [`Error::NotOwner`] or [`Error::PeerUnreachable`] where it might work if it is
/// tried again a moment later; all of them may be tried again.
#[derive(Clone)]
pub struct Anywhere {
    engine: Engine,
    peers: Option<Arc<dyn Peers>>,
}

impl Anywhere {
    pub(super) fn new(engine: Engine, peers: Option<Arc<dyn Peers>>) -> Anywhere {
        Anywhere { engine, peers }
    }

    async fn ask(&self, workflow_id: &str, request: PeerRequest) -> Result<PeerReply, Error> {
        let call = PeerCall { workflow_id: workflow_id.to_owned(), request };
        match (self.engine.core.ownership.check(workflow_id), &self.peers) {
            (Err(Error::NotOwner { owner: Some(owner), .. }), Some(peers)) => {
                peers.call(&owner, call).await
            }
            (Err(error), _) => Err(error),
            (Ok(()), _) => self.engine.serve_peer(call).await,
        }
    }

    async fn have_done(&self, workflow_id: &str, request: PeerRequest) -> Result<(), Error> {
        match self.ask(workflow_id, request).await? {
            PeerReply::Done => Ok(()),
            other => Err(unfit(&other)),
        }
    }

    /// See [`Engine::start`].
    ///
    /// # Errors
    /// The same.
    pub async fn start(&self, request: StartRequest) -> Result<Started, Error> {
        self.start_for(request, None).await
    }

    pub(in crate::engine) async fn start_for(
        &self,
        request: StartRequest,
        parent: Option<Parent>,
    ) -> Result<Started, Error> {
        let workflow_id = request.workflow_id.clone();
        let request = PeerRequest::Start { request: Box::new(request), parent };
        match self.ask(&workflow_id, request).await? {
            PeerReply::Started(started) => Ok(started),
            other => Err(unfit(&other)),
        }
    }

    pub(in crate::engine) async fn end_child(
        &self,
        workflow_id: &str,
        parent: Parent,
        how: ParentClose,
    ) -> Result<(), Error> {
        self.have_done(workflow_id, PeerRequest::EndChild { parent, how }).await
    }

    pub(in crate::engine) async fn tell_parent(&self, end: &ChildEnd) -> Result<(), Error> {
        let request = PeerRequest::ChildEnded(Box::new(end.clone()));
        self.have_done(&end.parent.workflow_id, request).await
    }

    /// See [`Engine::signal`].
    ///
    /// # Errors
    /// The same.
    pub async fn signal(
        &self,
        workflow_id: &str,
        name: &str,
        signal_id: &str,
        payload: Bytes,
    ) -> Result<bool, Error> {
        let (name, signal_id) = (name.to_owned(), signal_id.to_owned());
        let request = PeerRequest::Signal { name, signal_id, payload };
        match self.ask(workflow_id, request).await? {
            PeerReply::Signalled(is_new) => Ok(is_new),
            other => Err(unfit(&other)),
        }
    }

    /// What people do to runs.
    ///
    /// # Errors
    /// Those of the method that the [`Control`] names.
    pub async fn control(&self, workflow_id: &str, control: Control) -> Result<(), Error> {
        self.have_done(workflow_id, PeerRequest::Control(control)).await
    }

    /// See [`Engine::reset_point`].
    ///
    /// # Errors
    /// The same.
    pub async fn reset_point(&self, workflow_id: &str, point: &ResetPoint) -> Result<u64, Error> {
        match self.ask(workflow_id, PeerRequest::ResetPoint(point.clone())).await? {
            PeerReply::Sequence(sequence) => Ok(sequence),
            other => Err(unfit(&other)),
        }
    }

    /// See [`Engine::reset`].
    ///
    /// # Errors
    /// The same.
    pub async fn reset(&self, workflow_id: &str, request: ResetRequest) -> Result<WasReset, Error> {
        match self.ask(workflow_id, PeerRequest::Reset(request)).await? {
            PeerReply::Reset(reset) => Ok(reset),
            other => Err(unfit(&other)),
        }
    }

    /// The row of the newest run under a workflow id, as far as it is durable.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn row(&self, workflow_id: &str) -> Result<RunRow, Error> {
        match self.ask(workflow_id, PeerRequest::Describe).await? {
            PeerReply::Row(row) => Ok(*row),
            other => Err(unfit(&other)),
        }
    }

    /// See [`Engine::outcome`].
    ///
    /// # Errors
    /// The same.
    pub async fn outcome(
        &self,
        workflow_id: &str,
        wait: Duration,
    ) -> Result<Option<Outcome>, Error> {
        match self.ask(workflow_id, PeerRequest::Outcome { wait }).await? {
            PeerReply::Outcome(outcome) => Ok(outcome),
            other => Err(unfit(&other)),
        }
    }

    /// See [`Engine::query`]: of the newest run under a workflow id.
    ///
    /// # Errors
    /// The same.
    pub async fn query(&self, workflow_id: &str, name: &str) -> Result<Bytes, Error> {
        match self.ask(workflow_id, PeerRequest::Query { name: name.to_owned() }).await? {
            PeerReply::View(view) => Ok(view),
            other => Err(unfit(&other)),
        }
    }

    /// The events of a run so far, from event `from` on.
    pub fn history(
        &self,
        workflow_id: &str,
        run_id: RunId,
        from: u64,
    ) -> impl Stream<Item = Result<HistoryEvent, Error>> + Send + use<> {
        let (runs, workflow_id) = (self.clone(), workflow_id.to_owned());
        let reader =
            Reader { runs, workflow_id, run_id, next: from, part: VecDeque::new(), is_over: false };
        stream::unfold(reader, |mut reader| async move { Some((reader.next().await?, reader)) })
    }
}

/// Reads a history part by part.
struct Reader {
    runs: Anywhere,
    workflow_id: String,
    run_id: RunId,
    next: u64,
    part: VecDeque<HistoryEvent>,
    is_over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<HistoryEvent, Error>> {
        if self.part.is_empty() && !self.is_over {
            let request = PeerRequest::History { run_id: self.run_id, from: self.next };
            match self.runs.ask(&self.workflow_id, request).await {
                Ok(PeerReply::Events(events)) => self.part = events.into(),
                Ok(other) => return self.fail(unfit(&other)),
                Err(error) => return self.fail(error),
            }
            self.is_over = self.part.is_empty();
        }
        let event = self.part.pop_front()?;
        self.next = event.sequence + 1;
        Some(Ok(event))
    }

    fn fail(&mut self, error: Error) -> Option<Result<HistoryEvent, Error>> {
        self.is_over = true;
        Some(Err(error))
    }
}

/// A node that answers something else than what it was asked runs another build.
fn unfit(reply: &PeerReply) -> Error {
    Error::PeerUnreachable(format!("it answers something else: {reply:?}"))
}
