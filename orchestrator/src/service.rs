//! `souk.workflow.v1.WorkflowService`: wire → engine → wire.

mod batch;
mod histories;
mod list;
mod message;
mod nodes;
mod reset;
mod schedules;
mod start;
mod turns;
mod unmoved;

use futures::StreamExt as _;
use souk_mesh::error::{FieldViolation, invalid_argument};
use souk_mesh::identity::{Caller, Keys};
use souk_mesh::page::Tokens;
use souk_mesh::telemetry;
use souk_proto::workflow::v1::workflow_service_server::WorkflowService;
use souk_proto::workflow::v1::{
    BackfillScheduleRequest, BackfillScheduleResponse, BatchOperateRequest, BatchOperateResponse,
    CancelWorkflowRequest, CancelWorkflowResponse, CountWorkflowsRequest, CountWorkflowsResponse,
    CreateScheduleRequest, CreateScheduleResponse, DeleteScheduleRequest, DeleteScheduleResponse,
    DescribeScheduleRequest, DescribeScheduleResponse, DescribeWorkflowRequest,
    DescribeWorkflowResponse, ExportHistoriesRequest, ExportHistoriesResponse,
    GetWorkflowHistoryRequest, GetWorkflowHistoryResponse, ListNodesRequest, ListNodesResponse,
    ListSchedulesRequest, ListSchedulesResponse, ListUnmovedRequest, ListUnmovedResponse,
    ListWorkflowTurnsRequest, ListWorkflowTurnsResponse, ListWorkflowsRequest,
    ListWorkflowsResponse, PauseScheduleRequest, PauseScheduleResponse, PauseWorkflowRequest,
    PauseWorkflowResponse, QueryWorkflowRequest, QueryWorkflowResponse, ResetWorkflowRequest,
    ResetWorkflowResponse, ResumeWorkflowRequest, ResumeWorkflowResponse, RetryStepRequest,
    RetryStepResponse, SignalWorkflowRequest, SignalWorkflowResponse, SkipStepRequest,
    SkipStepResponse, StartWorkflowRequest, StartWorkflowResponse, TerminateWorkflowRequest,
    TerminateWorkflowResponse, TriggerScheduleRequest, TriggerScheduleResponse,
    UnpauseScheduleRequest, UnpauseScheduleResponse, UpdateScheduleRequest, UpdateScheduleResponse,
    UpdateWorkflowRequest, UpdateWorkflowResponse,
};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::engine::{Engine, RunRef};
use crate::error::refusal;
use crate::history::{self, Walk};
use crate::wire;

/// The service over the engine of this node.
pub struct Service {
    engine: Engine,
    pages: Tokens,
}

impl Service {
    /// Puts the parts together.
    pub fn new(engine: Engine, keys: &Keys) -> Self {
        Self { engine, pages: Tokens::new(keys) }
    }

    /// Who names a step means that one and no other; an empty name means whichever parked the run.
    async fn check_parked_at(&self, workflow_id: &str, step: &str) -> Result<(), Status> {
        let row = self.engine.describe(workflow_id).await.map_err(refusal)?.row;
        let parked_at = row.parked_by.map(|failure| failure.step).unwrap_or_default();
        if step.is_empty() || step == parked_at {
            return Ok(());
        }
        let message = format!("the run is not parked at {step:?}");
        Err(souk_mesh::error::status(tonic::Code::FailedPrecondition, "NOT_PARKED", message))
    }

    /// The whole history so far.
    async fn walk(&self, run: RunRef<'_>) -> Result<Walk, Status> {
        let events = self.engine.history(run, 0, false).await.map_err(refusal)?;
        let mut events = std::pin::pin!(events);
        let mut walk = Walk::default();
        while let Some(event) = events.next().await {
            walk.step(&event.map_err(refusal)?);
        }
        Ok(walk)
    }
}

