//! The open runs of a node that runs, as `ExportHistories` sends them.

use futures::{Stream, StreamExt, stream};
use prost::Message;
use souk_proto::workflow::v1::ExportHistoriesResponse;
use tonic::Status;

use crate::engine::event::Event;
use crate::engine::ids::RunId;
use crate::engine::stored::StoredRun;

/// Why a node's runs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the node answered.
    #[error("the node answered {}: {}", .0.code(), .0.message())]
    Refused(#[from] Status),
    /// It sent something that is no run.
    #[error("the node sent what is no run: {0}")]
    Malformed(String),
}

/// Puts the messages together to runs.
pub fn runs(
    parts: impl Stream<Item = Result<ExportHistoriesResponse, Status>> + Send + Unpin,
) -> impl Stream<Item = Result<StoredRun, Error>> + Send {
    stream::unfold(Some(parts), |parts| async move {
        let mut parts = parts?;
        match next(&mut parts).await {
            Ok(Some(run)) => Some((Ok(run), Some(parts))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

async fn next(
    parts: &mut (impl Stream<Item = Result<ExportHistoriesResponse, Status>> + Unpin),
) -> Result<Option<StoredRun>, Error> {
    let mut run: Option<StoredRun> = None;
    while let Some(part) = parts.next().await {
        let part = part?;
        let run_id: RunId = part
            .run_id
            .parse()
            .map(RunId)
            .map_err(|_| Error::Malformed(format!("{:?} is no run id", part.run_id)))?;
        let run = run.get_or_insert_with(|| StoredRun {
            run_id,
            workflow_id: part.workflow_id,
            workflow_type: part.workflow_type,
            history: Vec::new(),
        });
        if run.run_id != run_id {
            return Err(Error::Malformed(format!("the history of {} has no end", run.run_id)));
        }
        for bytes in &part.events {
            let event = Event::decode(bytes.as_ref())
                .map_err(|error| Error::Malformed(format!("an event of {run_id}: {error}")))?;
            run.history.push(event);
        }
        if part.ends {
            return Ok(Some(run.clone()));
        }
    }
    match run {
        Some(run) => Err(Error::Malformed(format!("the history of {} has no end", run.run_id))),
        None => Ok(None),
    }
}
