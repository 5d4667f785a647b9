//! Calls of other nodes to runs of this one.

use std::sync::Arc;

use futures::StreamExt;

use super::Engine;
use crate::engine::error::Error;
use crate::engine::ids::RunId;
use crate::engine::limits::MAX_PAGE_ROWS;
use crate::engine::peers::{Control, PeerCall, PeerReply, PeerRequest};

impl Engine {
    /// Does what another node asks of a run that this node serves. Forwards nothing.
    ///
    /// # Errors
    /// [`Error::NotOwner`] if another node serves the run: ask that one. Otherwise those of the method that the request
    /// names.
    pub async fn serve_peer(&self, call: PeerCall) -> Result<PeerReply, Error> {
        self.core.ownership.check(&call.workflow_id)?;
        let workflow_id = &call.workflow_id;
        Ok(match call.request {
            PeerRequest::Start { mut request, parent } => {
                request.workflow_id.clone_from(workflow_id);
                let (started, held) = self.start_and_hold(*request, parent.as_ref()).await?;
                if let Some(held) = held {
                    self.core.wait_durable(&held, 1).await?;
                }
                PeerReply::Started(started)
            }
            PeerRequest::EndChild { parent, how } => {
                self.end_child(workflow_id, &parent, how).await?;
                PeerReply::Done
            }
            PeerRequest::ChildEnded(end) => {
                self.tell_parent(workflow_id, &end).await?;
                PeerReply::Done
            }
            PeerRequest::Signal { name, signal_id, payload } => {
                PeerReply::Signalled(self.signal(workflow_id, &name, &signal_id, payload).await?)
            }
            PeerRequest::Control(control) => {
                self.act(workflow_id, control).await?;
                PeerReply::Done
            }
            PeerRequest::ResetPoint(point) => {
                PeerReply::Sequence(self.reset_point(workflow_id, &point).await?)
            }
            PeerRequest::Reset(request) => {
                PeerReply::Reset(self.reset(workflow_id, request).await?)
            }
            PeerRequest::Describe => PeerReply::Row(Box::new(self.row(workflow_id).await?)),
            PeerRequest::Outcome { wait } => {
                PeerReply::Outcome(self.outcome(workflow_id, wait).await?)
            }
            PeerRequest::Query { name } => {
                PeerReply::View(self.query(workflow_id.as_str(), &name).await?)
            }
            PeerRequest::History { run_id, from } => self.part(workflow_id, run_id, from).await?,
        })
    }

    async fn act(&self, workflow_id: &str, control: Control) -> Result<(), Error> {
        match control {
            Control::Cancel { reason } => self.cancel(workflow_id, &reason).await,
            Control::Terminate { reason, abandon_undo } => {
                self.terminate(workflow_id, &reason, abandon_undo).await
            }
            Control::Pause { reason } => self.pause(workflow_id, &reason).await,
            Control::Resume { reason } => self.resume(workflow_id, &reason).await,
            Control::RetryStep { at } => self.retry_step_at(workflow_id, at).await,
            Control::SkipStep { at, reason } => self.skip_step_at(workflow_id, at, &reason).await,
        }
    }

    async fn part(&self, workflow_id: &str, run_id: RunId, from: u64) -> Result<PeerReply, Error> {
        let history = self.history((workflow_id, run_id), from, false).await?;
        let events: Vec<_> = history.take(MAX_PAGE_ROWS).collect().await;
        Ok(PeerReply::Events(events.into_iter().collect::<Result<_, _>>()?))
    }

    /// Runs wherever they are.
    pub fn anywhere(&self) -> super::Anywhere {
        super::Anywhere::new(
            self.clone(),
            self.core.cluster.as_ref().map(|one| Arc::clone(&one.peers)),
        )
    }
}
