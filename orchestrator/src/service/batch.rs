//! One operation on many runs: checked here, done by the engine's own workflow.

use souk_proto::workflow::v1::{
    BatchOperateRequest, BatchOperateResponse, BatchOperation, WorkflowCount,
};
use tonic::Status;

use super::{list, reset, wrong};
use crate::engine::{Engine, Error, StartRequest};
use crate::error::refusal;
use crate::system::batch::{self, Batch, Operation, Which};

/// Begins a batch, or counts what it would act on. `who` goes on the record of each run.
pub(super) async fn operate(
    engine: &Engine,
    request: BatchOperateRequest,
    who: &str,
    traceparent: String,
) -> Result<BatchOperateResponse, Status> {
    let operation = operation(&request)?;
    let which = which(engine, &request)?;
    if request.dry_run {
        return dry_run(engine, &which).await;
    }
    let workflow_id = batch::workflow_id(&request.request_id);
    let batch = Batch {
        operation,
        which,
        reason: format!("{} (by {who})", request.reason),
        max_runs: match request.max_runs {
            0 => batch::MAX_RUNS,
            asked => asked.unsigned_abs(),
        },
        runs_per_second: match request.runs_per_second {
            0 => batch::RUNS_PER_SECOND,
            asked => asked.unsigned_abs().min(batch::MAX_RUNS_PER_SECOND),
        },
        carried: None,
    };
    let start = StartRequest::new(&workflow_id, batch::TYPE, &batch).map_err(|error| {
        refusal(Error::InvalidInput { what: batch::TYPE.to_owned(), problem: error.to_string() })
    })?;
    let start = StartRequest { traceparent, ..start };
    engine.start(start).await.map_err(refusal)?;
    Ok(BatchOperateResponse { workflow_id, ..BatchOperateResponse::default() })
}

fn operation(request: &BatchOperateRequest) -> Result<Operation, Status> {
    let is_signal = request.operation() == BatchOperation::Signal;
    let has_signal = !request.signal.is_empty() || !request.payload.is_empty();
    if has_signal && !is_signal {
        return Err(wrong("signal", "belongs to the operation SIGNAL"));
    }
    if request.abandon_undo && request.operation() != BatchOperation::Terminate {
        return Err(wrong("abandon_undo", "belongs to the operation TERMINATE"));
    }
    if request.reset_to.is_some() && request.operation() != BatchOperation::Reset {
        return Err(wrong("reset_to", "belongs to the operation RESET"));
    }
    Ok(match request.operation() {
        BatchOperation::Cancel => Operation::Cancel,
        BatchOperation::Terminate => Operation::Terminate { abandon_undo: request.abandon_undo },
        BatchOperation::Pause => Operation::Pause,
        BatchOperation::Resume => Operation::Resume,
        BatchOperation::Signal if request.signal.is_empty() => {
            return Err(wrong("signal", "the operation SIGNAL needs its name"));
        }
        BatchOperation::Signal => {
            let json: &[u8] = if request.payload.is_empty() { b"null" } else { &request.payload };
            let payload = serde_json::from_slice(json)
                .map_err(|error| wrong("payload", &format!("is not JSON: {error}")))?;
            Operation::Signal { name: request.signal.clone(), payload }
        }
        BatchOperation::RetryStep => Operation::RetryStep,
        BatchOperation::SkipStep => Operation::SkipStep,
        BatchOperation::Reset => {
            let to = request.reset_to.clone().ok_or_else(|| {
                wrong("reset_to", "the operation RESET needs to know where to go back to")
            })?;
            Operation::Reset { to: reset::point(to)? }
        }
        BatchOperation::Unspecified => return Err(wrong("operation", "is required")),
    })
}

/// Exactly one of both: nobody means all runs by leaving both away.
fn which(engine: &Engine, request: &BatchOperateRequest) -> Result<Which, Status> {
    list::filter(&request.filter, engine.now_ms())?;
    match (request.workflow_ids.is_empty(), request.filter.trim().is_empty()) {
        (false, true) => Ok(Which::WorkflowIds(request.workflow_ids.clone())),
        (true, false) => Ok(Which::Filter(request.filter.clone())),
        (true, true) => Err(wrong(
            "filter",
            "is required where no workflow_ids are named; all open runs are state = open",
        )),
        (false, false) => Err(wrong("filter", "may not be set beside workflow_ids")),
    }
}

async fn dry_run(engine: &Engine, which: &Which) -> Result<BatchOperateResponse, Status> {
    let text = match which {
        Which::Filter(text) => text,
        Which::WorkflowIds(ids) => return dry_run_of(engine, ids).await,
    };
    let filter = list::filter(text, engine.now_ms())?;
    let mut counted = engine.count(&filter, None).await.map_err(refusal)?;
    counted.runs.retain(|(workflow_type, _), _| !crate::system::is_reserved(workflow_type));
    let counts = list::counts(counted.runs);
    Ok(BatchOperateResponse {
        counts,
        has_more: counted.next.is_some(),
        ..BatchOperateResponse::default()
    })
}

async fn dry_run_of(engine: &Engine, ids: &[String]) -> Result<BatchOperateResponse, Status> {
    let mut runs = std::collections::BTreeMap::new();
    for id in ids {
        match engine.describe(id).await {
            Ok(described) => {
                let state = described.row.state();
                *runs.entry((described.row.workflow_type, state)).or_default() += 1;
            }
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    let counts: Vec<WorkflowCount> = list::counts(runs);
    Ok(BatchOperateResponse { counts, ..BatchOperateResponse::default() })
}
