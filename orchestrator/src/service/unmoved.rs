//! `ListUnmoved`: which runs do not get on.

use souk_proto::time::timestamp;
use souk_proto::workflow::v1::{ListUnmovedResponse, UnmovedRuns};
use tonic::Status;

use crate::engine::Engine;
use crate::engine::engine::Unmoved;
use crate::error::refusal;

/// The lines of a type, or of all types if that is empty.
pub async fn list(engine: &Engine, workflow_type: &str) -> Result<ListUnmovedResponse, Status> {
    let mut found = engine.unmoved().await.map_err(refusal)?;
    found.retain(|line| workflow_type.is_empty() || line.workflow_type == workflow_type);
    Ok(ListUnmovedResponse { lines: found.into_iter().map(line).collect() })
}

fn line(line: Unmoved) -> UnmovedRuns {
    UnmovedRuns {
        workflow_type: line.workflow_type,
        step: line.step,
        runs: i64::try_from(line.runs).unwrap_or(i64::MAX),
        since: Some(timestamp(line.since_ms)),
        oldest_workflow_id: line.oldest_workflow_id,
        cause: line.cause,
    }
}
