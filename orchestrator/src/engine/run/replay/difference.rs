//! In words: how what the code decides differs from what is on record.

use bytes::Bytes;

use crate::engine::event::{Body, Undo};

/// Characters of a payload that a message shows.
const SHOWN_CHARACTERS: usize = 200;

/// What the history has, and what the code decides instead.
pub(super) fn difference(recorded: &Body, decided: Option<&Body>) -> String {
    let of_same_kind = match (recorded, decided) {
        (Body::StepScheduled(recorded), Some(Body::StepScheduled(decided)))
            if recorded.name == decided.name =>
        {
            let name = &recorded.name;
            if recorded.input != decided.input {
                let (before, now) = (json(&recorded.input), json(&decided.input));
                Some(format!("the argument of {name} was {before}, and is {now} in this build"))
            } else if recorded.undo != decided.undo {
                let (before, now) = (undo(&recorded.undo), undo(&decided.undo));
                Some(format!("the undo of {name} was {before}, and is {now} in this build"))
            } else {
                None
            }
        }
        (Body::Closed(recorded), Some(Body::Closed(decided)))
            if recorded.state == decided.state && recorded.result != decided.result =>
        {
            let text = |result: &Option<Bytes>| json(result.as_deref().unwrap_or_default());
            let (before, now) = (text(&recorded.result), text(&decided.result));
            Some(format!("the workflow's result was {before}, and is {now} in this build"))
        }
        _ => None,
    };
    of_same_kind.unwrap_or_else(|| {
        let decided = decided.map_or_else(|| "decides nothing".to_owned(), told);
        format!("the run {}, and this build {decided}", told(recorded))
    })
}

/// A decision as the end of a sentence.
pub(super) fn told(body: &Body) -> String {
    match body {
        Body::StepScheduled(step) => {
            format!("does step {} ({})", step.name, step.occurrence)
        }
        Body::StepAbandoned(step) => format!("gives up the step of command {}", step.command),
        Body::TimerSet(timer) => format!("sets a timer for {}", timer.fire_at_ms),
        Body::TimerGivenUp(timer) => format!("gives up the timer of command {}", timer.command),
        Body::UndoOwed(owed) => format!("owes {}", undo(&owed.undo)),
        Body::Answered(answered) => format!("answers {}", json(&answered.answer)),
        Body::VersionMarked(mark) => format!("marks {} at {}", mark.change, mark.version),
        Body::UpdateAnswered(answered) => format!("answers update {:?}", answered.id),
        Body::CompensationBegan(began) => {
            let code = began.cause.as_ref().map_or("", |cause| &cause.code);
            format!("fails with {code} and undoes")
        }
        Body::LeftoversBegan(_) => "ends, and undoes what it has not done again".to_owned(),
        Body::UndoScheduled(undo) => format!("undoes by {} ({})", undo.name, undo.occurrence),
        Body::Closed(closed) => format!("ends as {}", closed.state().name()),
        other => format!("decides {}", other.kind()),
    }
}

fn undo(undo: &Option<Undo>) -> String {
    undo.as_ref()
        .map_or_else(|| "nothing".to_owned(), |undo| format!("{} {}", undo.name, json(&undo.input)))
}

fn json(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
