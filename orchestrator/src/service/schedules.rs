//! The calls about schedules: each is told to the run of the schedule, or asked from it.

mod form;
mod tell;

use futures::future::join_all;
use souk_mesh::error::status;
use souk_mesh::page;
use souk_proto::time::{timestamp, unix_ms};
use souk_proto::workflow::v1::{
    BackfillScheduleRequest, BackfillScheduleResponse, CreateScheduleRequest,
    CreateScheduleResponse, DeleteScheduleRequest, DeleteScheduleResponse, DescribeScheduleRequest,
    DescribeScheduleResponse, ListSchedulesRequest, ListSchedulesResponse, PauseScheduleRequest,
    PauseScheduleResponse, ScheduleRun, ScheduleSummary, TriggerScheduleRequest,
    TriggerScheduleResponse, UnpauseScheduleRequest, UnpauseScheduleResponse,
    UpdateScheduleRequest, UpdateScheduleResponse,
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Service, wrong};
use crate::engine::ids::RunId;
use crate::engine::{Error, IdReuse, StartRequest};
use crate::error::refusal;
use crate::system::schedule::command::{self, Change};
use crate::system::schedule::definition::Overlap;
use crate::system::schedule::state::{Answer, Input};
use crate::system::schedule::{Deleted, TYPE, schedule_id, workflow_id};
use crate::wire;
use tell::of_run;

/// Schedules on a page when the caller names no size, and at most.
const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 200;
/// Schedules that are asked side by side for a page.
const ASKED_AT_ONCE: usize = 16;
/// The runs of schedules that are there.
const OPEN_SCHEDULES: &str = r#"type = "souk.schedule" AND state = "open""#;

impl Service {
    pub(super) async fn create_schedule_of(
        &self,
        request: CreateScheduleRequest,
        by: &str,
    ) -> Result<CreateScheduleResponse, Status> {
        let CreateScheduleRequest { request_id, schedule_id, schedule, paused, note } = request;
        let definition = form::definition(schedule, &schedule_id)?;
        let next_times = form::next_times(&schedule_id, &definition, self.engine.now_ms())?;
        self.check_action(&schedule_id, &definition.action)?;
        let paused = paused.then(|| command::note(&note, by));
        let input = Input {
            schedule_id: schedule_id.clone(),
            request_id: request_id.clone(),
            definition,
            paused,
            state: None,
        };
        let start = StartRequest::new(workflow_id(&schedule_id), TYPE, &input)
            .map_err(|error| status(Code::Internal, "SCHEDULE_FORM", error.to_string()))?;
        // The id of a schedule that was deleted may be used again.
        let start = StartRequest { id_reuse: IdReuse::AllowIfClosed, request_id, ..start };
        match self.engine.start(start).await {
            Ok(_) => Ok(CreateScheduleResponse { next_times }),
            Err(Error::Conflict { .. }) => {
                let message = format!("a schedule {schedule_id:?} is there already");
                Err(status(Code::AlreadyExists, "SCHEDULE_EXISTS", message))
            }
            Err(error) => Err(refusal(error)),
        }
    }

    pub(super) async fn describe_schedule_of(
        &self,
        request: DescribeScheduleRequest,
    ) -> Result<DescribeScheduleResponse, Status> {
        let shown = self.shown(&request.schedule_id).await?;
        let mut detail = form::detail(&shown, self.engine.now_ms());
        for run in &mut detail.running {
            self.look_at(run).await;
        }
        Ok(DescribeScheduleResponse { schedule: Some(detail) })
    }

    pub(super) async fn list_schedules_of(
        &self,
        request: ListSchedulesRequest,
    ) -> Result<ListSchedulesResponse, Status> {
        let size = page::size(request.page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)? as usize;
        let before: Option<Uuid> = self.pages.decode(&request.page_token, "schedules")?;
        let filter = super::list::filter(OPEN_SCHEDULES, 0)?;
        // One more than asked for tells whether there is a next page.
        let page = self.engine.list(&filter, before.map(RunId), size + 1).await.map_err(refusal)?;
        let mut rows = page.rows;
        let has_more = rows.len() > size;
        rows.truncate(size);
        let next = if has_more { rows.last().map(|last| last.id()) } else { page.next };
        let next_page_token = match next {
            Some(run_id) => self.pages.encode(&run_id.0, "schedules")?,
            None => String::new(),
        };
        let ids: Vec<String> = rows
            .iter()
            .filter_map(|row| schedule_id(&row.workflow_id).map(str::to_owned))
            .collect();
        let mut schedules = Vec::with_capacity(ids.len());
        for some in ids.chunks(ASKED_AT_ONCE) {
            let asked = some.iter().map(|id| self.summary(id));
            schedules.extend(join_all(asked).await.into_iter().flatten());
        }
        Ok(ListSchedulesResponse { schedules, next_page_token })
    }

    /// A schedule in a list, which must not fail because one of them cannot answer; none if it was deleted meanwhile.
    async fn summary(&self, schedule_id: &str) -> Option<ScheduleSummary> {
        match self.shown(schedule_id).await {
            Ok(shown) => {
                let mut summary = form::summary(&shown, self.engine.now_ms());
                if let Some(run) = &mut summary.last_run {
                    self.look_at(run).await;
                }
                Some(summary)
            }
            Err(gone) if gone.code() == Code::NotFound => None,
            Err(error) => Some(form::unreadable(schedule_id, &error)),
        }
    }

