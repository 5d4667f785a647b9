//! What people tell a schedule, and what they are answered.

use std::collections::BTreeSet;

use super::{Deleted, Keeper, Next};
use crate::engine::Failure;
use crate::engine::cx::Received;
use crate::system::schedule::command::{
    self, BACKFILL_TOO_LARGE, Change, Command, MAX_BACKFILL, REQUEST_ID_REUSED, VERSION_CONFLICT,
};
use crate::system::schedule::definition::{Definition, MAX_INPUT_BYTES, Overlap};
use crate::system::schedule::overlap::{Decision, MAX_WAITING, Pending, Source};
use crate::system::schedule::state::{Answer, Remembered, run_id_of};
use crate::system::schedule::steps::ListTimes;

/// Length of a request's id, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 64;
/// Everything that is due counts as missed.
const NO_CATCH_UP: i64 = -1;

/// Refuses what would not fit the record. Whether a specification can be read is checked by the service.
pub(super) fn accept(command: &Command) -> Result<(), Failure> {
    if !(1..=MAX_REQUEST_ID_BYTES).contains(&command.request_id.len()) {
        let message = format!("the request id must have 1 to {MAX_REQUEST_ID_BYTES} bytes");
        return Err(Failure::new("REQUEST_ID_INVALID", message));
    }
    match &command.change {
        Change::Update { definition, .. } if definition.action.input.len() > MAX_INPUT_BYTES => {
            let message = format!("the input may have {MAX_INPUT_BYTES} bytes");
            Err(Failure::new("TOO_LARGE", message))
        }
        _ => Ok(()),
    }
}

impl Keeper {
    /// Does what is asked, after everything that was due before.
    pub(super) async fn obey(
        &mut self,
        received: Received<Command>,
    ) -> Result<Option<Deleted>, Failure> {
        let Command { request_id, by, .. } = &received.update;
        if let Some(earlier) = self.state.answered.iter().find(|it| it.request_id == *request_id) {
            let is_same = earlier.fingerprint == received.update.fingerprint();
            let answer = if is_same { earlier.answer.clone() } else { Err(reused()) };
            tell(received, answer);
            return Ok(None);
        }
        self.advance().await?;
        let now_ms = self.cx.now_ms();
        match &received.update.change {
            Change::Update { definition, expected_version } => {
                let (definition, expected_version) = (definition.clone(), *expected_version);
                let answer = self.update(*definition, expected_version);
                self.reply(received, answer);
            }
            Change::Pause { note } => {
                self.state.paused = Some(command::note(note, by));
                self.state.changed_at_ms = now_ms;
                self.reply(received, Ok(Answer::default()));
            }
            Change::Unpause { skip_missed } => {
                let skip_missed = *skip_missed;
                self.unpause(skip_missed).await?;
                self.reply(received, Ok(Answer::default()));
            }
            Change::Trigger { overlap } => {
                let overlap = *overlap;
                self.trigger(received, overlap).await?;
            }
            Change::Backfill { from_ms, to_ms, overlap } => {
                let (from_ms, to_ms, overlap) = (*from_ms, *to_ms, *overlap);
                let answer = self.backfill(from_ms, to_ms, overlap).await?;
                self.reply(received, answer);
            }
            Change::Delete => {
                let deleted = Deleted { request_id: request_id.clone(), by: by.clone() };
                self.reply(received, Ok(Answer::default()));
                return Ok(Some(deleted));
            }
        }
        Ok(None)
    }

    /// Answers a change, and keeps the answer for those who ask again.
    pub(super) fn reply(&mut self, received: Received<Command>, answer: Result<Answer, Failure>) {
        let version = self.state.version;
        let answer = answer.map(|answer| Answer { version, ..answer });
        self.state.remember(Remembered {
            request_id: received.update.request_id.clone(),
            fingerprint: received.update.fingerprint(),
            answer: answer.clone(),
        });
        tell(received, answer);
    }

    /// Another specification is looked at from now on: its times before now are not those of anybody's wish.
    fn update(
        &mut self,
        definition: Definition,
        expected_version: Option<u64>,
    ) -> Result<Answer, Failure> {
        let version = self.state.version;
        if expected_version.is_some_and(|expected| expected != version) {
            let message = format!("the schedule is at version {version} now");
            return Err(Failure::new(VERSION_CONFLICT, message));
        }
        let was_exhausted = self.definition.remaining_actions == Some(0);
        if was_exhausted || definition.spec != self.definition.spec {
            self.state.cursor_ms = self.cx.now_ms();
            self.next = Next::Unknown;
        }
        self.definition = definition;
        self.state.version += 1;
        self.state.changed_at_ms = self.cx.now_ms();
        Ok(Answer::default())
    }

