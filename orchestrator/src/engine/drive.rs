//! A call from its first attempt to its outcome: time limits, retries, and what is told to the run.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, CatchUnwind};

use super::attempt::Attempt;
use super::call::{Call, CallKind};
use super::cell::RunCell;
use super::core::Core;
use super::event::{
    AttemptFailed, Body, ChildClosed, ChildStarted, Progressed, StepCompleted, StepFailed,
    UndoOutcome, UndoParked,
};
use super::failure::Failure;
use super::limits::PROGRESS_EVERY_MS;
use super::row::{FailureRecord, RunState};
use super::step::{Heartbeat, Policy, StepContext, StepError, StepErrorKind};

/// Begins a call. Its first attempt is polled here and now: work that is done at once costs no task of its own. What is not
/// goes on in one, with its time limits.
pub(crate) fn launch(
    core: &Arc<Core>,
    cell: &Arc<RunCell>,
    call: Arc<Call>,
    traceparent: Arc<str>,
) {
    let now_ms = core.now_ms();
    let mut drive = Drive::new(core.clone(), cell.clone(), call, traceparent, now_ms);
    if drive.is_overdue(now_ms) {
        // Whether an attempt was made before the node went down is unknown; none is made any more.
        drive.attempt = drive.call.failed_attempts.max(1);
        return drive.spawn(Err(StepError::overdue()));
    }
    let mut work = drive.attempt(now_ms);
    // Nobody is to be woken: the task polls what it begins with.
    match Pin::new(&mut work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => match drive.result(result) {
            Ok(output) => drive.complete(output),
            Err(error) => drive.spawn(Err(error)),
        },
        Poll::Pending => drive.spawn(Ok(work)),
    }
}

/// An attempt under way, without its limits.
type Work = CatchUnwind<AssertUnwindSafe<BoxFuture<'static, Result<Bytes, StepError>>>>;

/// A call under way.
struct Drive {
    core: Arc<Core>,
    cell: Arc<RunCell>,
    call: Arc<Call>,
    traceparent: Arc<str>,
    policy: Policy,
    attempt: u32,
    give_up_at_ms: i64,
    beat: Arc<Heartbeat>,
}

impl Drive {
    fn new(
        core: Arc<Core>,
        cell: Arc<RunCell>,
        call: Arc<Call>,
        traceparent: Arc<str>,
        now_ms: i64,
    ) -> Drive {
        let policy = call.callable.policy();
        // What is owed is owed however long the node was down: a compensation gets its whole time again. A step does
        // not, for its participants refuse what comes too late.
        let since_ms = if call.is_undo() { now_ms } else { call.scheduled_at_ms };
        let give_up_at_ms = since_ms.saturating_add(in_ms(policy.total));
        let beat = Arc::new(Heartbeat::new(now_ms, call.progress.clone()));
        let attempt = call.failed_attempts + 1;
        Drive { core, cell, call, traceparent, policy, attempt, give_up_at_ms, beat }
    }

    /// Whether the time of the step is over before an attempt begins: the node was down, or its clock has jumped.
    fn is_overdue(&self, now_ms: i64) -> bool {
        self.call.kind == CallKind::Step && now_ms >= self.give_up_at_ms
    }

    /// One attempt, without its limits.
    fn attempt(&self, now_ms: i64) -> Work {
        let context = StepContext {
            workflow_id: self.cell.workflow_id.clone(),
            call: self.call.clone(),
            attempt: self.attempt,
            traceparent: self.traceparent.clone(),
            deadline_ms: now_ms.saturating_add(in_ms(self.policy.start_to_close)),
            give_up_at_ms: self.give_up_at_ms,
            heartbeat: self.beat.clone(),
            core: self.core.clone(),
        };
        let callable = self.call.callable.clone();
        let work = match &self.core.seams.attempts {
            Some(attempts) if self.call.kind != CallKind::ChildStart => {
                let (name, core) = (self.call.name, self.core.clone());
                attempts.make(Attempt { name, context, callable, core })
            }
            // The start of a child is the engine's own: what it says about it is certain.
            _ => callable.attempt(&self.core, context),
        };
        AssertUnwindSafe(work).catch_unwind()
    }

