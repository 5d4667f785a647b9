//! Queries: what a run shows of itself, read without changing or recording anything.

use bytes::Bytes;

use super::{Engine, RunRef};
use crate::engine::error::Error;
use crate::engine::run::{Phase, Run};

impl Engine {
    /// The view that a run (the newest under a workflow id, or the one that has this run id) has published under a name,
    /// as JSON: as far as the run has come, and only once all that it
    /// follows from is durable. A run that has ended answers too, by replay.
    ///
    /// # Errors
    /// [`Error::NotPublished`] if the run has not published such a view (yet); [`Error::Stuck`]: what the run shows may
    /// be wrong; [`Error::NotFound`].
    pub async fn query(&self, run: impl Into<RunRef<'_>>, name: &str) -> Result<Bytes, Error> {
        let run = run.into();
        let held = match self.find(run)? {
            Some(held) if held.run.lock().is_some() => held,
            _ => match self.core.hold(run.workflow_id).await {
                Ok(held) if run.run_id.is_none_or(|run_id| run_id == held.run_id) => held,
                Ok(_) | Err(Error::Closed { .. }) => return self.query_closed(run, name).await,
                Err(error) => return Err(error),
            },
        };
        let mut view = None;
        let sequence = self.core.deliver(&held, |run| {
            view = Some(look(run, name)?);
            Ok(None)
        })?;
        self.core.wait_durable(&held, sequence).await?;
        // What was seen was the newest only if no other node can have gone on with the run meanwhile.
        self.core.ownership.check(&held.workflow_id)?;
        view.ok_or_else(|| Error::NotPublished(name.to_owned()))
    }

    async fn query_closed(&self, run: RunRef<'_>, name: &str) -> Result<Bytes, Error> {
        let core = &self.core;
        let row = self.row_of(run).await?;
        let replayed = core.replay(row.id(), run.workflow_id.into(), row.next_sequence).await?;
        look(&replayed.run, name)
    }
}

fn look(run: &Run, name: &str) -> Result<Bytes, Error> {
    if let Phase::Stuck(misfit) = &run.phase {
        return Err(Error::stuck(misfit));
    }
    run.view(name).ok_or_else(|| Error::NotPublished(name.to_owned()))
}
