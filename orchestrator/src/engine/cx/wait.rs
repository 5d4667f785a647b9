//! Futures that wait for a time or for the run's cancellation, and what they share with those of steps.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::state::{Outcome, Shared, Wait};
use super::{Cx, Shared as SharedCx};
use crate::engine::error::StuckCode;
use crate::engine::event::{Body, TimerSet};
use crate::engine::failure::Failure;
use crate::engine::limits::MAX_OPEN_TIMERS;

/// Takes the outcome of a command, or leaves the waker with it. A cancelled run's commands are given up.
pub(super) fn poll_command(cx: &Cx, command: u64, task: &mut Context<'_>) -> Poll<Outcome> {
    let mut state = cx.shared.state.lock();
    let cancellation = state.cancellation(cx.shielded);
    let Some(wait) = state.waits.get_mut(&command) else { return Poll::Pending };
    if let Some(outcome) = wait.outcome.take() {
        state.waits.remove(&command);
        return Poll::Ready(outcome);
    }
    if let Some(failure) = cancellation {
        state.give_up(command);
        return Poll::Ready(Err(failure));
    }
    wait.waker = Some(task.waker().clone());
    Poll::Pending
}

/// Gives a command up whose future is dropped, unless the whole run leaves memory.
pub(super) fn drop_command(shared: &Shared, command: Option<u64>) {
    if let Some(command) = command
        && !shared.unloading.load(Ordering::Relaxed)
    {
        shared.state.lock().give_up(command);
    }
}

/// Removes a waiter whose future is done or dropped.
pub(super) fn drop_waiter(shared: &SharedCx, waiter: Option<u64>) {
    if let Some(waiter) = waiter {
        shared.state.lock().waiters.remove(&waiter);
    }
}

/// See [`Cx::sleep`].
#[must_use = "a timer is set when it is first awaited"]
pub struct Timer {
    cx: Cx,
    fire_at_ms: i64,
    command: Option<u64>,
}

impl Timer {
    pub(super) fn new(cx: Cx, fire_at_ms: i64) -> Timer {
        Timer { cx, fire_at_ms, command: None }
    }

    fn schedule(&mut self) -> Result<u64, Failure> {
        let mut state = self.cx.shared.state.lock();
        if let Some(failure) = state.cancellation(self.cx.shielded) {
            return Err(failure);
        }
        if state.open_timers() >= MAX_OPEN_TIMERS {
            let message = format!("more than {MAX_OPEN_TIMERS} timers are open");
            state.misfit(StuckCode::BoundExceeded, message);
        }
        let command = state.take_command();
        state.emit(Body::TimerSet(TimerSet { command, fire_at_ms: self.fire_at_ms }));
        state.waits.insert(command, Box::new(Wait { is_timer: true, ..Wait::default() }));
        Ok(command)
    }
}

impl Future for Timer {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let command = match self.command {
            Some(command) => command,
            None => match self.schedule() {
                Ok(command) => *self.command.insert(command),
                Err(failure) => return Poll::Ready(Err(failure)),
            },
        };
        poll_command(&self.cx, command, task).map_ok(|_| ())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        drop_command(&self.cx.shared, self.command);
    }
}

/// See [`Cx::cancelled`].
#[must_use = "futures do nothing unless awaited"]
pub struct Cancelled {
    cx: Cx,
    waiter: Option<u64>,
}

impl Cancelled {
    pub(super) fn new(cx: Cx) -> Cancelled {
        Cancelled { cx, waiter: None }
    }
}

impl Future for Cancelled {
    type Output = String;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<String> {
        let this = &mut *self;
        let mut state = this.cx.shared.state.lock();
        if let Some(reason) = state.cancelled.clone() {
            return Poll::Ready(reason);
        }
        state.wait_as(&mut this.waiter, task.waker());
        Poll::Pending
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        drop_waiter(&self.cx.shared, self.waiter);
    }
}
