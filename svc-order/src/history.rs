//! The workflow's history, read from WorkflowService: what watchers see, and whether an order is paid.

use std::time::Duration;

use souk_mesh::client::Channel;
use souk_mesh::context::with_deadline;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{
    GetWorkflowHistoryRequest, GetWorkflowHistoryResponse, HistoryEvent, HistoryEventKind,
    WorkflowState,
};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::workflow::{step, workflow_id};

/// Most events that one look back reads; an order's run has some dozens.
const MAX_LOOK_BACK: usize = 2_000;
/// How long a look back may take.
const LOOK_BACK_LIMIT: Duration = Duration::from_secs(3);
/// How long ShipOrder waits for a capture that is under way.
const CAPTURE_WAIT: Duration = Duration::from_secs(2);

/// A run's events so far.
pub struct LookBack {
    /// In order.
    pub events: Vec<HistoryEvent>,
    /// Whether nothing will follow.
    pub closed: bool,
}

/// Reads histories of order workflows. Clones share the channel.
#[derive(Clone)]
pub struct Histories {
    workflows: WorkflowServiceClient<Channel>,
}

impl Histories {
    /// Reads by `workflows`.
    #[must_use]
    pub fn new(workflows: WorkflowServiceClient<Channel>) -> Histories {
        Histories { workflows }
    }

    /// Follows the order's workflow from the event after `after_sequence` until the run ends.
    ///
    /// # Errors
    /// Whatever WorkflowService answers; NOT_FOUND when there is no such run (yet).
    pub async fn follow(
        &self,
        order_id: Uuid,
        after_sequence: i64,
    ) -> Result<Streaming<GetWorkflowHistoryResponse>, Status> {
        self.open(order_id, after_sequence, true).await
    }

    /// The events after `after_sequence` that are there now.
    ///
    /// # Errors
    /// Whatever WorkflowService answers. A run that does not exist has no events and is not closed.
    pub async fn look_back(&self, order_id: Uuid, after_sequence: i64) -> Result<LookBack, Status> {
        let reading = async {
            let mut stream = match self.open(order_id, after_sequence, false).await {
                Err(status) if status.code() == Code::NotFound => {
                    return Ok(LookBack { events: Vec::new(), closed: false });
                }
                opened => opened?,
            };
            let mut look_back = LookBack { events: Vec::new(), closed: false };
            while let Some(batch) = stream.message().await? {
                look_back.closed = is_closed(batch.state());
                look_back.events.extend(batch.events);
                if look_back.events.len() >= MAX_LOOK_BACK {
                    look_back.closed = false;
                    break;
                }
            }
            Ok(look_back)
        };
        tokio::time::timeout(LOOK_BACK_LIMIT, with_deadline(LOOK_BACK_LIMIT, reading))
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("history took too long")))
    }

    /// Whether the order's payment is captured; a capture that is under way is waited for a moment.
    ///
    /// # Errors
    /// Whatever WorkflowService answers.
    pub async fn is_paid(&self, order_id: Uuid) -> Result<bool, Status> {
        let following = async {
            let mut stream = match self.follow(order_id, 0).await {
                Err(status) if status.code() == Code::NotFound => return Ok(false),
                opened => opened?,
            };
            while let Some(batch) = stream.message().await? {
                if batch.events.iter().any(is_capture) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        // Waiting too long is an answer: not paid yet.
        tokio::time::timeout(CAPTURE_WAIT, following).await.unwrap_or(Ok(false))
    }

    async fn open(
        &self,
        order_id: Uuid,
        after_sequence: i64,
        follow: bool,
    ) -> Result<Streaming<GetWorkflowHistoryResponse>, Status> {
        let request = GetWorkflowHistoryRequest {
            workflow_id: workflow_id(order_id),
            from_sequence: after_sequence.saturating_add(1),
            follow,
            ..Default::default()
        };
        Ok(self.workflows.clone().get_workflow_history(request).await?.into_inner())
    }
}

/// Whether a run in this state has ended.
#[must_use]
pub fn is_closed(state: WorkflowState) -> bool {
    match state {
        WorkflowState::Completed
        | WorkflowState::Failed
        | WorkflowState::Cancelled
        | WorkflowState::Terminated => true,
        WorkflowState::Unspecified
        | WorkflowState::Running
        | WorkflowState::Compensating
        | WorkflowState::Parked
        | WorkflowState::Paused
        // The next turn goes on under the same id.
        | WorkflowState::Continued => false,
    }
}

fn is_capture(event: &HistoryEvent) -> bool {
    event.kind() == HistoryEventKind::StepCompleted && event.name == step::CAPTURE_PAYMENT
}