#[tonic::async_trait]
impl WorkflowService for Service {
    async fn start_workflow(
        &self,
        request: Request<StartWorkflowRequest>,
    ) -> Result<Response<StartWorkflowResponse>, Status> {
        start::start(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn signal_workflow(
        &self,
        request: Request<SignalWorkflowRequest>,
    ) -> Result<Response<SignalWorkflowResponse>, Status> {
        message::signal(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn query_workflow(
        &self,
        request: Request<QueryWorkflowRequest>,
    ) -> Result<Response<QueryWorkflowResponse>, Status> {
        message::query(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn update_workflow(
        &self,
        request: Request<UpdateWorkflowRequest>,
    ) -> Result<Response<UpdateWorkflowResponse>, Status> {
        message::update(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn describe_workflow(
        &self,
        request: Request<DescribeWorkflowRequest>,
    ) -> Result<Response<DescribeWorkflowResponse>, Status> {
        let DescribeWorkflowRequest { workflow_id, run_id } = request.into_inner();
        let run = wire::run_ref(&workflow_id, &run_id)?;
        let row = self.engine.describe(run).await.map_err(refusal)?.row;
        let walk = self.walk((workflow_id.as_str(), row.id()).into()).await?;
        let workflow = Some(wire::detail(&row, &walk));
        Ok(Response::new(DescribeWorkflowResponse { workflow }))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        list::list(&self.engine, &self.pages, request.into_inner()).await.map(Response::new)
    }

    async fn count_workflows(
        &self,
        request: Request<CountWorkflowsRequest>,
    ) -> Result<Response<CountWorkflowsResponse>, Status> {
        list::count(&self.engine, &self.pages, request.into_inner()).await.map(Response::new)
    }

    async fn batch_operate(
        &self,
        request: Request<BatchOperateRequest>,
    ) -> Result<Response<BatchOperateResponse>, Status> {
        let who = Caller::of(&request).subject.clone();
        let traceparent = telemetry::current_traceparent().unwrap_or_default();
        let begun = batch::operate(&self.engine, request.into_inner(), &who, traceparent).await;
        begun.map(Response::new)
    }

    async fn get_workflow_history(
        &self,
        request: Request<GetWorkflowHistoryRequest>,
    ) -> Result<Response<BoxStream<GetWorkflowHistoryResponse>>, Status> {
        let GetWorkflowHistoryRequest { workflow_id, from_sequence, follow, run_id } =
            request.into_inner();
        let run = wire::run_ref(&workflow_id, &run_id)?;
        let events = self.engine.history(run, 0, follow).await.map_err(refusal)?;
        Ok(Response::new(history::messages(events.boxed(), from_sequence)))
    }

    async fn export_histories(
        &self,
        request: Request<ExportHistoriesRequest>,
    ) -> Result<Response<BoxStream<ExportHistoriesResponse>>, Status> {
        let workflow_type = request.into_inner().workflow_type;
        Ok(Response::new(histories::export(self.engine.clone(), workflow_type)))
    }

    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        Ok(Response::new(nodes::list(&self.engine)))
    }

    async fn list_unmoved(
        &self,
        request: Request<ListUnmovedRequest>,
    ) -> Result<Response<ListUnmovedResponse>, Status> {
        let workflow_type = request.into_inner().workflow_type;
        Ok(Response::new(unmoved::list(&self.engine, &workflow_type).await?))
    }

    async fn list_workflow_turns(
        &self,
        request: Request<ListWorkflowTurnsRequest>,
    ) -> Result<Response<ListWorkflowTurnsResponse>, Status> {
        let page = turns::page(&self.engine, &self.pages, request.into_inner()).await?;
        Ok(Response::new(page))
    }

    async fn cancel_workflow(
        &self,
        request: Request<CancelWorkflowRequest>,
    ) -> Result<Response<CancelWorkflowResponse>, Status> {
        let reason = signed(&request, &request.get_ref().reason);
        let workflow_id = request.into_inner().workflow_id;
        self.engine.cancel(&workflow_id, &reason).await.map_err(refusal)?;
        Ok(Response::new(CancelWorkflowResponse {}))
    }

    async fn terminate_workflow(
        &self,
        request: Request<TerminateWorkflowRequest>,
    ) -> Result<Response<TerminateWorkflowResponse>, Status> {
        let reason = signed(&request, &request.get_ref().reason);
        let TerminateWorkflowRequest { workflow_id, abandon_undo, .. } = request.into_inner();
        self.engine.terminate(&workflow_id, &reason, abandon_undo).await.map_err(refusal)?;
        let abandoned = self.walk(workflow_id.as_str().into()).await?.open_undo();
        Ok(Response::new(TerminateWorkflowResponse { abandoned }))
    }

    async fn pause_workflow(
        &self,
        request: Request<PauseWorkflowRequest>,
    ) -> Result<Response<PauseWorkflowResponse>, Status> {
        let reason = signed(&request, "paused");
        self.engine.pause(&request.get_ref().workflow_id, &reason).await.map_err(refusal)?;
        Ok(Response::new(PauseWorkflowResponse {}))
    }

    async fn resume_workflow(
        &self,
        request: Request<ResumeWorkflowRequest>,
    ) -> Result<Response<ResumeWorkflowResponse>, Status> {
        let reason = signed(&request, "resumed");
        self.engine.resume(&request.get_ref().workflow_id, &reason).await.map_err(refusal)?;
        Ok(Response::new(ResumeWorkflowResponse {}))
    }

    async fn reset_workflow(
        &self,
        request: Request<ResetWorkflowRequest>,
    ) -> Result<Response<ResetWorkflowResponse>, Status> {
        let reason = signed(&request, &request.get_ref().reason);
        let response = reset::reset(&self.engine, request.into_inner(), reason).await?;
        Ok(Response::new(response))
    }

    async fn retry_step(
        &self,
        request: Request<RetryStepRequest>,
    ) -> Result<Response<RetryStepResponse>, Status> {
        let RetryStepRequest { workflow_id, step, .. } = request.into_inner();
        self.check_parked_at(&workflow_id, &step).await?;
        self.engine.retry_step(&workflow_id).await.map_err(refusal)?;
        Ok(Response::new(RetryStepResponse {}))
    }

    async fn skip_step(
        &self,
        request: Request<SkipStepRequest>,
    ) -> Result<Response<SkipStepResponse>, Status> {
        let reason = signed(&request, &request.get_ref().reason);
        let SkipStepRequest { workflow_id, step, .. } = request.into_inner();
        self.check_parked_at(&workflow_id, &step).await?;
        self.engine.skip_step(&workflow_id, &reason).await.map_err(refusal)?;
        Ok(Response::new(SkipStepResponse {}))
    }

    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<CreateScheduleResponse>, Status> {
        let by = Caller::of(&request).subject;
        self.create_schedule_of(request.into_inner(), &by).await.map(Response::new)
    }

    async fn describe_schedule(
        &self,
        request: Request<DescribeScheduleRequest>,
    ) -> Result<Response<DescribeScheduleResponse>, Status> {
        self.describe_schedule_of(request.into_inner()).await.map(Response::new)
    }

    async fn list_schedules(
        &self,
        request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        self.list_schedules_of(request.into_inner()).await.map(Response::new)
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<UpdateScheduleResponse>, Status> {
        let by = Caller::of(&request).subject;
        self.update_schedule_of(request.into_inner(), &by).await.map(Response::new)
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<PauseScheduleResponse>, Status> {
        let by = Caller::of(&request).subject;
        self.pause_schedule_of(request.into_inner(), &by).await.map(Response::new)
    }

    async fn unpause_schedule(
        &self,
        request: Request<UnpauseScheduleRequest>,
    ) -> Result<Response<UnpauseScheduleResponse>, Status> {
        let by = Caller::of(&request).subject;
        self.unpause_schedule_of(request.into_inner(), &by).await.map(Response::new)
    }

    async fn trigger_schedule(
        &self,
        request: Request<TriggerScheduleRequest>,
    ) -> Result<Response<TriggerScheduleResponse>, Status> {
        let by = Caller::of(&request).subject;
        self.trigger_schedule_of(request.into_inner(), &by).await.map(Response::new)
    }

    async fn backfill_schedule(
        &self,
        request: Request<BackfillScheduleRequest>,
    ) -> Result<Response<BackfillScheduleResponse>, Status> {
        let by = Caller::of(&request).subject;
        self.backfill_schedule_of(request.into_inner(), &by).await.map(Response::new)
    }

    async fn delete_schedule(
        &self,
        request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<DeleteScheduleResponse>, Status> {
        let by = Caller::of(&request).subject;
        self.delete_schedule_of(request.into_inner(), &by).await.map(Response::new)
    }
}

/// The reason with the name of who gives it, for the record.
fn signed<T>(request: &Request<T>, reason: &str) -> String {
    format!("{reason} (by {})", Caller::of(request).subject)
}

/// A field of a request that cannot be taken as it is.
fn wrong(field: &str, description: &str) -> Status {
    invalid_argument("INVALID_FIELDS", vec![FieldViolation::new(field, description)])
}
