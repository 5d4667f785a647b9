//! A run as rows of a timeline: each step, attempt, wait and undo, when it began, how long it took, and a bar.
//!
//! Bars are in proportion to the longest step or undo; a wait may be a thousand times as long, so its bar is dotted
//! and says nothing of its length.

use std::collections::HashMap;

use souk_proto::time;
use souk_proto::workflow::v1::{HistoryEvent, HistoryEventKind as Kind};

use super::why;

/// Columns of the longest bar.
const COLUMNS: usize = 24;
/// A gap between two events, in which nothing is under way, that is worth a row, in milliseconds.
const WAIT_MS: i64 = 5;

/// One row.
struct Row {
    from_ms: i64,
    /// `None` while it goes on.
    to_ms: Option<i64>,
    mark: &'static str,
    name: String,
    note: String,
    is_wait: bool,
}

/// Rows, from the events of a run in their order.
#[derive(Default)]
pub struct Timeline {
    began_ms: Option<i64>,
    last_ms: i64,
    rows: Vec<Row>,
    /// What is under way: effect key → its row.
    open: HashMap<String, usize>,
}

impl Timeline {
    /// When the run began, in unix milliseconds.
    pub fn began_ms(&self) -> i64 {
        self.began_ms.unwrap_or_default()
    }

    /// Takes the next event in.
    pub fn add(&mut self, event: &HistoryEvent) {
        let now_ms = event.time.as_ref().map_or(0, time::unix_ms);
        let began_ms = *self.began_ms.get_or_insert(now_ms);
        if self.last_ms > 0 && self.open.is_empty() && now_ms - self.last_ms >= WAIT_MS {
            self.push(self.last_ms, Some(now_ms), "…", "waits", String::new(), true);
        }
        self.last_ms = now_ms.max(began_ms);
        let note = event.failure.as_ref().map_or_else(String::new, why);
        match event.kind() {
            Kind::StepScheduled | Kind::RetryRequested | Kind::ChildScheduled => {
                self.begin(event, "·", now_ms);
            }
            Kind::UndoScheduled => self.begin(event, "↩", now_ms),
            Kind::StepAttemptFailed | Kind::UndoAttemptFailed => {
                self.end(event, now_ms, "✗", format!("attempt {}: {note}", event.attempt));
                let again_ms = event.fire_time.as_ref().map_or(now_ms, time::unix_ms);
                self.begin(event, "·", again_ms.max(now_ms));
            }
            Kind::StepCompleted => self.end(event, now_ms, "✓", note),
            Kind::ChildClosed if event.failure.is_some() => self.end(event, now_ms, "✗", note),
            Kind::ChildClosed => self.end(event, now_ms, "✓", note),
            Kind::ChildGivenUp => {
                let name = format!("gives up {}", event.child_workflow_id);
                self.point(now_ms, "✗", name, note);
            }
            Kind::EndingStarted => {
                self.point(now_ms, "←", "is to end; its children first".to_owned(), note);
            }
            Kind::UndoCompleted => self.end(event, now_ms, "↩", note),
            Kind::StepFailed | Kind::StepAbandoned => self.end(event, now_ms, "✗", note),
            Kind::Parked | Kind::UndoSkipped => self.end(event, now_ms, "!", note),
            Kind::SignalReceived => self.point(now_ms, "→", format!("signal {}", event.name), note),
            Kind::UpdateAccepted => self.point(now_ms, "→", format!("update {}", event.name), note),
            Kind::Answered => self.point(now_ms, "←", "answers its starter".to_owned(), note),
            Kind::CompensationStarted => {
                self.point(now_ms, "↩", "undoes everything".to_owned(), note)
            }
            Kind::Stuck => self.point(now_ms, "!", "stuck".to_owned(), note),
            Kind::CancelRequested => self.point(now_ms, "→", "is to be cancelled".to_owned(), note),
            Kind::Paused => self.point(now_ms, "!", "paused".to_owned(), note),
            Kind::Unpaused => self.point(now_ms, "→", "goes on".to_owned(), note),
            Kind::Reset => self.point(now_ms, "→", "begins again from here".to_owned(), note),
            Kind::Superseded => {
                self.point(now_ms, "→", "another run goes on in its place".to_owned(), note);
            }
            Kind::LeftoversBegan => {
                self.point(now_ms, "↩", "undoes what it has not done again".to_owned(), note);
            }
            Kind::ContinuedAsNew => self.point(now_ms, "→", "continues as new".to_owned(), note),
            Kind::Completed => self.point(now_ms, "✓", "completed".to_owned(), note),
            Kind::Failed | Kind::Cancelled | Kind::Terminated => {
                self.point(now_ms, "✗", "ended".to_owned(), note);
            }
            _ => {}
        }
    }

    /// The rows so far, drawn.
    pub fn rows(&self) -> Vec<String> {
        let lasted = |row: &Row| row.to_ms.unwrap_or(self.last_ms) - row.from_ms;
        let steps = self.rows.iter().filter(|row| !row.is_wait);
        let longest_ms = steps.map(lasted).max().unwrap_or_default().max(1);
        self.rows.iter().map(|row| self.draw(row, lasted(row), longest_ms)).collect()
    }

