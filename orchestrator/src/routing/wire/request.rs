//! What is asked.

use std::time::Duration;

use souk_proto::time::{duration, duration_ms};
use souk_proto::workflow::v1::{
    AskRequest, ParentClosePolicy, PeerAction, PeerChildEnded, PeerControl, PeerDescribe,
    PeerEndChild, PeerHistory, PeerOutcomeWanted, PeerQuery, PeerReset, PeerSignal, PeerStart,
    ResetPoint as WirePoint,
};
use tonic::Status;

use super::run::{decode_outcome, decode_parent, encode_outcome, encode_parent, malformed, run_id};
use crate::engine::StartRequest;
use crate::engine::engine::ChildEnd;
use crate::engine::event::{Parent, ParentClose};
use crate::engine::peers::{Control, PeerCall, PeerRequest};
use crate::engine::reset::{ResetPoint, ResetRequest};
use crate::wire;

/// The longest that a node waits for the end of a run before it answers that the run goes on: the caller asks again.
const MAX_WAIT: Duration = Duration::from_secs(20);

pub fn encode(call: PeerCall) -> AskRequest {
    let mut asked = AskRequest { workflow_id: call.workflow_id, ..AskRequest::default() };
    match call.request {
        PeerRequest::Start { request, parent } => {
            asked.start = Some(encode_start(*request, parent));
        }
        PeerRequest::EndChild { parent, how } => {
            let (parent, how) = (Some(encode_parent(parent)), wire::policy(how).into());
            asked.end_child = Some(PeerEndChild { parent, how });
        }
        PeerRequest::ChildEnded(end) => {
            let ChildEnd { workflow_id, parent, outcome } = *end;
            asked.child_ended = Some(PeerChildEnded {
                workflow_id: workflow_id.to_string(),
                parent: Some(encode_parent(parent)),
                outcome: Some(encode_outcome(Some(outcome))),
            });
        }
        PeerRequest::Signal { name, signal_id, payload } => {
            asked.signal = Some(PeerSignal { name, signal_id, payload });
        }
        PeerRequest::Control(control) => asked.control = Some(encode_control(control)),
        PeerRequest::ResetPoint(point) => {
            asked.reset_point = Some(match point {
                ResetPoint::LastStep(last_step) => WirePoint { last_step, before_failure: false },
                ResetPoint::BeforeFailure => {
                    WirePoint { before_failure: true, ..WirePoint::default() }
                }
            });
        }
        PeerRequest::Reset(request) => {
            let ResetRequest { sequence, reason, drops_messages, owed_is_done_again } = request;
            asked.reset = Some(PeerReset { sequence, reason, drops_messages, owed_is_done_again });
        }
        PeerRequest::Describe => asked.describe = Some(PeerDescribe {}),
        PeerRequest::Outcome { wait } => {
            let wait_ms = i64::try_from(wait.min(MAX_WAIT).as_millis()).unwrap_or(i64::MAX);
            asked.end = Some(PeerOutcomeWanted { wait: Some(duration(wait_ms)) });
        }
        PeerRequest::History { run_id, from } => {
            let run_id = run_id.as_bytes().to_vec().into();
            asked.history = Some(PeerHistory { run_id, from });
        }
        PeerRequest::Query { name } => asked.query = Some(PeerQuery { name }),
    }
    asked
}

fn encode_start(request: StartRequest, parent: Option<Parent>) -> PeerStart {
    PeerStart {
        workflow_type: request.workflow_type,
        input: request.input,
        traceparent: request.traceparent,
        id_reuse: wire::id_reuse_message(request.id_reuse).into(),
        request_id: request.request_id,
        attributes: wire::attribute_messages(request.attributes),
        parent: parent.map(encode_parent),
    }
}

fn encode_control(control: Control) -> PeerControl {
    let control_of = |action: PeerAction, reason: String| PeerControl {
        action: action.into(),
        reason,
        ..PeerControl::default()
    };
    match control {
        Control::Cancel { reason } => control_of(PeerAction::Cancel, reason),
        Control::Terminate { reason, abandon_undo } => {
            PeerControl { abandon_undo, ..control_of(PeerAction::Terminate, reason) }
        }
        Control::Pause { reason } => control_of(PeerAction::Pause, reason),
        Control::Resume { reason } => control_of(PeerAction::Resume, reason),
        Control::RetryStep { at } => {
            PeerControl { parked_at: at, ..control_of(PeerAction::RetryStep, String::new()) }
        }
        Control::SkipStep { at, reason } => {
            PeerControl { parked_at: at, ..control_of(PeerAction::SkipStep, reason) }
        }
    }
}