    /// Where a run stands now: the schedule itself looks when it matters to it. What is not on record any more stays as
    /// the schedule knows it.
    async fn look_at(&self, run: &mut ScheduleRun) {
        if let Ok(row) = self.engine.anywhere().row(&run.workflow_id).await {
            let summary = wire::summary(&row);
            (run.state, run.failure) = (summary.state, summary.failure);
        }
    }

    pub(super) async fn update_schedule_of(
        &self,
        request: UpdateScheduleRequest,
        by: &str,
    ) -> Result<UpdateScheduleResponse, Status> {
        let UpdateScheduleRequest { request_id, schedule_id, schedule, expected_version } = request;
        let definition = form::definition(schedule, &schedule_id)?;
        let next_times = form::next_times(&schedule_id, &definition, self.engine.now_ms())?;
        self.check_action(&schedule_id, &definition.action)?;
        let expected_version = u64::try_from(expected_version).ok().filter(|version| *version > 0);
        let change = Change::Update { definition: Box::new(definition), expected_version };
        let answer = self.tell(&schedule_id, request_id, by, change).await?;
        Ok(UpdateScheduleResponse { version: form::count(answer.version), next_times })
    }

    pub(super) async fn pause_schedule_of(
        &self,
        request: PauseScheduleRequest,
        by: &str,
    ) -> Result<PauseScheduleResponse, Status> {
        let PauseScheduleRequest { request_id, schedule_id, note } = request;
        self.tell(&schedule_id, request_id, by, Change::Pause { note }).await?;
        Ok(PauseScheduleResponse {})
    }

    pub(super) async fn unpause_schedule_of(
        &self,
        request: UnpauseScheduleRequest,
        by: &str,
    ) -> Result<UnpauseScheduleResponse, Status> {
        let UnpauseScheduleRequest { request_id, schedule_id, skip_missed } = request;
        self.tell(&schedule_id, request_id, by, Change::Unpause { skip_missed }).await?;
        Ok(UnpauseScheduleResponse {})
    }

    pub(super) async fn trigger_schedule_of(
        &self,
        request: TriggerScheduleRequest,
        by: &str,
    ) -> Result<TriggerScheduleResponse, Status> {
        let overlap = form::overlap(request.overlap());
        let TriggerScheduleRequest { request_id, schedule_id, .. } = request;
        let answer = self.tell(&schedule_id, request_id, by, Change::Trigger { overlap }).await?;
        let Answer { workflow_id, waiting, .. } = answer;
        Ok(TriggerScheduleResponse { workflow_id, waiting: waiting > 0 })
    }

    pub(super) async fn backfill_schedule_of(
        &self,
        request: BackfillScheduleRequest,
        by: &str,
    ) -> Result<BackfillScheduleResponse, Status> {
        let overlap = form::overlap(request.overlap()).unwrap_or(Overlap::BufferAll);
        let from_ms = request.start_time.as_ref().map_or(0, unix_ms);
        let to_ms = request.end_time.as_ref().map_or(0, unix_ms);
        if to_ms < from_ms {
            return Err(wrong("end_time", "is before start_time"));
        }
        if to_ms > self.engine.now_ms() {
            return Err(wrong(
                "end_time",
                "is in the future: a backfill is of times that have passed",
            ));
        }
        let change = Change::Backfill { from_ms, to_ms, overlap };
        let BackfillScheduleRequest { request_id, schedule_id, .. } = request;
        let answer = self.tell(&schedule_id, request_id, by, change).await?;
        Ok(BackfillScheduleResponse {
            started: form::count(answer.started),
            waiting: form::count(answer.waiting),
            skipped: form::count(answer.skipped),
        })
    }

    pub(super) async fn delete_schedule_of(
        &self,
        request: DeleteScheduleRequest,
        by: &str,
    ) -> Result<DeleteScheduleResponse, Status> {
        let DeleteScheduleRequest { request_id, schedule_id } = request;
        match self.tell(&schedule_id, request_id.clone(), by, Change::Delete).await {
            Err(gone) if gone.code() == Code::NotFound => {
                // A repetition comes to a schedule that is gone because of the first.
                let row = self.engine.describe(&workflow_id(&schedule_id)).await;
                let result = row.ok().and_then(|run| run.row.result).unwrap_or_default();
                match serde_json::from_slice::<Deleted>(&result) {
                    Ok(deleted) if deleted.request_id == request_id => {
                        Ok(DeleteScheduleResponse {})
                    }
                    _ => Err(gone),
                }
            }
            told => told.map(|_| DeleteScheduleResponse {}),
        }
    }

    /// Whether this node could start the runs of a schedule.
    fn check_action(
        &self,
        schedule_id: &str,
        action: &crate::system::schedule::definition::Action,
    ) -> Result<(), Status> {
        let start = StartRequest {
            workflow_id: format!("{}/{}", action.workflow_id_prefix, timestamp(0)),
            workflow_type: action.workflow_type.clone(),
            input: action.input.clone().into(),
            ..StartRequest::default()
        };
        self.engine.check_start(&start).map_err(|error| match error {
            Error::UnknownType(_) => wrong("schedule.action.workflow_type", &error.to_string()),
            Error::InvalidInput { .. } => wrong("schedule.action.input", &error.to_string()),
            other => of_run(other, schedule_id),
        })
    }
}
