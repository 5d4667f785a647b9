//! What a test sees of runs, and what it waits for.

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::ask::read;
use super::environment::TestEnvironment;
use super::outline::{line, timeline};
use crate::engine::event::{Body, Event};
use crate::engine::row::{RunRow, RunState};
use crate::engine::{Answer, Engine, Outcome};

/// For how long, in the time of the world, the helpers wait for something.
pub const PATIENCE: Duration = Duration::from_secs(365 * 24 * 3600);

/// For how long, in the time of the world, a run that is waited for may be parked or stuck: nobody comes to help it.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(6 * 3600);

/// How often it is looked whether a run that is waited for gets on.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Resolves when there is no more reason to wait for a run: `patience` is over, or the run has been parked or stuck for
/// `abandoned_after`. Without a process there is nothing to see, and it waits.
pub(super) async fn gives_up(
    engine: Engine,
    workflow_id: &str,
    patience: Duration,
    abandoned_after: Duration,
) {
    let (mut waited, mut abandoned) = (Duration::ZERO, Duration::ZERO);
    while waited < patience && abandoned < abandoned_after {
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
        let state = engine.describe(workflow_id).await.map(|described| described.row.state());
        match state {
            Ok(RunState::Parked | RunState::Stuck) => abandoned += LOOK_EVERY,
            _ => abandoned = Duration::ZERO,
        }
    }
}

impl TestEnvironment {
    /// Waits for something that a run must do; `None` if it will not.
    async fn patiently<T>(&self, workflow_id: &str, wanted: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            found = wanted => Some(found),
            () = gives_up(self.engine.clone(), workflow_id, PATIENCE, ABANDONED_AFTER) => None,
        }
    }

    /// The end of a run, however long it takes.
    ///
    /// # Panics
    /// If there is no such run, or if it does not end within [`PATIENCE`], or stays parked or stuck.
    pub async fn end(&self, workflow_id: &str) -> Outcome {
        let outcome = self.engine.outcome(workflow_id, Duration::MAX);
        match self.patiently(workflow_id, outcome).await {
            Some(Ok(Some(outcome))) => outcome,
            Some(Err(error)) => panic!("{workflow_id}: {error}"),
            Some(Ok(None)) | None => {
                panic!("{workflow_id} does not end:\n{}", self.timeline(workflow_id).await)
            }
        }
    }

    /// What a run completes with.
    ///
    /// # Panics
    /// If it does not complete, or completes with something else than a `T`.
    pub async fn result<T: DeserializeOwned>(&self, workflow_id: &str) -> T {
        let outcome = self.end(workflow_id).await;
        match (outcome.state, &outcome.result) {
            (RunState::Completed, Some(result)) => read(result, "the result"),
            (state, _) => panic!(
                "{workflow_id} is {}: {:?}\n{}",
                state.name(),
                outcome.failure,
                self.timeline(workflow_id).await
            ),
        }
    }

    /// What a run answers to those who started it ([`Cx::answer`](crate::engine::Cx::answer)).
    ///
    /// # Panics
    /// If it ends without, or does not answer within [`PATIENCE`].
    pub async fn answer<T: DeserializeOwned>(&self, workflow_id: &str) -> T {
        let answer = self.engine.answer(workflow_id, Duration::MAX);
        match self.patiently(workflow_id, answer).await {
            Some(Ok(Answer::Answered(json))) => read(&json, "the answer"),
            other => panic!(
                "{workflow_id} does not answer: {other:?}\n{}",
                self.timeline(workflow_id).await
            ),
        }
    }

    /// Waits until a run can do nothing more by itself: it has ended, is parked, or is stuck.
    ///
    /// # Panics
    /// If it does not come to rest within [`PATIENCE`].
    pub async fn rest(&self, workflow_id: &str) -> RunState {
        let is_at_rest = async |_: &Event| {
            let state = self.row(workflow_id).await.state();
            state.is_closed() || matches!(state, RunState::Parked | RunState::Stuck)
        };
        self.follow(workflow_id, "it does not come to rest", is_at_rest).await;
        self.row(workflow_id).await.state()
    }

    /// Waits until the history of a run has this line (see [`line`](super::line)).
    ///
    /// # Panics
    /// If the run ends without, or does not come to it within [`PATIENCE`].
    pub async fn until(&self, workflow_id: &str, wanted: &str) {
        let problem = format!("there is no {wanted:?}");
        self.follow(workflow_id, &problem, async |event: &Event| line(event) == wanted).await;
    }

    /// Follows a run, from turn to turn, until an event is the one that is looked for.
    async fn follow(
        &self,
        workflow_id: &str,
        problem: &str,
        mut is_found: impl AsyncFnMut(&Event) -> bool,
    ) {
        let found = self.patiently(workflow_id, async {
            loop {
                let stream = self.engine.history(workflow_id, 0, true).await.expect("is known");
                let mut stream = std::pin::pin!(stream);
                let mut is_continued = false;
                while let Some(event) = stream.next().await {
                    let event = event.expect("a history can be read").event;
                    if is_found(&event).await {
                        return true;
                    }
                    is_continued = matches!(&event.body, Some(Body::Closed(closed)) if closed.state() == RunState::Continued);
                }
                if !is_continued {
                    return false;
                }
            }
        });
        if found.await != Some(true) {
            panic!("{workflow_id}: {problem}:\n{}", self.timeline(workflow_id).await);
        }
    }

    /// What is known of a run, as far as it is durable.
    ///
    /// # Panics
    /// If there is no such run.
    pub async fn row(&self, workflow_id: &str) -> RunRow {
        match self.engine.describe(workflow_id).await {
            Ok(described) => described.row,
            Err(error) => panic!("{workflow_id}: {error}"),
        }
    }

    /// The history of a run as it is now; of one that has continued as new, the last turn's.
    ///
    /// # Panics
    /// If there is no such run.
    pub async fn history(&self, workflow_id: &str) -> Vec<Event> {
        match self.engine.history(workflow_id, 0, false).await {
            Ok(events) => {
                events.map(|event| event.expect("a history can be read").event).collect().await
            }
            Err(error) => panic!("{workflow_id}: {error}"),
        }
    }

    /// The [lines](super::line) of a run's history.
    pub async fn outline(&self, workflow_id: &str) -> Vec<String> {
        self.history(workflow_id).await.iter().map(line).collect()
    }

    /// A run's history as a text for people.
    pub async fn timeline(&self, workflow_id: &str) -> String {
        timeline(&self.history(workflow_id).await)
    }
}