    /// A panic is a failure like any other.
    fn result(
        &self,
        result: std::thread::Result<Result<Bytes, StepError>>,
    ) -> Result<Bytes, StepError> {
        result.unwrap_or_else(|_| {
            let name = self.call.name;
            Err(StepError::retryable("STEP_PANICKED", format!("{name} panicked")))
        })
    }

    fn complete(&self, output: Bytes) {
        let body = completed(&self.call, self.attempt, output);
        report(&self.core, &self.cell, self.call.command, body);
    }

    fn spawn(self, first: Result<Work, StepError>) {
        let spawner = self.core.seams.spawner.clone();
        spawner.spawn("call", Box::pin(self.run(first)));
    }

    /// Makes attempts until there is an outcome, the run gives the call up, or the engine stops. `first` is under way or
    /// has failed.
    async fn run(mut self, first: Result<Work, StepError>) {
        let mut begun = first;
        loop {
            let core = &self.core;
            let result = match begun {
                Err(error) => Err(error),
                Ok(work) => tokio::select! {
                    biased;
                    result = self.within_limits(work) => result,
                    () = self.call.token.get().cancelled() => return,
                    () = core.stop.cancelled() => return,
                },
            };
            let error = match result {
                Ok(output) => return self.complete(output),
                Err(error) => error,
            };
            let (cell, call) = (&self.cell, &self.call);
            let pause = next_pause(core, call, &self.policy, self.attempt, &error)
                .filter(|pause| core.now_ms().saturating_add(in_ms(*pause)) < self.give_up_at_ms);
            let Some(pause) = pause else {
                return failed(core, cell, call, self.attempt, error);
            };
            note(core, cell, call, self.attempt, error, pause, self.beat.take_unrecorded());
            tokio::select! {
                biased;
                () = core.seams.clock.sleep(pause) => {}
                () = call.token.get().cancelled() => return,
                () = core.stop.cancelled() => return,
            }
            self.attempt += 1;
            begun = Ok(self.attempt(self.core.now_ms()));
        }
    }

    async fn within_limits(&self, work: Work) -> Result<Bytes, StepError> {
        let Drive { core, cell, call, policy, beat, .. } = self;
        tokio::select! {
            biased;
            result = work => self.result(result),
            () = core.seams.clock.sleep(policy.start_to_close) => {
                Err(StepError::timed_out(policy.start_to_close))
            }
            limit = silence(core, cell, call, beat, policy.heartbeat) => Err(StepError::silent(limit)),
        }
    }
}

/// Resolves when the attempt has been silent for too long. Records its progress on the way.
async fn silence(
    core: &Arc<Core>,
    cell: &Arc<RunCell>,
    call: &Call,
    beat: &Heartbeat,
    limit: Option<Duration>,
) -> Duration {
    let Some(limit) = limit else { return std::future::pending().await };
    let mut recorded_ms = core.now_ms();
    beat.beat(recorded_ms, None);
    loop {
        let now_ms = core.now_ms();
        // The clock may have been set back: silence is counted from now then.
        beat.not_after(now_ms);
        recorded_ms = recorded_ms.min(now_ms);
        let left_ms = beat.at_ms().saturating_add(in_ms(limit)).saturating_sub(now_ms);
        if left_ms <= 0 {
            return limit;
        }
        if now_ms - recorded_ms >= PROGRESS_EVERY_MS {
            recorded_ms = now_ms;
            if let Some(progress) = beat.take_unrecorded() {
                let (command, name) = (call.command, call.name.to_owned());
                let progressed = Progressed { command, name, progress };
                report(core, cell, command, Body::Progressed(progressed));
            }
        }
        // Not longer than progress may wait for its record.
        let pause_ms = left_ms.min(recorded_ms + PROGRESS_EVERY_MS - now_ms).max(1);
        core.seams.clock.sleep(Duration::from_millis(pause_ms.unsigned_abs())).await;
    }
}

