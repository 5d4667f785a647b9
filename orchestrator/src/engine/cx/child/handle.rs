//! A handle to a child that was started: to wait for its end, to tell it something.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Serialize;

use super::{ChildWorkflow, read, to_json};
use crate::engine::call::CallKind;
use crate::engine::child::{EndChild, SignalChild};
use crate::engine::cx::message::Signal;
use crate::engine::cx::step::{check_payload, launch};
use crate::engine::cx::wait::{drop_command, poll_command};
use crate::engine::cx::{Cx, Produces};
use crate::engine::event::{Body, ParentClose, SIGNAL_CHILD, StepScheduled};
use crate::engine::failure::Failure;
use crate::engine::step::effect_key;

/// A child that was started.
pub struct ChildHandle<C: ChildWorkflow> {
    cx: Cx,
    command: u64,
    workflow_id: Arc<str>,
    child: Produces<C>,
}

impl<C: ChildWorkflow> ChildHandle<C> {
    pub(super) fn new(cx: Cx, command: u64, workflow_id: Arc<str>) -> ChildHandle<C> {
        ChildHandle { cx, command, workflow_id, child: PhantomData }
    }

    /// Its workflow id.
    pub fn workflow_id(&self) -> &str {
        &self.workflow_id
    }

    /// Waits for its end. Dropping this future changes nothing; it can be asked for again, also after the end.
    ///
    /// # Errors
    /// Those of [`Cx::child`].
    pub fn outcome(&mut self) -> ChildOutcome<'_, C> {
        ChildOutcome { handle: self }
    }

    /// Sends it a signal. Resolves once the child has it on record.
    ///
    /// # Errors
    /// `CHILD_ENDED` if it has ended; when this run is cancelled.
    pub fn signal<S: Signal + Serialize>(&self, signal: &S) -> Told {
        let cx = self.cx.clone();
        let mut state = cx.shared.state.lock();
        let payload = to_json(&mut state, S::NAME, signal);
        check_payload(&mut state, S::NAME, payload.len());
        drop(state);
        // What was just written can be read, unless the run is stuck for it.
        let payload = serde_json::from_slice(&payload).unwrap_or_default();
        let told = SignalChild::new(&self.workflow_id, S::NAME, payload);
        Told { cx, begin: Some(Telling::Signal(told)), command: None }
    }

    /// Asks it to end, whatever its policy says, and does not wait until it has. Resolves once the child knows.
    ///
    /// # Errors
    /// When this run is cancelled.
    pub fn cancel(&self) -> Told {
        let origin = {
            let state = self.cx.shared.state.lock();
            state.children.get(&self.command).map(|child| child.origin.clone())
        };
        let end =
            origin.map(|origin| EndChild::of(&self.workflow_id, &origin, ParentClose::Cancel));
        Told { cx: self.cx.clone(), begin: Some(Telling::End(end)), command: None }
    }
}

impl<C: ChildWorkflow> Drop for ChildHandle<C> {
    fn drop(&mut self) {
        // Nobody asks for its outcome any more; it goes on until the parent ends.
        self.cx.shared.state.lock().waits.remove(&self.command);
    }
}

/// See [`ChildHandle::outcome`].
#[must_use = "futures do nothing unless awaited"]
pub struct ChildOutcome<'a, C: ChildWorkflow> {
    handle: &'a mut ChildHandle<C>,
}

impl<C: ChildWorkflow> Future for ChildOutcome<'_, C> {
    type Output = Result<C::Output, Failure>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = &*self.handle;
        let outcome = {
            let mut state = handle.cx.shared.state.lock();
            let cancellation = state.cancellation(handle.cx.shielded);
            let Some(wait) = state.waits.get_mut(&handle.command) else {
                // Given up when the run was cancelled.
                return cancellation.map_or(Poll::Pending, |failure| Poll::Ready(Err(failure)));
            };
            match &wait.outcome {
                Some(outcome) => outcome.clone(),
                None if cancellation.is_some() => {
                    drop(state);
                    return match poll_command(&handle.cx, handle.command, task) {
                        Poll::Ready(Err(failure)) => Poll::Ready(Err(failure)),
                        _ => Poll::Pending,
                    };
                }
                None => {
                    wait.waker = Some(task.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        match outcome {
            Ok(json) => read(&handle.cx, C::TYPE, &json),
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }
}

/// What a child is told.
enum Telling {
    Signal(SignalChild),
    /// `None`: it has ended.
    End(Option<EndChild>),
}

/// See [`ChildHandle::signal`] and [`ChildHandle::cancel`].
#[must_use = "the child is told when this is first awaited"]
pub struct Told {
    cx: Cx,
    begin: Option<Telling>,
    command: Option<u64>,
}

impl Told {
    /// Schedules the step; `None` if there is nothing to do.
    fn schedule(&self, telling: Telling) -> Result<Option<u64>, Failure> {
        let shared = &self.cx.shared;
        let mut state = shared.state.lock();
        if let Some(failure) = state.cancellation(self.cx.shielded) {
            return Err(failure);
        }
        let command = match telling {
            Telling::End(None) => return Ok(None),
            Telling::End(Some(end)) => state.schedule_end(&shared.workflow_id, end),
            Telling::Signal(signal) => {
                let command = state.take_command();
                let occurrence = state.take_occurrence(SIGNAL_CHILD);
                let (name, input) = (SIGNAL_CHILD.to_owned(), signal.to_json());
                let scheduled =
                    StepScheduled { command, name, occurrence, input, ..StepScheduled::default() };
                state.emit(Body::StepScheduled(scheduled));
                let key =
                    effect_key(&shared.workflow_id, SIGNAL_CHILD, occurrence, &state.effect_mark);
                let kind = CallKind::Step;
                launch(&mut state, command, SIGNAL_CHILD, key, None, kind, Arc::new(signal));
                command
            }
        };
        state.waits.insert(command, Box::default());
        Ok(Some(command))
    }
}

impl Future for Told {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(telling) = self.begin.take() {
            match self.schedule(telling) {
                Ok(Some(command)) => self.command = Some(command),
                Ok(None) => return Poll::Ready(Ok(())),
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        let Some(command) = self.command else { return Poll::Pending };
        poll_command(&self.cx, command, task).map_ok(|_| ())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        drop_command(&self.cx.shared, self.command);
    }
}
