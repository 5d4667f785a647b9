//! Rows of runs as messages of the contract.

use bytes::Bytes;
use souk_mesh::error::{FieldViolation, invalid_argument};
use souk_proto::time::{self, timestamp};
use souk_proto::workflow::v1::{
    OpenChild as WireChild, ParentClosePolicy, SearchAttribute, SearchAttributeKind,
    WorkflowDetail, WorkflowFailure, WorkflowIdReuse, WorkflowState, WorkflowSummary,
};
use tonic::Status;

use crate::engine::RunRef;
use crate::engine::attribute::{Attribute, Attributes, Value};
use crate::engine::event::{OpenChild, ParentClose};
use crate::engine::ids::RunId;
use crate::engine::lineage::{IdReuse, generation};
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

/// What becomes of a start under an id that has a run.
pub fn id_reuse(wanted: WorkflowIdReuse) -> IdReuse {
    match wanted {
        WorkflowIdReuse::Unspecified => IdReuse::Join,
        WorkflowIdReuse::AllowIfClosed => IdReuse::AllowIfClosed,
        WorkflowIdReuse::AllowIfFailed => IdReuse::AllowIfFailed,
        WorkflowIdReuse::TerminateIfOpen => IdReuse::TerminateIfOpen,
    }
}

/// The same as a caller says it.
pub fn id_reuse_message(wanted: IdReuse) -> WorkflowIdReuse {
    match wanted {
        IdReuse::Join => WorkflowIdReuse::Unspecified,
        IdReuse::AllowIfClosed => WorkflowIdReuse::AllowIfClosed,
        IdReuse::AllowIfFailed => WorkflowIdReuse::AllowIfFailed,
        IdReuse::TerminateIfOpen => WorkflowIdReuse::TerminateIfOpen,
    }
}

/// Which run is meant; the newest under the workflow id if `run_id` is empty.
///
/// # Errors
/// If it is not a UUID.
pub fn run_ref<'a>(workflow_id: &'a str, run_id: &str) -> Result<RunRef<'a>, Status> {
    if run_id.is_empty() {
        return Ok(workflow_id.into());
    }
    let run_id = run_id.parse().map_err(|_| {
        let violation = FieldViolation::new("run_id", "it is not a UUID");
        invalid_argument("INVALID_FIELDS", vec![violation])
    })?;
    Ok((workflow_id, RunId(run_id)).into())
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
        generation: i32::try_from(generation(row.lineage.as_ref())).unwrap_or(i32::MAX),
        failure: parked_cause(row).or_else(|| failure(row.failure.as_ref(), false)),
        attributes: row.attributes.iter().map(attribute).collect(),
    }
}

/// A run in full.
pub fn detail(row: &RunRow, walk: &Walk) -> WorkflowDetail {
    let parent = row.parent.as_ref();
    let parent_run_id = parent.and_then(|parent| RunId::from_slice(&parent.run_id));
    WorkflowDetail {
        summary: Some(summary(row)),
        input: walk.input.clone(),
        pending_steps: walk.pending_steps(),
        open_undo: walk.open_undo(),
        open_timers: walk.open_timers(),
        parked_cause: parked_cause(row),
        answer: row.answer.clone().unwrap_or_default(),
        result: row.result.clone().unwrap_or_default(),
        parent_workflow_id: parent.map(|parent| parent.workflow_id.clone()).unwrap_or_default(),
        parent_run_id: parent_run_id.map(|id| id.to_string()).unwrap_or_default(),
        open_children: row.open_children.iter().map(open_child).collect(),
    }
}

/// A search attribute as callers see it.
fn attribute(attribute: &Attribute) -> SearchAttribute {
    let mut wire = SearchAttribute { name: attribute.name.clone(), ..SearchAttribute::default() };
    match &attribute.value {
        Some(Value::Text(text)) => {
            wire.set_kind(SearchAttributeKind::Text);
            wire.text.clone_from(text);
        }
        Some(Value::Integer(integer)) => {
            wire.set_kind(SearchAttributeKind::Integer);
            wire.integer = *integer;
        }
        Some(Value::Flag(flag)) => {
            wire.set_kind(SearchAttributeKind::Flag);
            wire.flag = *flag;
        }
        Some(Value::TimeMs(ms)) => {
            wire.set_kind(SearchAttributeKind::Time);
            wire.time = Some(timestamp(*ms));
        }
        None => {}
    }
    wire
}

/// Search attributes as a caller gives them.
pub fn attribute_messages(given: Attributes) -> Vec<SearchAttribute> {
    let message = |(name, value)| attribute(&Attribute { name, value: Some(value) });
    given.into_iter().map(message).collect()
}

/// The search attributes that a caller gives; of two with one name the last.
pub fn attributes(given: Vec<SearchAttribute>) -> Attributes {
    let value = |given: &SearchAttribute| match given.kind() {
        SearchAttributeKind::Integer => Value::Integer(given.integer),
        SearchAttributeKind::Flag => Value::Flag(given.flag),
        SearchAttributeKind::Time => Value::TimeMs(given.time.as_ref().map_or(0, time::unix_ms)),
        // The contract refuses attributes without a type.
        SearchAttributeKind::Text | SearchAttributeKind::Unspecified => {
            Value::Text(given.text.clone())
        }
    };
    given.into_iter().map(|given| (given.name.clone(), value(&given))).collect()
}

/// A change of attributes as JSON: name → value, null where it is taken away.
pub fn attributes_json(changes: &[Attribute]) -> Bytes {
    let value = |value: &Value| match value {
        Value::Text(text) => serde_json::Value::from(text.as_str()),
        Value::Integer(integer) => serde_json::Value::from(*integer),
        Value::Flag(flag) => serde_json::Value::from(*flag),
        Value::TimeMs(ms) => serde_json::Value::from(timestamp(*ms).to_string()),
    };
    let changed =
        |change: &Attribute| (change.name.clone(), change.value.as_ref().map(value).into());
    let object: serde_json::Map<String, serde_json::Value> = changes.iter().map(changed).collect();
    serde_json::Value::from(object).to_string().into()
}

/// What becomes of a child, as callers see it.
pub fn policy(policy: ParentClose) -> ParentClosePolicy {
    match policy {
        ParentClose::Cancel => ParentClosePolicy::Cancel,
        ParentClose::Terminate => ParentClosePolicy::Terminate,
        ParentClose::Abandon => ParentClosePolicy::Abandon,
    }
}

fn open_child(child: &OpenChild) -> WireChild {
    WireChild {
        workflow_id: child.workflow_id.clone(),
        workflow_type: child.workflow_type.clone(),
        parent_close_policy: policy(child.policy()).into(),
        started: child.is_started,
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
