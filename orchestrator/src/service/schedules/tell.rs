//! A schedule's run, asked and told.

use souk_mesh::error::{FieldViolation, invalid_argument, request_id_reused, status};
use tonic::{Code, Status};

use crate::engine::Error;
use crate::engine::cx::{Update as _, View as _};
use crate::engine::row::RunState;
use crate::error::refusal;
use crate::service::Service;
use crate::service::message::{UPDATE_WAIT, pending};
use crate::system::schedule::command::{
    BACKFILL_TOO_LARGE, Change, Command, REQUEST_ID_REUSED, VERSION_CONFLICT,
};
use crate::system::schedule::state::{Answer, Shown};
use crate::system::schedule::workflow_id;

impl Service {
    /// What a schedule shows of itself.
    pub(super) async fn shown(&self, schedule_id: &str) -> Result<Shown, Status> {
        let id = workflow_id(schedule_id);
        // A list shows schedules of all nodes.
        let runs = self.engine.anywhere();
        let state = runs.row(&id).await.map_err(|error| of_run(error, schedule_id))?.state();
        if state.is_closed() && state != RunState::Continued {
            return Err(not_found(schedule_id));
        }
        let view = runs.query(&id, Shown::NAME).await;
        let view = view.map_err(|error| of_run(error, schedule_id))?;
        serde_json::from_slice(&view)
            .map_err(|error| status(Code::Internal, "SCHEDULE_FORM", error.to_string()))
    }

    /// Has a schedule do something, and waits for its answer.
    pub(super) async fn tell(
        &self,
        schedule_id: &str,
        request_id: String,
        by: &str,
        change: Change,
    ) -> Result<Answer, Status> {
        let form =
            |error: serde_json::Error| status(Code::Internal, "SCHEDULE_FORM", error.to_string());
        let command = Command { request_id, by: by.to_owned(), change };
        let payload = serde_json::to_vec(&command).map_err(form)?.into();
        // The content is part of the id: the run itself tells repetitions from other content under the same id.
        let update_id = format!("{}/{:016x}", command.request_id, command.fingerprint());
        let name = Command::NAME;
        let id = workflow_id(schedule_id);
        match self.engine.update(&id, name, &update_id, payload, UPDATE_WAIT).await {
            Ok(Some(answer)) => serde_json::from_slice(&answer).map_err(form),
            Ok(None) => Err(pending()),
            Err(error) => Err(of_run(error, schedule_id)),
        }
    }
}

/// What a refusal by a schedule's run means to those who know schedules only.
pub(super) fn of_run(error: Error, schedule_id: &str) -> Status {
    match error {
        Error::NotFound(_) | Error::Closed { .. } => not_found(schedule_id),
        Error::UpdateRefused(failure) => match failure.code.as_str() {
            VERSION_CONFLICT => status(Code::Aborted, VERSION_CONFLICT, failure.message),
            REQUEST_ID_REUSED => request_id_reused(),
            BACKFILL_TOO_LARGE => {
                let violation = FieldViolation::new("end_time", failure.message);
                invalid_argument(BACKFILL_TOO_LARGE, vec![violation])
            }
            _ => refusal(Error::UpdateRefused(failure)),
        },
        other => refusal(other),
    }
}

pub(super) fn not_found(schedule_id: &str) -> Status {
    let message = format!("no schedule is known under {schedule_id:?}");
    status(Code::NotFound, "SCHEDULE_NOT_FOUND", message)
}
