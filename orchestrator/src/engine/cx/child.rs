//! Child workflows: runs of their own that a workflow starts, waits for, and answers for.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

mod handle;

use super::children::{Asked, Child};
use super::state::{State, Wait};
use super::step::{check_payload, launch, record_undo};
use super::wait::{drop_command, poll_command};
use super::{Cx, Saga, from_json};
use crate::engine::call::CallKind;
use crate::engine::child::StartChild;
use crate::engine::error::StuckCode;
use crate::engine::event::{Body, ChildScheduled, Parent, ParentClose};
use crate::engine::failure::Failure;
use crate::engine::limits::MAX_OPEN_CHILDREN;
use crate::engine::step::UndoOf;
pub use handle::{ChildHandle, ChildOutcome, Told};

/// A workflow that is started by another one. The value is its input.
pub trait ChildWorkflow: Serialize + Send + Sync + 'static {
    /// The type under which its function is registered. Part of the record: never change it while runs are open.
    const TYPE: &'static str;
    /// What it returns.
    type Output: DeserializeOwned + Send + 'static;
    /// What undoes it once it has completed, if the parent fails later: a
    /// [`Compensation`](crate::engine::step::Compensation) that can be made from `&Self`,
    /// [`UndoneBy`](crate::engine::step::UndoneBy) or [`Irreversible`](crate::engine::step::Irreversible). A child that
    /// failed or was cancelled has undone itself.
    type Undo: UndoOf<Self>
    where
        Self: Sized;

    /// Its workflow id. Unless one is given, parent's id, type and occurrence.
    fn workflow_id(&self) -> Option<String> {
        None
    }

    /// What becomes of it if it is open when the parent ends, or gives it up.
    fn parent_close(&self) -> ParentClose {
        ParentClose::Cancel
    }
}

impl Cx {
    /// Runs a child to its end. It is started when the future is first polled; dropping the future before its end gives
    /// the child up, which has it end as [`ChildWorkflow::parent_close`] says.
    ///
    /// # Errors
    /// The future fails with the child's failure, its step being the child's workflow id: with the code
    /// `CHILD_CANCELLED` or `CHILD_TERMINATED` if someone has ended it, `CHILD_CONFLICT` if its workflow id belongs to
    /// another run, `CHILD_TOO_DEEP` or `CHILD_REFUSED` if it cannot be started.
    pub fn child<C: ChildWorkflow>(&self, child: C) -> ChildFuture<C> {
        ChildFuture { cx: self.clone(), child: Some(child), command: None }
    }

    /// Starts a child. The future resolves once it is started; dropping the handle that it gives leaves the child to
    /// itself until this run ends.
    ///
    /// # Errors
    /// Those of [`Cx::child`] that are of its start.
    pub fn start_child<C: ChildWorkflow>(&self, child: C) -> ChildStart<C> {
        ChildStart { cx: self.clone(), child: Some(child), scheduled: None }
    }

    /// A handle to a child that is open, by its workflow id: one whose handle was dropped, or that an earlier turn has
    /// started. `None` if no such child is open or its type is another.
    pub fn open_child<C: ChildWorkflow>(&self, workflow_id: &str) -> Option<ChildHandle<C>> {
        let mut state = self.shared.state.lock();
        let found = state.children.iter().find(|(_, child)| {
            *child.workflow_id == *workflow_id && child.workflow_type == C::TYPE && child.is_started
        });
        let (command, workflow_id) =
            found.map(|(command, child)| (*command, child.workflow_id.clone()))?;
        let wait = || Box::new(Wait { is_child: true, ..Wait::default() });
        state.waits.entry(command).or_insert_with(wait);
        Some(ChildHandle::new(self.clone(), command, workflow_id))
    }

    /// The workflow id of the run whose child this is, if it is one.
    pub fn parent_workflow_id(&self) -> Option<String> {
        self.shared.state.lock().parent.as_ref().map(|parent| parent.workflow_id.clone())
    }
}

impl Saga {
    /// See [`Cx::child`].
    ///
    /// # Errors
    /// Those of [`Cx::child`].
    pub fn child<C: ChildWorkflow>(&self, child: C) -> ChildFuture<C> {
        self.cx().child(child)
    }
}

