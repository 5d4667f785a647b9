//! Starts the workflows of orders, and makes up for starts that got lost.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use souk_mesh::client::Channel;
use souk_mesh::clock::SharedClock;
use souk_mesh::context::with_deadline;
use souk_mesh::tasks::Tasks;
use souk_proto::time::duration;
use souk_proto::workflow::v1::StartWorkflowRequest;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use tonic::Status;
use uuid::Uuid;

use crate::store::{MAX_UNSTARTED, OrderStore, Unstarted};
use crate::workflow::{WORKFLOW_TYPE, workflow_id};
use crate::{Config, Error};

/// How many lost starts are made up for at once.
const PARALLEL_STARTS: usize = 16;
/// How long a start may take beyond the wait for its answer.
const START_LIMIT: Duration = Duration::from_secs(3);

/// Starts workflows. Clones share the channel and the store.
#[derive(Clone)]
pub struct Starter {
    workflows: WorkflowServiceClient<Channel>,
    store: Arc<dyn OrderStore>,
}

impl Starter {
    /// Starts workflows by `workflows` and notes it in `store`.
    #[must_use]
    pub fn new(workflows: WorkflowServiceClient<Channel>, store: Arc<dyn OrderStore>) -> Starter {
        Starter { workflows, store }
    }

    /// Starts the order's workflow or joins it, and waits up to `wait_ms` for its answer.
    ///
    /// # Errors
    /// Whatever WorkflowService answers; the order stands all the same.
    pub async fn start(
        &self,
        order_id: Uuid,
        input: Vec<u8>,
        wait_ms: u64,
    ) -> Result<Option<Vec<u8>>, Status> {
        let wait_for_answer =
            (wait_ms > 0).then(|| duration(i64::try_from(wait_ms).unwrap_or(i64::MAX)));
        let request = StartWorkflowRequest {
            request_id: order_id.to_string(),
            workflow_id: workflow_id(order_id),
            workflow_type: WORKFLOW_TYPE.to_owned(),
            input: input.into(),
            wait_for_answer,
            ..StartWorkflowRequest::default()
        };
        let limit = START_LIMIT + Duration::from_millis(wait_ms);
        let mut workflows = self.workflows.clone();
        let started = with_deadline(limit, workflows.start_workflow(request)).await?;
        Ok(started.into_inner().answer.map(Vec::from))
    }

    /// Notes that the order's workflow runs, and its answer. Failing to is no harm: the next request
    /// or sweep learns the same from the workflow.
    pub async fn note(&self, order_id: Uuid, answer: Option<Vec<u8>>) {
        if let Err(error) = self.store.note_start(order_id, answer).await {
            tracing::warn!(%order_id, %error, "start of workflow not noted");
        }
    }

    /// Starts the workflow of every order that has been pending for longer than `before_ms` allows
    /// without one, and tells how many were started.
    ///
    /// # Errors
    /// When the store cannot be read. Orders whose start fails again are left for the next sweep.
    pub async fn sweep(&self, before_ms: i64) -> Result<usize, Error> {
        let mut started = 0;
        let mut after = None;
        loop {
            let lost = self.store.unstarted(before_ms, after).await?;
            after = lost.last().map(|order| order.order_id);
            let full = lost.len() == MAX_UNSTARTED as usize;
            started += stream::iter(lost)
                .map(|order| self.restart(order))
                .buffer_unordered(PARALLEL_STARTS)
                .filter(|restarted| std::future::ready(*restarted))
                .count()
                .await;
            if !full {
                return Ok(started);
            }
        }
    }

    async fn restart(&self, Unstarted { order_id, input }: Unstarted) -> bool {
        match self.start(order_id, input, 0).await {
            Ok(answer) => {
                self.note(order_id, answer).await;
                tracing::info!(%order_id, "lost workflow start made up for");
                true
            }
            Err(status) => {
                tracing::warn!(%order_id, %status, "workflow of a recorded order does not start");
                false
            }
        }
    }

    /// Sweeps at once, then again and again until the drain.
    pub fn spawn_sweeper(&self, tasks: &Tasks, clock: SharedClock, config: &Config) {
        let starter = self.clone();
        let token = tasks.token();
        let pause = Duration::from_millis(config.sweep_every_ms);
        let grace_ms = config.start_grace_ms;
        tasks.spawn("order.sweeper", async move {
            loop {
                if let Err(error) = starter.sweep(clock.now_ms() - grace_ms).await {
                    tracing::warn!(%error, "sweep for lost workflow starts failed");
                }
                tokio::select! {
                    () = token.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }
}
