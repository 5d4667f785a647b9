//! Schedules as messages of the contract, and back.

use prost_types::Timestamp;
use souk_mesh::error::{FieldViolation, invalid_argument, reason_of};
use souk_proto::time::{duration, duration_ms, timestamp, unix_ms};
use souk_proto::workflow::v1::{
    Schedule, ScheduleAction, ScheduleCounts, ScheduleCron, ScheduleDetail, ScheduleInterval,
    ScheduleOverlap, SchedulePolicies, ScheduleRun, ScheduleSource, ScheduleSpec, ScheduleSummary,
    WorkflowFailure, WorkflowState,
};
use tonic::Status;

use crate::engine::Failure;
use crate::system::is_reserved;
use crate::system::schedule::definition::{
    Action, Cron, DEFAULT_CATCH_UP_MS, Definition, Interval, MAX_SCHEDULE_ID_BYTES, MAX_SPAN_MS,
    Overlap, Policies, Spec,
};
use crate::system::schedule::state::{Counts, Fired, Running, Shown};
use crate::system::schedule::{Calendar, Lens, Pending, Source};

/// Next times that are told.
const NEXT_TIMES: usize = 5;

/// What a caller wants a schedule to do.
pub(super) fn definition(schedule: Option<Schedule>, id: &str) -> Result<Definition, Status> {
    let Schedule { spec, action, policies, limited_actions, remaining_actions } =
        schedule.unwrap_or_default();
    let remaining_actions =
        limited_actions.then(|| u64::try_from(remaining_actions).unwrap_or_default());
    let spec = spec_of(spec.unwrap_or_default());
    let mut violations = Vec::new();
    if let Err(problems) = Calendar::of(&spec) {
        violations.extend(problems.into_iter().map(|problem| {
            FieldViolation::new(format!("schedule.spec.{}", problem.field), problem.description)
        }));
    }
    let action = action_of(action.unwrap_or_default(), id, &mut violations);
    let policies = policies.unwrap_or_default();
    let catch_up_ms = policies.catch_up_window.as_ref().map_or(DEFAULT_CATCH_UP_MS, duration_ms);
    if catch_up_ms > MAX_SPAN_MS {
        let description = format!("{catch_up_ms} ms, at most {MAX_SPAN_MS}");
        violations.push(FieldViolation::new("schedule.policies.catch_up_window", description));
    }
    if !violations.is_empty() {
        return Err(invalid_argument("INVALID_FIELDS", violations));
    }
    let overlap = overlap(policies.overlap()).unwrap_or_default();
    let pause_on_failure = policies.pause_on_failure;
    let policies = Policies { overlap, catch_up_ms, pause_on_failure };
    Ok(Definition { spec, action, policies, remaining_actions })
}

fn spec_of(spec: ScheduleSpec) -> Spec {
    let cron = |cron: ScheduleCron| Cron { expression: cron.expression, time_zone: cron.time_zone };
    let interval = |interval: ScheduleInterval| Interval {
        every_ms: interval.every.as_ref().map_or(0, duration_ms),
        phase_ms: interval.phase.as_ref().map_or(0, duration_ms),
    };
    Spec {
        crons: spec.crons.into_iter().map(cron).collect(),
        intervals: spec.intervals.into_iter().map(interval).collect(),
        start_ms: spec.start_time.as_ref().map(unix_ms),
        end_ms: spec.end_time.as_ref().map(unix_ms),
        jitter_ms: spec.jitter.as_ref().map_or(0, duration_ms),
    }
}

fn action_of(action: ScheduleAction, id: &str, violations: &mut Vec<FieldViolation>) -> Action {
    let ScheduleAction { workflow_type, workflow_id_prefix, input } = action;
    let mut wrong = |field: &str, description: String| {
        violations.push(FieldViolation::new(field, description));
    };
    for (field, text) in
        [("schedule_id", id), ("schedule.action.workflow_id_prefix", &workflow_id_prefix)]
    {
        if text.len() > MAX_SCHEDULE_ID_BYTES {
            wrong(field, format!("has {} bytes, at most {MAX_SCHEDULE_ID_BYTES}", text.len()));
        }
    }
    let prefix = if workflow_id_prefix.is_empty() { id.to_owned() } else { workflow_id_prefix };
    if is_reserved(&prefix) {
        let description = format!("{prefix:?}: ids that begin so are the engine's own");
        wrong("schedule.action.workflow_id_prefix", description);
    }
    if is_reserved(&workflow_type) {
        wrong("schedule.action.workflow_type", "is the engine's own".to_owned());
    }
    let input = String::from_utf8(input.to_vec()).unwrap_or_else(|_| {
        wrong("schedule.action.input", "is not UTF-8".to_owned());
        String::new()
    });
    Action { workflow_type, workflow_id_prefix: prefix, input }
}

