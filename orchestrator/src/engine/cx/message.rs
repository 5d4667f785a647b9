//! Signals and updates: what others tell a run.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::state::Shared;
use super::wait::drop_waiter;
use super::{Cx, Produces, from_json};
use crate::engine::event::{Body, UpdateAnswered};
use crate::engine::failure::Failure;

/// A message that nobody waits for an answer to. Kept in order; a repetition (same id) is dropped.
pub trait Signal: DeserializeOwned + Send + 'static {
    /// Part of the record: never change it while runs are open.
    const NAME: &'static str;
}

/// A message whose sender waits for the workflow's answer.
pub trait Update: DeserializeOwned + Send + 'static {
    /// Part of the record: never change it while runs are open.
    const NAME: &'static str;
    /// What the sender gets.
    type Answer: Serialize;
}

/// Decides whether an update may be recorded.
pub(crate) type Acceptor = Arc<dyn Fn(&[u8]) -> Result<(), Refusal> + Send + Sync>;

/// Why an update is not recorded.
pub(crate) enum Refusal {
    /// It does not fit its type.
    Unreadable(serde_json::Error),
    /// The workflow's validator says no.
    Refused(Failure),
}

pub(super) fn take_signal<S: Signal>(shared: &Shared) -> Option<S> {
    let mut state = shared.state.lock();
    let json = state.take_signal(S::NAME)?;
    match from_json(&json) {
        Ok(signal) => Some(signal),
        Err(error) => {
            state.misfit_value(&format!("the signal {}", S::NAME), &error);
            None
        }
    }
}

/// See [`Cx::signal`].
#[must_use = "futures do nothing unless awaited"]
pub struct NextSignal<S> {
    cx: Cx,
    waiter: Option<u64>,
    signal: Produces<S>,
}

impl<S: Signal> NextSignal<S> {
    pub(super) fn new(cx: Cx) -> NextSignal<S> {
        NextSignal { cx, waiter: None, signal: PhantomData }
    }
}

impl<S: Signal> Future for NextSignal<S> {
    type Output = Result<S, Failure>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(signal) = take_signal(&this.cx.shared) {
            return Poll::Ready(Ok(signal));
        }
        let mut state = this.cx.shared.state.lock();
        if let Some(failure) = state.cancellation(this.cx.shielded) {
            return Poll::Ready(Err(failure));
        }
        state.wait_as(&mut this.waiter, task.waker());
        Poll::Pending
    }
}

impl<S> Drop for NextSignal<S> {
    fn drop(&mut self) {
        drop_waiter(&self.cx.shared, self.waiter);
    }
}

/// See [`Cx::updates`].
pub struct Updates<U: Update> {
    cx: Cx,
    update: Produces<U>,
}

impl<U: Update> Updates<U> {
    pub(super) fn new(
        cx: Cx,
        validate: impl Fn(&U) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Updates<U> {
        let acceptor: Acceptor = Arc::new(move |json| {
            let update = from_json(json).map_err(Refusal::Unreadable)?;
            validate(&update).map_err(Refusal::Refused)
        });
        cx.shared.state.lock().acceptors.insert(U::NAME, acceptor);
        Updates { cx, update: PhantomData }
    }

    /// Waits for the next update.
    ///
    /// # Errors
    /// When the run is cancelled.
    pub fn receive(&mut self) -> NextUpdate<'_, U> {
        NextUpdate { cx: self.cx.clone(), waiter: None, update: PhantomData }
    }
}

impl<U: Update> Drop for Updates<U> {
    fn drop(&mut self) {
        self.cx.shared.state.lock().acceptors.remove(U::NAME);
    }
}

/// See [`Updates::receive`].
#[must_use = "futures do nothing unless awaited"]
pub struct NextUpdate<'a, U: Update> {
    cx: Cx,
    waiter: Option<u64>,
    update: PhantomData<&'a mut Updates<U>>,
}

impl<U: Update> Unpin for NextUpdate<'_, U> {}

impl<U: Update> Future for NextUpdate<'_, U> {
    type Output = Result<Received<U>, Failure>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.cx.shared.state.lock();
        if let Some((id, json)) = state.take_update(U::NAME) {
            return match from_json(&json) {
                Ok(update) => {
                    drop(state);
                    Poll::Ready(Ok(Received { update, id, cx: this.cx.clone() }))
                }
                Err(error) => {
                    state.misfit_value(&format!("the update {}", U::NAME), &error);
                    Poll::Pending
                }
            };
        }
        if let Some(failure) = state.cancellation(this.cx.shielded) {
            return Poll::Ready(Err(failure));
        }
        state.wait_as(&mut this.waiter, task.waker());
        Poll::Pending
    }
}

impl<U: Update> Drop for NextUpdate<'_, U> {
    fn drop(&mut self) {
        drop_waiter(&self.cx.shared, self.waiter);
    }
}

/// An update whose sender waits. Answer it, now or after more steps.
pub struct Received<U: Update> {
    /// What was sent.
    pub update: U,
    id: String,
    cx: Cx,
}

impl<U: Update> Received<U> {
    /// Answers the sender, once the answer is durable.
    pub fn answer(self, answer: &U::Answer) {
        let json = serde_json::to_vec(answer);
        let mut state = self.cx.shared.state.lock();
        match json {
            Ok(json) => state.emit(Body::UpdateAnswered(UpdateAnswered {
                id: self.id,
                answer: Some(Bytes::from(json)),
                failure: None,
            })),
            Err(error) => state.misfit_value(&format!("the answer to {}", U::NAME), &error),
        }
    }

    /// Tells the sender that it was not done.
    pub fn fail(self, failure: &Failure) {
        let failure = Some(failure.into());
        let answered = UpdateAnswered { id: self.id, answer: None, failure };
        self.cx.shared.state.lock().emit(Body::UpdateAnswered(answered));
    }
}