fn in_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How long to wait before the next attempt; `None` if there is none.
fn next_pause(
    core: &Arc<Core>,
    call: &Call,
    policy: &Policy,
    attempt: u32,
    error: &StepError,
) -> Option<Duration> {
    // A compensation that is refused is no less owed: it is repeated like any other, and parks in the end.
    let may_retry = error.kind == StepErrorKind::Retryable || call.is_undo();
    let is_hopeless = policy.non_retryable.contains(&error.code.as_str());
    if !may_retry || is_hopeless || attempt >= policy.attempts.max(1) {
        return None;
    }
    let pause = policy.pause_after(attempt, core.seams.random.next_u64());
    Some(pause.max(error.retry_after.unwrap_or_default()))
}

fn completed(call: &Call, attempt: u32, output: Bytes) -> Body {
    let (command, name) = (call.command, call.name.to_owned());
    match call.kind {
        CallKind::Step => Body::StepCompleted(StepCompleted { command, name, attempt, output }),
        CallKind::Undo => Body::UndoSucceeded(UndoOutcome { command, name, attempt }),
        CallKind::ChildStart => Body::ChildStarted(ChildStarted { command, run_id: output }),
    }
}

fn failed(core: &Arc<Core>, cell: &Arc<RunCell>, call: &Call, attempt: u32, error: StepError) {
    let kind = error.kind;
    let failure: Failure = error.into_failure(call.name);
    let (command, name) = (call.command, call.name.to_owned());
    let recorded = Some((&failure).into());
    if call.is_undo() {
        tracing::error!(workflow_id = %cell.workflow_id, compensation = name, %failure,
            "a compensation has exhausted its retries; the run is parked");
        let parked = UndoParked { command, name, attempt, failure: recorded };
        return report(core, cell, command, Body::UndoParked(parked));
    }
    if call.kind == CallKind::ChildStart {
        return refused(core, cell, call, recorded);
    }
    // Refusing is a statement about all attempts only if this is the first: an earlier one may have worked unseen.
    let is_refused = kind == StepErrorKind::Refused && attempt == 1;
    core.deliver_quietly(cell, |run| {
        run.awaits_call(command).then(|| {
            let discharges_undo = is_refused && run.has_undo_open(command);
            Body::StepFailed(StepFailed {
                command,
                name,
                attempt,
                failure: recorded,
                discharges_undo,
            })
        })
    });
}

/// A child could not be started, and certainly was not.
fn refused(core: &Arc<Core>, cell: &Arc<RunCell>, call: &Call, failure: Option<FailureRecord>) {
    let command = call.command;
    core.deliver_quietly(cell, |run| {
        run.awaits_call(command).then(|| {
            Body::ChildClosed(ChildClosed {
                command,
                workflow_id: call.effect_key.to_string(),
                state: RunState::Failed.into(),
                result: None,
                failure,
                discharges_undo: run.has_undo_open(command),
                is_refused: true,
            })
        })
    });
}

fn note(
    core: &Arc<Core>,
    cell: &Arc<RunCell>,
    call: &Call,
    attempt: u32,
    error: StepError,
    pause: Duration,
    progress: Option<Bytes>,
) {
    let failure = error.into_failure(call.name);
    tracing::debug!(workflow_id = %cell.workflow_id, step = call.name, attempt, %failure, "an attempt failed");
    let failed = AttemptFailed {
        command: call.command,
        name: call.name.to_owned(),
        attempt,
        failure: Some((&failure).into()),
        retry_at_ms: core.now_ms().saturating_add(in_ms(pause)),
        progress,
    };
    report(core, cell, call.command, Body::AttemptFailed(failed));
}

fn report(core: &Arc<Core>, cell: &Arc<RunCell>, command: u64, body: Body) {
    core.deliver_quietly(cell, |run| run.awaits_call(command).then_some(body));
}