    fn draw(&self, row: &Row, lasted_ms: i64, longest_ms: i64) -> String {
        let columns = (lasted_ms * COLUMNS as i64 / longest_ms).unsigned_abs() as usize;
        let bar = match (row.is_wait, lasted_ms) {
            (true, _) => "┈".repeat(COLUMNS),
            (false, 0) => String::new(),
            (false, _) => "█".repeat(columns.clamp(1, COLUMNS)),
        };
        let lasted = match (row.to_ms, lasted_ms) {
            (None, _) => "goes on".to_owned(),
            (Some(_), 0) => String::new(),
            (Some(_), lasted_ms) => span(lasted_ms),
        };
        let at = span(row.from_ms - self.began_ms());
        let line = format!(
            "{at:>9}  {lasted:>9}  {bar:<COLUMNS$}  {} {}  {}",
            row.mark, row.name, row.note
        );
        line.trim_end().to_owned()
    }

    fn begin(&mut self, event: &HistoryEvent, mark: &'static str, now_ms: i64) {
        self.open.insert(event.effect_key.clone(), self.rows.len());
        let name = match event.child_workflow_id.as_str() {
            "" => event.name.clone(),
            child => format!("child {} {child}", event.name),
        };
        self.push(now_ms, None, mark, &name, String::new(), false);
    }

    fn end(&mut self, event: &HistoryEvent, now_ms: i64, mark: &'static str, note: String) {
        let Some(row) = self.open.remove(&event.effect_key) else { return };
        if let Some(row) = self.rows.get_mut(row) {
            row.to_ms = Some(now_ms.max(row.from_ms));
            row.mark = mark;
            row.note = note;
        }
    }

    fn point(&mut self, now_ms: i64, mark: &'static str, name: String, note: String) {
        self.push(now_ms, Some(now_ms), mark, &name, note, false);
    }

    fn push(
        &mut self,
        from_ms: i64,
        to_ms: Option<i64>,
        mark: &'static str,
        name: &str,
        note: String,
        is_wait: bool,
    ) {
        self.rows.push(Row { from_ms, to_ms, mark, name: name.to_owned(), note, is_wait });
    }
}

/// A length of time in the unit that suits it.
pub fn span(ms: i64) -> String {
    match ms {
        0..10_000 => format!("{ms} ms"),
        10_000..600_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        600_000..86_400_000 => format!("{} min", ms / 60_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use souk_proto::workflow::v1::WorkflowFailure;

    fn event(kind: Kind, name: &str, at_ms: i64) -> HistoryEvent {
        HistoryEvent {
            kind: kind.into(),
            name: name.to_owned(),
            effect_key: format!("run/{name}/1"),
            time: Some(time::timestamp(at_ms)),
            ..HistoryEvent::default()
        }
    }

    #[test]
    fn a_timeline_shows_each_step_attempt_wait_and_undo() {
        let mut failed = event(Kind::StepAttemptFailed, "Pay", 1_030);
        failed.attempt = 1;
        failed.fire_time = Some(time::timestamp(1_050));
        failed.failure = Some(WorkflowFailure {
            reason: "AWAY".to_owned(),
            message: "no answer".to_owned(),
            ..WorkflowFailure::default()
        });
        let events = [
            event(Kind::Started, "", 1_000),
            event(Kind::StepScheduled, "Hold", 1_000),
            event(Kind::StepCompleted, "Hold", 1_010),
            event(Kind::StepScheduled, "Pay", 1_010),
            failed,
            event(Kind::StepCompleted, "Pay", 1_070),
            event(Kind::SignalReceived, "cancelled", 61_070),
            event(Kind::UndoScheduled, "Release", 61_070),
            event(Kind::UndoCompleted, "Release", 61_075),
        ];
        let mut timeline = Timeline::default();
        for event in &events {
            timeline.add(event);
        }
        let expected = [
            "     0 ms      10 ms  ████████████              ✓ Hold",
            "    10 ms      20 ms  ████████████████████████  ✗ Pay  attempt 1: AWAY: no answer",
            "    50 ms      20 ms  ████████████████████████  ✓ Pay",
            "    70 ms     60.0 s  ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈  … waits",
            "   60.0 s                                       → signal cancelled",
            "   60.0 s       5 ms  ██████                    ↩ Release",
        ];
        assert_eq!(timeline.rows(), expected);
    }

    #[test]
    fn a_timeline_shows_children_from_their_start_to_their_end() {
        let child = |kind: Kind, id: &str, at_ms: i64| HistoryEvent {
            effect_key: id.to_owned(),
            child_workflow_id: id.to_owned(),
            ..event(kind, "leaf", at_ms)
        };
        let mut failed = child(Kind::ChildClosed, "p/leaf/2", 1_040);
        failed.failure =
            Some(WorkflowFailure { reason: "WILTED".to_owned(), ..WorkflowFailure::default() });
        let events = [
            event(Kind::Started, "", 1_000),
            child(Kind::ChildScheduled, "p/leaf/1", 1_000),
            child(Kind::ChildScheduled, "p/leaf/2", 1_000),
            child(Kind::ChildStarted, "p/leaf/1", 1_001),
            child(Kind::ChildGivenUp, "p/leaf/1", 1_010),
            child(Kind::ChildClosed, "p/leaf/1", 1_020),
            failed,
        ];
        let mut timeline = Timeline::default();
        for event in &events {
            timeline.add(event);
        }
        let expected = [
            "     0 ms      20 ms  ████████████              ✓ child leaf p/leaf/1",
            "     0 ms      40 ms  ████████████████████████  ✗ child leaf p/leaf/2  WILTED:",
            "    10 ms                                       ✗ gives up p/leaf/1",
        ];
        assert_eq!(timeline.rows(), expected);
    }
}
