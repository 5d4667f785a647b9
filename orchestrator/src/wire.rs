//! Rows of runs as messages of the contract.

use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{WorkflowDetail, WorkflowFailure, WorkflowState, WorkflowSummary};

use crate::engine::row::{RunRow, RunState};
use crate::history::{Walk, failure};

/// Where a run stands, as callers see it. A stuck run is a parked one whose cause is the code that has a page.
pub fn state(state: RunState) -> WorkflowState {
    match state {
        RunState::Running => WorkflowState::Running,
        RunState::Compensating => WorkflowState::Compensating,
        RunState::Parked | RunState::Stuck => WorkflowState::Parked,
        RunState::Completed => WorkflowState::Completed,
        RunState::Failed => WorkflowState::Failed,
        RunState::Cancelled => WorkflowState::Cancelled,
        RunState::Terminated => WorkflowState::Terminated,
        RunState::Paused => WorkflowState::Paused,
        RunState::Continued => WorkflowState::Continued,
    }
}

/// The states that a filter means; `None` for all.
pub fn states(wanted: WorkflowState) -> Option<&'static [RunState]> {
    match wanted {
        WorkflowState::Unspecified => None,
        WorkflowState::Running => Some(&[RunState::Running]),
        WorkflowState::Compensating => Some(&[RunState::Compensating]),
        WorkflowState::Parked => Some(&[RunState::Parked, RunState::Stuck]),
        WorkflowState::Paused => Some(&[RunState::Paused]),
        WorkflowState::Continued => Some(&[RunState::Continued]),
        WorkflowState::Completed => Some(&[RunState::Completed]),
        WorkflowState::Failed => Some(&[RunState::Failed]),
        WorkflowState::Cancelled => Some(&[RunState::Cancelled]),
        WorkflowState::Terminated => Some(&[RunState::Terminated]),
    }
}

/// A run in a list.
pub fn summary(row: &RunRow) -> WorkflowSummary {
    WorkflowSummary {
        workflow_id: row.workflow_id.clone(),
        run_id: row.id().to_string(),
        workflow_type: row.workflow_type.clone(),
        state: state(row.state()).into(),
        start_time: Some(timestamp(row.started_at_ms)),
        update_time: Some(timestamp(row.updated_at_ms)),
        close_time: (row.closed_at_ms > 0).then(|| timestamp(row.closed_at_ms)),
        history_length: row.next_sequence as i64,
        failure: parked_cause(row).or_else(|| failure(row.failure.as_ref(), false)),
    }
}

/// A run in full.
pub fn detail(row: &RunRow, walk: &Walk) -> WorkflowDetail {
    WorkflowDetail {
        summary: Some(summary(row)),
        input: walk.input.clone(),
        pending_steps: walk.pending_steps(),
        open_undo: walk.open_undo(),
        open_timers: walk.open_timers(),
        parked_cause: parked_cause(row),
        answer: row.answer.clone().unwrap_or_default(),
        result: row.result.clone().unwrap_or_default(),
    }
}

fn parked_cause(row: &RunRow) -> Option<WorkflowFailure> {
    if row.state() == RunState::Stuck {
        return Some(WorkflowFailure {
            reason: row.stuck_code.clone(),
            message: row.stuck_message.clone(),
            ..WorkflowFailure::default()
        });
    }
    failure(row.parked_by.as_ref(), false)
}
