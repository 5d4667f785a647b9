//! Queries: what a run shows of itself, read without changing or recording anything.

use bytes::Bytes;

use super::Engine;
use crate::engine::error::Error;
use crate::engine::run::{Phase, Run};

impl Engine {
    /// The view that a run has published under a name, as JSON: as far as the run has come, and only once all that it
    /// follows from is durable. A run that has ended answers too, by replay.
    ///
    /// # Errors
    /// [`Error::NotPublished`] if the run has not published such a view (yet); [`Error::Stuck`]: what the run shows may
    /// be wrong; [`Error::NotFound`].
    pub async fn query(&self, workflow_id: &str, name: &str) -> Result<Bytes, Error> {
        let held = match self.core.hold(workflow_id).await {
            Ok(held) => held,
            Err(Error::Closed { .. }) => return self.query_closed(workflow_id, name).await,
            Err(error) => return Err(error),
        };
        let mut view = None;
        let sequence = self.core.deliver(&held, |run| {
            view = Some(look(run, name)?);
            Ok(None)
        })?;
        self.core.wait_durable(&held, sequence).await?;
        view.ok_or_else(|| Error::NotPublished(name.to_owned()))
    }

    async fn query_closed(&self, workflow_id: &str, name: &str) -> Result<Bytes, Error> {
        let core = &self.core;
        let row = self.row(workflow_id).await?;
        let replayed = core.replay(row.id(), workflow_id.into(), row.next_sequence).await?;
        look(&replayed.run, name)
    }
}

fn look(run: &Run, name: &str) -> Result<Bytes, Error> {
    if let Phase::Stuck(misfit) = &run.phase {
        return Err(Error::stuck(misfit));
    }
    run.view(name).ok_or_else(|| Error::NotPublished(name.to_owned()))
}
