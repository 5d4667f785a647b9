//! Histories for people.

use crate::engine::event::{Body, Event};

/// What an event is, in a few words: its kind, and the name that it carries.
pub fn line(event: &Event) -> String {
    let Some(body) = &event.body else { return "unknown".into() };
    match body {
        Body::Started(_) => "started".into(),
        Body::StepScheduled(step) => format!("schedule {}", step.name),
        Body::StepCompleted(step) => format!("completed {}", step.name),
        Body::StepFailed(step) => format!("failed {}", step.name),
        Body::AttemptFailed(attempt) => format!("attempt {} {}", attempt.attempt, attempt.name),
        Body::StepAbandoned(_) => "step abandoned".into(),
        Body::TimerSet(_) => "timer set".into(),
        Body::TimerFired(_) => "timer fired".into(),
        Body::TimerGivenUp(_) => "timer given up".into(),
        Body::SignalReceived(signal) => format!("signal {}", signal.name),
        Body::UpdateAccepted(update) => format!("update {}", update.name),
        Body::UpdateAnswered(_) => "update answered".into(),
        Body::CancelRequested(_) => "cancel".into(),
        Body::UndoOwed(owed) => format!("owe {}", owed.undo.clone().unwrap_or_default().name),
        Body::CompensationBegan(_) => "compensate".into(),
        Body::UndoScheduled(undo) => format!("undo {}", undo.name),
        Body::UndoSucceeded(undo) => format!("undone {}", undo.name),
        Body::UndoParked(undo) => format!("parked {}", undo.name),
        Body::UndoRetried(undo) => format!("retry {}", undo.name),
        Body::UndoSkipped(undo) => format!("skip {}", undo.name),
        Body::Answered(_) => "answered".into(),
        Body::RoundEnded(round) => format!("round ended, {} stand", round.let_stand),
        Body::VersionMarked(mark) => format!("version {} {}", mark.change, mark.version),
        Body::Stuck(stuck) => format!("stuck {}", stuck.code),
        Body::Resumed(_) => "resumed".into(),
        Body::Closed(closed) => format!("closed {:?}", closed.state()),
        Body::Terminated(_) => "terminated".into(),
        Body::Progressed(progress) => format!("progressed {}", progress.name),
        Body::Paused(_) => "paused".into(),
        Body::Unpaused(_) => "unpaused".into(),
        Body::ChildScheduled(child) => {
            format!("child {} {}", child.workflow_type, child.workflow_id)
        }
        Body::ChildStarted(_) => "child started".into(),
        Body::ChildClosed(child) => format!("child closed {:?}", child.state()),
        Body::ChildGivenUp(_) => "child given up".into(),
        Body::EndingBegan(_) => "ending".into(),
        Body::TurnEnding(_) => "turn ending".into(),
        Body::Reset(_) => "reset".into(),
        Body::Superseded(_) => "superseded".into(),
        Body::LeftoversBegan(_) => "undo leftovers".into(),
        Body::AttributesSet(set) => {
            let names: Vec<&str> = set.changes.iter().map(|set| set.name.as_str()).collect();
            format!("attributes {}", names.join(" "))
        }
    }
}

/// The [lines](line) of a history, each with the seconds since its beginning.
pub fn timeline(history: &[Event]) -> String {
    let start_ms = history.first().map_or(0, |event| event.time_ms);
    let lines = history.iter().map(|event| {
        let seconds = (event.time_ms - start_ms) as f64 / 1_000.0;
        format!("  {seconds:>12.3} s  {}\n", line(event))
    });
    lines.collect()
}
