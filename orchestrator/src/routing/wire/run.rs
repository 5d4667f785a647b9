//! Parts of runs that both requests and replies carry.

use souk_mesh::error::{FieldViolation, invalid_argument};
use souk_proto::workflow::v1::{PeerFailure, PeerOutcome, PeerParent, WorkflowState};
use tonic::Status;

use crate::engine::event::Parent;
use crate::engine::ids::RunId;
use crate::engine::row::RunState;
use crate::engine::{Failure, Outcome};
use crate::wire;

/// What is wrong with a request of another node.
pub(super) fn malformed(field: &str) -> Status {
    let violation = FieldViolation::new(field, "is not what this build understands");
    invalid_argument("INVALID_FIELDS", vec![violation])
}

pub(super) fn run_id(bytes: &[u8], field: &str) -> Result<RunId, Status> {
    RunId::from_slice(bytes).ok_or_else(|| malformed(field))
}

pub(super) fn encode_parent(parent: Parent) -> PeerParent {
    let Parent { workflow_id, run_id, command, depth } = parent;
    PeerParent { workflow_id, run_id, command, depth }
}

pub(super) fn decode_parent(parent: PeerParent) -> Parent {
    let PeerParent { workflow_id, run_id, command, depth } = parent;
    Parent { workflow_id, run_id, command, depth }
}

/// `None`: the run goes on.
pub(super) fn encode_outcome(outcome: Option<Outcome>) -> PeerOutcome {
    let Some(Outcome { state, result, failure }) = outcome else { return PeerOutcome::default() };
    let failure = failure.map(|Failure { code, message, step }| PeerFailure {
        code,
        message,
        step: step.unwrap_or_default(),
    });
    PeerOutcome {
        state: wire::state(state).into(),
        has_result: result.is_some(),
        result: result.unwrap_or_default(),
        failure,
    }
}

pub(super) fn decode_outcome(outcome: PeerOutcome) -> Option<Outcome> {
    let state = closed_state(outcome.state())?;
    let failure = outcome.failure.map(|PeerFailure { code, message, step }| Failure {
        code,
        message,
        step: (!step.is_empty()).then_some(step),
    });
    let result = outcome.has_result.then_some(outcome.result);
    Some(Outcome { state, result, failure })
}

/// The engine's name of a state in which nothing more can happen.
pub(super) fn closed_state(state: WorkflowState) -> Option<RunState> {
    let closed = RunState::ALL.into_iter().filter(|state| state.is_closed());
    closed.into_iter().find(|known| wire::state(*known) == state)
}