/// A policy, if the caller names one.
pub(super) fn overlap(wire: ScheduleOverlap) -> Option<Overlap> {
    match wire {
        ScheduleOverlap::Unspecified => None,
        ScheduleOverlap::Skip => Some(Overlap::Skip),
        ScheduleOverlap::BufferOne => Some(Overlap::BufferOne),
        ScheduleOverlap::BufferAll => Some(Overlap::BufferAll),
        ScheduleOverlap::CancelOther => Some(Overlap::CancelOther),
        ScheduleOverlap::TerminateOther => Some(Overlap::TerminateOther),
        ScheduleOverlap::AllowAll => Some(Overlap::AllowAll),
    }
}

fn overlap_of(overlap: Overlap) -> ScheduleOverlap {
    match overlap {
        Overlap::Skip => ScheduleOverlap::Skip,
        Overlap::BufferOne => ScheduleOverlap::BufferOne,
        Overlap::BufferAll => ScheduleOverlap::BufferAll,
        Overlap::CancelOther => ScheduleOverlap::CancelOther,
        Overlap::TerminateOther => ScheduleOverlap::TerminateOther,
        Overlap::AllowAll => ScheduleOverlap::AllowAll,
    }
}

/// The next times of a definition that is to be. One that has none is a mistake.
pub(super) fn next_times(
    id: &str,
    definition: &Definition,
    now_ms: i64,
) -> Result<Vec<Timestamp>, Status> {
    let times = upcoming(id, definition, now_ms);
    if times.is_empty() {
        let violation = FieldViolation::new("schedule.spec", "has no time from now on");
        return Err(invalid_argument("INVALID_FIELDS", vec![violation]));
    }
    Ok(times)
}

fn upcoming(id: &str, definition: &Definition, now_ms: i64) -> Vec<Timestamp> {
    let spec = &definition.spec;
    let Ok(calendar) = Calendar::of(spec) else { return Vec::new() };
    let lens = Lens { schedule_id: id, jitter_ms: spec.jitter_ms, catch_up_ms: 0 };
    let left = definition.remaining_actions.and_then(|left| usize::try_from(left).ok());
    let firings = lens.firings(&calendar, now_ms.saturating_sub(spec.jitter_ms));
    let ahead = firings.filter(|firing| firing.at_ms > now_ms);
    let count = left.map_or(NEXT_TIMES, |left| left.min(NEXT_TIMES));
    ahead.take(count).map(|firing| timestamp(firing.at_ms)).collect()
}

/// A schedule in a list.
pub(super) fn summary(shown: &Shown, now_ms: i64) -> ScheduleSummary {
    let Shown { schedule_id, definition, state } = shown;
    let last_run = state.running.last().map(running);
    ScheduleSummary {
        schedule_id: schedule_id.clone(),
        spec: Some(spec(&definition.spec)),
        workflow_type: definition.action.workflow_type.clone(),
        paused: state.paused.is_some(),
        note: state.paused.clone().unwrap_or_default(),
        next_time: match state.paused {
            None => upcoming(schedule_id, definition, now_ms).into_iter().next(),
            Some(_) => None,
        },
        last_run: last_run.or_else(|| state.recent.back().map(fired)),
        failure: None,
    }
}

/// A schedule in a list that does not answer.
pub(super) fn unreadable(id: &str, error: &Status) -> ScheduleSummary {
    ScheduleSummary {
        schedule_id: id.to_owned(),
        failure: Some(WorkflowFailure {
            reason: reason_of(error).unwrap_or_default(),
            message: error.message().to_owned(),
            ..WorkflowFailure::default()
        }),
        ..ScheduleSummary::default()
    }
}