/// # Errors
/// INVALID_ARGUMENT, naming the field that this build does not understand.
pub fn decode(asked: AskRequest) -> Result<PeerCall, Status> {
    let workflow_id = asked.workflow_id.clone();
    let request = match asked {
        AskRequest { start: Some(start), .. } => decode_start(&workflow_id, start),
        AskRequest { end_child: Some(end), .. } => decode_end_child(end)?,
        AskRequest { child_ended: Some(end), .. } => decode_child_ended(end)?,
        AskRequest { signal: Some(PeerSignal { name, signal_id, payload }), .. } => {
            PeerRequest::Signal { name, signal_id, payload }
        }
        AskRequest { control: Some(control), .. } => PeerRequest::Control(decode_control(control)?),
        AskRequest { reset_point: Some(WirePoint { last_step, before_failure }), .. } => {
            PeerRequest::ResetPoint(match before_failure {
                true => ResetPoint::BeforeFailure,
                false => ResetPoint::LastStep(last_step),
            })
        }
        AskRequest { reset: Some(reset), .. } => {
            let PeerReset { sequence, reason, drops_messages, owed_is_done_again } = reset;
            let request = ResetRequest { sequence, reason, drops_messages, owed_is_done_again };
            PeerRequest::Reset(request)
        }
        AskRequest { describe: Some(PeerDescribe {}), .. } => PeerRequest::Describe,
        AskRequest { end: Some(PeerOutcomeWanted { wait }), .. } => {
            let wait_ms = wait.as_ref().map_or(0, duration_ms).unsigned_abs();
            PeerRequest::Outcome { wait: Duration::from_millis(wait_ms).min(MAX_WAIT) }
        }
        AskRequest { history: Some(PeerHistory { run_id: id, from }), .. } => {
            PeerRequest::History { run_id: run_id(&id, "history.run_id")?, from }
        }
        AskRequest { query: Some(PeerQuery { name }), .. } => PeerRequest::Query { name },
        AskRequest { .. } => return Err(malformed("what is asked")),
    };
    Ok(PeerCall { workflow_id, request })
}

fn decode_start(workflow_id: &str, start: PeerStart) -> PeerRequest {
    let id_reuse = wire::id_reuse(start.id_reuse());
    let request = StartRequest {
        workflow_id: workflow_id.to_owned(),
        id_reuse,
        workflow_type: start.workflow_type,
        input: start.input,
        traceparent: start.traceparent,
        request_id: start.request_id,
        attributes: wire::attributes(start.attributes),
    };
    PeerRequest::Start { request: Box::new(request), parent: start.parent.map(decode_parent) }
}

fn decode_end_child(end: PeerEndChild) -> Result<PeerRequest, Status> {
    let how = match end.how() {
        ParentClosePolicy::Cancel => ParentClose::Cancel,
        ParentClosePolicy::Terminate => ParentClose::Terminate,
        ParentClosePolicy::Abandon => ParentClose::Abandon,
        ParentClosePolicy::Unspecified => return Err(malformed("end_child.how")),
    };
    let parent = end.parent.ok_or_else(|| malformed("end_child.parent"))?;
    Ok(PeerRequest::EndChild { parent: decode_parent(parent), how })
}

fn decode_child_ended(end: PeerChildEnded) -> Result<PeerRequest, Status> {
    let parent = end.parent.ok_or_else(|| malformed("child_ended.parent"))?;
    let outcome = end.outcome.and_then(decode_outcome);
    Ok(PeerRequest::ChildEnded(Box::new(ChildEnd {
        workflow_id: end.workflow_id.into(),
        parent: decode_parent(parent),
        outcome: outcome.ok_or_else(|| malformed("child_ended.outcome"))?,
    })))
}

fn decode_control(control: PeerControl) -> Result<Control, Status> {
    let action = control.action();
    let PeerControl { reason, abandon_undo, parked_at: at, .. } = control;
    Ok(match action {
        PeerAction::Cancel => Control::Cancel { reason },
        PeerAction::Terminate => Control::Terminate { reason, abandon_undo },
        PeerAction::Pause => Control::Pause { reason },
        PeerAction::Resume => Control::Resume { reason },
        PeerAction::RetryStep => Control::RetryStep { at },
        PeerAction::SkipStep => Control::SkipStep { at, reason },
        PeerAction::Unspecified => return Err(malformed("control.action")),
    })
}