    /// What the pause has held is caught up within the window, or counts as missed.
    async fn unpause(&mut self, skip_missed: bool) -> Result<(), Failure> {
        if self.state.paused.is_none() {
            return Ok(());
        }
        let now_ms = self.cx.now_ms();
        let catch_up_ms =
            if skip_missed { NO_CATCH_UP } else { self.definition.policies.catch_up_ms };
        let held = self.state.waiting.len();
        self.state
            .waiting
            .retain(|firing| firing.is_manual() || now_ms - firing.nominal_ms <= catch_up_ms);
        self.state.counts.missed += (held - self.state.waiting.len()) as u64;
        self.state.changed_at_ms = now_ms;
        self.state.paused = None;
        self.next = Next::Unknown;
        while skip_missed && matches!(self.next, Next::Unknown) && !self.is_resting() {
            self.look(catch_up_ms).await?;
        }
        Ok(())
    }

    async fn trigger(
        &mut self,
        received: Received<Command>,
        overlap: Option<Overlap>,
    ) -> Result<(), Failure> {
        if let Err(failure) = self.check_room(1) {
            self.reply(received, Err(failure));
            return Ok(());
        }
        self.state.counts.triggered += 1;
        let firing = Pending {
            nominal_ms: self.cx.now_ms(),
            source: Source::Trigger { number: self.state.counts.triggered },
            overlap: overlap.unwrap_or(self.definition.policies.overlap),
        };
        self.look_after_runs(&[firing]).await?;
        let decision = self.place(vec![firing]);
        let mut answer = tally(&decision, |other| *other == firing);
        if answer.started == 0 {
            self.reply(received, Ok(answer));
            return Ok(());
        }
        // Answered once the run is there to be looked at.
        answer.workflow_id = run_id_of(&self.definition.action.workflow_id_prefix, &firing);
        self.replies.insert(answer.workflow_id.clone(), (received, answer));
        Ok(())
    }

    async fn backfill(
        &mut self,
        from_ms: i64,
        to_ms: i64,
        overlap: Overlap,
    ) -> Result<Result<Answer, Failure>, Failure> {
        let requested_at_ms = self.cx.now_ms();
        let spec = self.definition.spec.clone();
        let listed = self.cx.step(ListTimes { spec, from_ms, to_ms, limit: MAX_BACKFILL }).await;
        let times = match listed {
            Ok(times) => times,
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => return Ok(Err(failure)),
        };
        if times.len() > MAX_BACKFILL {
            let message =
                format!("the range has more than {MAX_BACKFILL} times; take a shorter one");
            return Ok(Err(Failure::new(BACKFILL_TOO_LARGE, message)));
        }
        if let Err(failure) = self.check_room(times.len()) {
            return Ok(Err(failure));
        }
        let source = Source::Backfill { requested_at_ms };
        let asked: BTreeSet<i64> = times.iter().copied().collect();
        let firings: Vec<Pending> =
            times.into_iter().map(|nominal_ms| Pending { nominal_ms, source, overlap }).collect();
        self.look_after_runs(&firings).await?;
        let decision = self.place(firings);
        let is_asked =
            |firing: &Pending| firing.source == source && asked.contains(&firing.nominal_ms);
        Ok(Ok(tally(&decision, is_asked)))
    }

    /// What people ask for is refused rather than dropped.
    fn check_room(&self, more: usize) -> Result<(), Failure> {
        let taken = self.state.ready.len() + self.state.waiting.len();
        if taken + more <= MAX_WAITING {
            return Ok(());
        }
        let message = format!("{taken} firings wait already, at most {MAX_WAITING} may");
        Err(Failure::new("TOO_MANY_WAITING", message))
    }
}

/// What became of the firings that are meant.
fn tally(decision: &Decision, is_meant: impl Fn(&Pending) -> bool) -> Answer {
    let count =
        |firings: &[Pending]| firings.iter().filter(|firing| is_meant(firing)).count() as u64;
    Answer {
        started: count(&decision.start),
        waiting: count(&decision.wait),
        skipped: count(&decision.skipped),
        ..Answer::default()
    }
}

fn tell(received: Received<Command>, answer: Result<Answer, Failure>) {
    match answer {
        Ok(answer) => received.answer(&answer),
        Err(failure) => received.fail(&failure),
    }
}

fn reused() -> Failure {
    Failure::new(REQUEST_ID_REUSED, "the request id was used before with other content")
}