/// A schedule in full.
pub(super) fn detail(shown: &Shown, now_ms: i64) -> ScheduleDetail {
    let Shown { schedule_id, definition, state } = shown;
    ScheduleDetail {
        schedule_id: schedule_id.clone(),
        schedule: Some(schedule(definition)),
        version: count(state.version),
        paused: state.paused.is_some(),
        note: state.paused.clone().unwrap_or_default(),
        create_time: Some(timestamp(state.created_at_ms)),
        update_time: Some(timestamp(state.changed_at_ms)),
        next_times: upcoming(schedule_id, definition, now_ms),
        running: state.running.iter().map(running).collect(),
        recent: state.recent.iter().map(fired).collect(),
        waiting: count(state.waiting.len() as u64),
        counts: Some(counts(&state.counts)),
    }
}

fn schedule(definition: &Definition) -> Schedule {
    let Action { workflow_type, workflow_id_prefix, input } = definition.action.clone();
    let Policies { overlap, catch_up_ms, pause_on_failure } = definition.policies;
    Schedule {
        spec: Some(spec(&definition.spec)),
        action: Some(ScheduleAction { workflow_type, workflow_id_prefix, input: input.into() }),
        policies: Some(SchedulePolicies {
            overlap: overlap_of(overlap).into(),
            catch_up_window: Some(duration(catch_up_ms)),
            pause_on_failure,
        }),
        limited_actions: definition.remaining_actions.is_some(),
        remaining_actions: count(definition.remaining_actions.unwrap_or_default()),
    }
}

fn spec(spec: &Spec) -> ScheduleSpec {
    let cron = |cron: &Cron| ScheduleCron {
        expression: cron.expression.clone(),
        time_zone: cron.time_zone.clone(),
    };
    let interval = |interval: &Interval| ScheduleInterval {
        every: Some(duration(interval.every_ms)),
        phase: (interval.phase_ms > 0).then(|| duration(interval.phase_ms)),
    };
    ScheduleSpec {
        crons: spec.crons.iter().map(cron).collect(),
        intervals: spec.intervals.iter().map(interval).collect(),
        start_time: spec.start_ms.map(timestamp),
        end_time: spec.end_ms.map(timestamp),
        jitter: (spec.jitter_ms > 0).then(|| duration(spec.jitter_ms)),
    }
}

fn running(run: &Running) -> ScheduleRun {
    let state = WorkflowState::Running;
    one_run(&run.workflow_id, &run.firing, run.started_at_ms, state, None)
}

fn fired(fired: &Fired) -> ScheduleRun {
    let name = format!("WORKFLOW_STATE_{}", fired.end.state.to_uppercase());
    let state = WorkflowState::from_str_name(&name).unwrap_or_default();
    let failure = fired.end.failure.as_ref();
    one_run(&fired.workflow_id, &fired.firing, fired.started_at_ms, state, failure)
}

fn one_run(
    workflow_id: &str,
    firing: &Pending,
    started_at_ms: i64,
    state: WorkflowState,
    failure: Option<&Failure>,
) -> ScheduleRun {
    let source = match firing.source {
        Source::Schedule => ScheduleSource::Clock,
        Source::Backfill { .. } => ScheduleSource::Backfill,
        Source::Trigger { .. } => ScheduleSource::Trigger,
    };
    let failure = failure.map(|failure| WorkflowFailure {
        reason: failure.code.clone(),
        message: failure.message.clone(),
        step: failure.step.clone().unwrap_or_default(),
        ..WorkflowFailure::default()
    });
    ScheduleRun {
        workflow_id: workflow_id.to_owned(),
        scheduled_time: Some(timestamp(firing.nominal_ms)),
        start_time: Some(timestamp(started_at_ms)),
        source: source.into(),
        state: state.into(),
        failure,
    }
}

fn counts(counts: &Counts) -> ScheduleCounts {
    ScheduleCounts {
        started: count(counts.started),
        skipped: count(counts.skipped),
        missed: count(counts.missed),
        failed: count(counts.failed),
        ran_before: count(counts.ran_before),
    }
}

/// A number as the contract has numbers.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
