//! Children as the engine sees them: started for their parents, ended for them, and their ends told to them.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::engine::cell::{Outcome, RunCell};
use crate::engine::core::{Core, closed_error};
use crate::engine::error::Error;
use crate::engine::event::{Body, ChildClosed, Parent, ParentClose, Terminated};
use crate::engine::failure::{CHILD_LOST, Failure};
use crate::engine::limits::TELL_PARENT_RETRY_MS;
use crate::engine::row::{RunRow, RunState};
use crate::engine::run::{Phase, Run};

use super::control::{cancellation, open_undo};

/// The end of a child, on its way to the parent.
#[derive(Clone, Debug)]
pub struct ChildEnd {
    /// The child.
    pub workflow_id: Arc<str>,
    /// Which command of which run has started it.
    pub parent: Parent,
    /// How it has ended.
    pub outcome: Outcome,
}

impl Engine {
    /// The engine that a core belongs to.
    pub(in crate::engine) fn of(core: Arc<Core>) -> Engine {
        Engine { core }
    }

    /// Has the child of a command end, if it has not. Durable when it returns; a child that is cancelled may still be
    /// undoing what it did.
    pub(in crate::engine) async fn end_child(
        &self,
        workflow_id: &str,
        parent: &Parent,
        how: ParentClose,
    ) -> Result<(), Error> {
        let reason = format!("its parent {:?} has ended or given it up", parent.workflow_id);
        let ended = match how {
            ParentClose::Abandon => Ok(()),
            ParentClose::Cancel => {
                self.control(workflow_id, |cell, run| {
                    if !run.is_child_of(parent) {
                        return Ok(None);
                    }
                    cancellation(cell, run, &reason)
                })
                .await
            }
            ParentClose::Terminate => self.terminate_child(workflow_id, parent, &reason).await,
        };
        match ended {
            Err(Error::Closed { .. } | Error::NotFound(_)) => Ok(()),
            ended => ended,
        }
    }

    /// Ends a child by force, its own children first. Refused while more of them appear: try again.
    async fn terminate_child(
        &self,
        workflow_id: &str,
        parent: &Parent,
        reason: &str,
    ) -> Result<(), Error> {
        let row = self.row(workflow_id).await?;
        if !row.parent.as_ref().is_some_and(|own| own.is_same(parent)) {
            return Ok(());
        }
        let open = row.open_children.iter().filter(|child| child.ends_with_parent());
        for child in open.clone() {
            if !child.is_started {
                return Err(Error::Overloaded("a child of the child is being started"));
            }
            let own = Parent {
                workflow_id: workflow_id.to_owned(),
                run_id: child.origin_run_id(row.id()),
                command: child.origin_command(),
                depth: 0,
            };
            let runs = self.anywhere();
            Box::pin(runs.end_child(&child.workflow_id, own, child.policy())).await?;
        }
        let ended: Vec<&str> = open.map(|child| child.workflow_id.as_str()).collect();
        self.control(workflow_id, |cell, run| {
            if let Some(error) = closed_error(cell, run) {
                return Err(error);
            }
            let now = cell.row_before(u64::MAX)?.unwrap_or_default().open_children.clone();
            let mut open = now.iter().filter(|child| child.ends_with_parent());
            if !open.all(|child| ended.contains(&child.workflow_id.as_str())) {
                return Err(Error::Overloaded("the child has started another child"));
            }
            let (reason, abandoned_undo) = (reason.to_owned(), open_undo(cell, run)?);
            Ok(Some(Body::Terminated(Terminated { reason, abandoned_undo })))
        })
        .await
    }

    /// Tells a parent that its child has ended. Changes nothing if it knows.
    pub(super) async fn tell_parent(&self, workflow_id: &str, end: &ChildEnd) -> Result<(), Error> {
        self.in_open_turn(|| async {
            let held = self.core.hold(workflow_id).await?;
            let sequence = self.core.deliver(&held, |run| {
                if let Some(error) = closed_error(&held, run) {
                    return Err(error);
                }
                let open = open_child(&held, run, end)?;
                Ok(open.map(|(command, owes_undo)| observation(end, command, owes_undo)))
            })?;
            self.core.wait_durable(&held, sequence).await
        })
        .await
    }