/// Decides on a child: its command and its workflow id.
fn schedule<C: ChildWorkflow>(cx: &Cx, child: &C) -> Result<(u64, Arc<str>), Failure> {
    let shared = &cx.shared;
    let mut state = shared.state.lock();
    if let Some(failure) = state.cancellation(cx.shielded) {
        return Err(failure);
    }
    let input = to_json(&mut state, C::TYPE, child);
    check_payload(&mut state, C::TYPE, input.len());
    if state.children.len() >= MAX_OPEN_CHILDREN {
        let message = format!("more than {MAX_OPEN_CHILDREN} children are open");
        state.misfit(StuckCode::BoundExceeded, message);
    }
    let command = state.take_command();
    let id =
        child.workflow_id().unwrap_or_else(|| own_id(&mut state, &shared.workflow_id, C::TYPE));
    let workflow_id: Arc<str> = id.into();
    let parent = Parent {
        workflow_id: shared.workflow_id.to_string(),
        run_id: Bytes::copy_from_slice(shared.run_id.as_bytes()),
        command,
        depth: state.depth() + 1,
    };
    let plan = C::Undo::plan(child);
    let undo =
        record_undo(&mut state, &shared.workflow_id, command, Some(&workflow_id), plan, None);
    let policy = child.parent_close();
    state.emit(Body::ChildScheduled(ChildScheduled {
        command,
        workflow_id: workflow_id.to_string(),
        workflow_type: C::TYPE.to_owned(),
        input: input.clone(),
        policy: policy.into(),
        undo,
    }));
    let start = StartChild::new(&workflow_id, C::TYPE, input, parent.clone());
    let known = Child {
        workflow_id: workflow_id.clone(),
        workflow_type: C::TYPE.to_owned(),
        policy,
        origin: parent,
        is_started: false,
        is_given_up: false,
        is_noted_closed: false,
        asked: Asked::No,
    };
    state.add_child(command, known);
    let (kind, key) = (CallKind::ChildStart, workflow_id.clone());
    launch(&mut state, command, C::TYPE, key, None, kind, Arc::new(start));
    Ok((command, workflow_id))
}

fn to_json<T: Serialize>(state: &mut State, what: &str, value: &T) -> Bytes {
    match serde_json::to_vec(value) {
        Ok(json) => Bytes::from(json),
        Err(error) => {
            state.misfit_value(what, &error);
            Bytes::new()
        }
    }
}

/// Counted apart from steps of the same name.
fn own_id(state: &mut State, parent_id: &str, workflow_type: &str) -> String {
    let name = format!("child {workflow_type}");
    let occurrence = state.occurrences.entry(Cow::Owned(name)).or_insert(0);
    *occurrence += 1;
    format!("{parent_id}/{workflow_type}/{occurrence}{}", state.effect_mark)
}

/// Reads what a child has returned; a run that cannot is stuck, and its future never resolves.
fn read<T: DeserializeOwned>(cx: &Cx, what: &str, json: &[u8]) -> Poll<Result<T, Failure>> {
    match from_json(json) {
        Ok(output) => Poll::Ready(Ok(output)),
        Err(error) => {
            cx.shared.state.lock().misfit_value(&format!("the result of {what}"), &error);
            Poll::Pending
        }
    }
}

/// See [`Cx::child`].
#[must_use = "a child is started when it is first awaited"]
pub struct ChildFuture<C: ChildWorkflow> {
    cx: Cx,
    child: Option<C>,
    command: Option<u64>,
}

impl<C: ChildWorkflow> Unpin for ChildFuture<C> {}

impl<C: ChildWorkflow> Future for ChildFuture<C> {
    type Output = Result<C::Output, Failure>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(child) = self.child.take() {
            match schedule(&self.cx, &child) {
                Ok((command, _)) => self.command = Some(command),
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        let Some(command) = self.command else { return Poll::Pending };
        match poll_command(&self.cx, command, task) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(json)) => read(&self.cx, C::TYPE, &json),
            Poll::Ready(Err(failure)) => Poll::Ready(Err(failure)),
        }
    }
}

impl<C: ChildWorkflow> Drop for ChildFuture<C> {
    fn drop(&mut self) {
        drop_command(&self.cx.shared, self.command);
    }
}

/// See [`Cx::start_child`].
#[must_use = "a child is started when it is first awaited"]
pub struct ChildStart<C: ChildWorkflow> {
    cx: Cx,
    child: Option<C>,
    scheduled: Option<(u64, Arc<str>)>,
}

impl<C: ChildWorkflow> ChildStart<C> {
    /// Whether the child is under way, or has even ended. Leaves the waker otherwise.
    fn is_started(&self, command: u64, task: &mut Context<'_>) -> bool {
        let mut state = self.cx.shared.state.lock();
        let is_refused = state.waits.get(&command).is_none_or(|wait| wait.is_refused);
        match state.children.get(&command) {
            None => !is_refused,
            Some(child) if child.is_started => true,
            Some(_) => {
                if let Some(wait) = state.waits.get_mut(&command) {
                    wait.waker = Some(task.waker().clone());
                }
                false
            }
        }
    }
}

impl<C: ChildWorkflow> Unpin for ChildStart<C> {}

impl<C: ChildWorkflow> Future for ChildStart<C> {
    type Output = Result<ChildHandle<C>, Failure>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(child) = self.child.take() {
            match schedule(&self.cx, &child) {
                Ok(scheduled) => self.scheduled = Some(scheduled),
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        let Some((command, workflow_id)) = self.scheduled.clone() else { return Poll::Pending };
        if self.is_started(command, task) {
            self.scheduled = None;
            return Poll::Ready(Ok(ChildHandle::new(self.cx.clone(), command, workflow_id)));
        }
        // A refusal, or a cancellation of this run; it cannot have a result.
        match poll_command(&self.cx, command, task) {
            Poll::Ready(Err(failure)) => Poll::Ready(Err(failure)),
            _ => Poll::Pending,
        }
    }
}

impl<C: ChildWorkflow> Drop for ChildStart<C> {
    fn drop(&mut self) {
        drop_command(&self.cx.shared, self.scheduled.take().map(|(command, _)| command));
    }
}