    /// Looks after the children of a run that was open when the engine was opened: the parent may not have been told of
    /// their ends.
    pub(in crate::engine) async fn check_children(&self, row: &RunRow) -> Result<(), Error> {
        // Those whose start is under way are started again, and tell of their ends themselves.
        for child in row.open_children.iter().filter(|child| child.is_started) {
            let parent = Parent {
                workflow_id: row.workflow_id.clone(),
                run_id: child.origin_run_id(row.id()),
                command: child.origin_command(),
                depth: 0,
            };
            let found = match self.anywhere().row(&child.workflow_id).await {
                Ok(found) => Some(found),
                Err(Error::NotFound(_)) => None,
                Err(error) => return Err(error),
            };
            let is_it =
                |found: &RunRow| found.parent.as_ref().is_some_and(|own| own.is_same(&parent));
            let outcome = match found.filter(is_it) {
                Some(found) => Outcome::of_row(&found),
                None => Some(lost(&child.workflow_id)),
            };
            let is_end = |outcome: &Outcome| outcome.state != RunState::Continued;
            if let Some(outcome) = outcome.filter(is_end) {
                let workflow_id = child.workflow_id.as_str().into();
                tell_until_known(self.core.clone(), ChildEnd { workflow_id, parent, outcome })
                    .await;
            }
        }
        Ok(())
    }
}

/// Tells a parent until it knows, has ended, or the engine stops: then the next start looks after it.
pub(in crate::engine) async fn tell_until_known(core: Arc<Core>, end: ChildEnd) {
    let engine = Engine::of(core.clone());
    loop {
        match engine.anywhere().tell_parent(&end).await {
            Ok(()) | Err(Error::Closed { .. } | Error::NotFound(_)) => return,
            Err(Error::Fenced | Error::ShuttingDown) => return,
            Err(error) => {
                tracing::warn!(workflow_id = %end.workflow_id, parent = end.parent.workflow_id, %error,
                    "a parent could not be told of the end of its child; it is told again");
            }
        }
        tokio::select! {
            biased;
            () = core.seams.clock.sleep(Duration::from_millis(TELL_PARENT_RETRY_MS)) => {}
            () = core.stop.cancelled() => return,
        }
    }
}

/// The command of the child, if the parent still waits for its end, and whether it owes a compensation for it.
fn open_child(cell: &RunCell, run: &Run, end: &ChildEnd) -> Result<Option<(u64, bool)>, Error> {
    if !matches!(run.phase, Phase::Stuck(_)) {
        return Ok(run.open_child(&end.workflow_id, &end.parent));
    }
    // A stuck run may know less than its events do.
    let row = cell.row_before(u64::MAX)?.unwrap_or_default();
    let mut open = row.open_children.iter();
    let found = open.find(|child| {
        *child.workflow_id == *end.workflow_id && child.is_of(&end.parent, cell.run_id)
    });
    Ok(found.map(|child| (child.command, child.has_undo && child.ends_with_parent())))
}

fn observation(end: &ChildEnd, command: u64, owes_undo: bool) -> Body {
    let outcome = &end.outcome;
    // What failed or was cancelled has undone itself.
    let is_undone = matches!(outcome.state, RunState::Failed | RunState::Cancelled);
    Body::ChildClosed(ChildClosed {
        command,
        workflow_id: end.workflow_id.to_string(),
        state: outcome.state.into(),
        result: outcome.result.clone(),
        failure: outcome.failure.as_ref().map(Into::into),
        discharges_undo: is_undone && owes_undo,
        is_refused: false,
    })
}

/// Nobody knows what it did: its compensation stays on record.
fn lost(workflow_id: &str) -> Outcome {
    let message = format!("no run of this parent is known under {workflow_id:?}");
    let failure = Some(Failure::new(CHILD_LOST, message));
    Outcome { state: RunState::Terminated, result: None, failure }
}
