//! What a reset keeps of a run, and what it must not forget of the rest.
//!
//! A run is reset to an *observation* (a start, a result, a signal …). What is in front of it is kept; the observation is
//! taken in again, now, by the code as it is now; what came behind it is dropped: decisions, results, failures, timers
//! that fired, a cancellation, a pause. Signals and updates of the dropped part come in again, unless they are not wanted.
//!
//! # What was done in the dropped part
//!
//! 1. **Every open undo of it is inherited.** A step that is done again (the same name and the same argument) keeps its
//!    occurrence and with it its effect key, so that its participant recognises it, and its undo takes the inherited one's
//!    place. An undo that is owed without a step is taken over by its name.
//! 2. **What is not done again is undone**: with everything else if the run fails, and before it ends if it succeeds or
//!    continues as new. Only what is owed without a step stands when the run succeeds.
//! 3. **A step that was undone gets a fresh occurrence.** Its participant keeps a tombstone under the old key and would
//!    refuse it. So do steps that were refused, and steps that an undo of another one undid. Occurrences are counted on
//!    behind all that were ever used.
//! 4. **A step with another argument is another step**, and gets a fresh occurrence: under the old one its participant would
//!    answer for what was asked then. Only a step that nothing undoes keeps its occurrence whatever its argument: it
//!    stands, and is not done a second time.
//! 5. **What is kept must stand.** If a step of the kept part was undone behind it, the reset is refused, and says how far back
//!    it must go. An owed undo that ran has undone what the *starter* did, which the run cannot do again: that is refused
//!    unless who resets says that it is done again.
//! 6. **Children know their parent's run.** A run is reset only to where it has none that is open, and has started none since;
//!    a run that has ended and whose parent was told so is not reset.

mod point;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::cx::fingerprint;
use super::error::Error;
use super::event::{Body, DroppedStep, Event, Inherited, Occurrence, Reset, Started, Undo};
use super::limits::MAX_DROPPED_STEPS;

pub use point::ResetPoint;

/// What someone wants of a reset.
#[derive(Clone, Debug, Default)]
pub struct ResetRequest {
    /// The event to go back to, from 0. A decision or a note stands for the observation that it follows.
    pub sequence: u64,
    /// Why, and by whom.
    pub reason: String,
    /// Signals and updates that came behind that event are dropped, too.
    pub drops_messages: bool,
    /// What the run's owed undo has undone is done again by whoever started the run.
    pub owed_is_done_again: bool,
}

/// What becomes of a history.
pub(crate) struct Plan {
    /// How many events are kept.
    pub kept: u64,
    /// The observation that is taken in again; none for the start itself.
    pub observation: Option<Body>,
    pub reset: Reset,
    /// Signals and updates that come in again.
    pub messages: Vec<Body>,
}

/// What is found out on the way along a history.
#[derive(Default)]
struct Survey {
    kept: u64,
    /// Command of a step → its name and occurrence, and the observation at which it was decided.
    steps: BTreeMap<u64, (String, u32, u64)>,
    /// Command of what is owed → the observation at which it was.
    owed: BTreeMap<u64, u64>,
    /// Command of a compensation → what it undoes.
    undoes: BTreeMap<u64, u64>,
    /// Undo that an earlier reset had inherited, in the kept part: they are open there, too.
    inherited_before: BTreeMap<u64, (String, u32)>,
    open: BTreeMap<u64, Inherited>,
    dropped: BTreeMap<(String, u32), DroppedStep>,
    occurrences: BTreeMap<String, u32>,
    undone: BTreeSet<String>,
    /// Undo of the dropped part that was owed without a step, and begun.
    owed_begun: bool,
    is_compensating: bool,
    has_answered: bool,
    answer: Option<Bytes>,
    messages: Vec<Body>,
    observation: u64,
    /// Children that are open at that event, or were started behind it.
    open_children: BTreeMap<u64, String>,
}

/// Finds out what a reset does, or why it cannot be.
///
/// # Errors
/// [`Error::CannotReset`], [`Error::TooLarge`].
pub(crate) fn plan(history: &[Event], request: &ResetRequest) -> Result<Plan, Error> {
    let kept = target(history, request.sequence)?;
    let mut survey = Survey { kept, ..Survey::default() };
    for (sequence, event) in (0..).zip(history) {
        let Some(body) = &event.body else { continue };
        survey
            .take(sequence, body)
            .map_err(|problem| Error::CannotReset { sequence: request.sequence, problem })?;
    }
    if survey.owed_begun && !request.owed_is_done_again {
        let problem = "an undo that the run owed without a step has run, which undid what the \
            starter did before the run; start another run, or say that it is done again"
            .to_owned();
        return Err(Error::CannotReset { sequence: request.sequence, problem });
    }
    if let Some(child) = survey.open_children.values().next() {
        let problem = format!(
            "its child {child:?} was open at that event, or was started behind it, and knows another run as its parent"
        );
        return Err(Error::CannotReset { sequence: request.sequence, problem });
    }
    if survey.dropped.len() > MAX_DROPPED_STEPS {
        let what = "the steps that would be dropped";
        let actual = survey.dropped.len();
        return Err(Error::TooLarge { what, actual, limit: MAX_DROPPED_STEPS });
    }
    let observation = history.get(kept as usize).and_then(|event| event.body.clone());
    let messages = if request.drops_messages { Vec::new() } else { survey.messages };
    let occurrences = survey.occurrences.into_iter();
    Ok(Plan {
        kept,
        observation: observation.filter(|_| kept > 0),
        reset: Reset {
            run_id: Bytes::new(),
            kept,
            reason: request.reason.clone(),
            inherited: survey.open.into_values().collect(),
            dropped: survey.dropped.into_values().collect(),
            occurrences: occurrences.map(|(name, count)| Occurrence { name, count }).collect(),
            undone: survey.undone.into_iter().collect(),
            answer: survey.answer,
        },
        messages,
    })
}

fn is_observation(body: &Body) -> bool {
    matches!(super::run::kind(body), super::run::Kind::Observation)
}

/// The observation that is meant.
fn target(history: &[Event], sequence: u64) -> Result<u64, Error> {
    let cannot = |problem: &str| Error::CannotReset { sequence, problem: problem.to_owned() };
    let body = |at: usize| history.get(at).and_then(|event| event.body.as_ref());
    let mut at = usize::try_from(sequence).unwrap_or(usize::MAX);
    if at >= history.len() {
        return Err(cannot(&format!("the history has {} events", history.len())));
    }
    loop {
        while !body(at).is_some_and(is_observation) {
            at = at
                .checked_sub(1)
                .ok_or_else(|| cannot("the history does not begin with Started"))?;
        }
        // What came while the run was stuck had no consequences: what made it stuck is to be taken in again.
        let stuck = history[..at]
            .iter()
            .rposition(|event| matches!(event.body, Some(Body::Stuck(_) | Body::Resumed(_))));
        match stuck.map(|stuck| (stuck, &history[stuck].body)) {
            Some((stuck, Some(Body::Stuck(_)))) => at = stuck.saturating_sub(1),
            _ => break,
        }
    }
    match body(at) {
        Some(Body::Terminated(_) | Body::Superseded(_)) => {
            Err(cannot("it ended the run by force; choose an earlier one"))
        }
        // A reset belongs to what it took in again.
        Some(Body::Reset(reset)) if reset.kept == 0 => Ok(0),
        Some(Body::Reset(_)) => Ok(at as u64 + 1),
        _ => Ok(at as u64),
    }
}

impl Survey {
    fn is_kept(&self, sequence: u64) -> bool {
        sequence < self.kept
    }

    fn take(&mut self, sequence: u64, body: &Body) -> Result<(), String> {
        let is_kept = self.is_kept(sequence);
        if is_observation(body) {
            self.observation = sequence;
        }
        match body {
            Body::Started(started) => self.begin(started),
            Body::StepScheduled(step) => {
                self.use_name(&step.name, step.occurrence);
                let undo = self.number(step.undo.as_ref());
                let at = self.observation;
                self.steps.insert(step.command, (step.name.clone(), step.occurrence, at));
                if is_kept {
                    self.inherited_before.remove(&step.replaces);
                    return Ok(());
                }
                let key = (step.name.clone(), step.occurrence);
                let input = fingerprint(&step.input);
                let (name, occurrence) = key.clone();
                let is_spent = false;
                self.dropped.insert(key, DroppedStep { name, occurrence, input, is_spent });
                let step_of = (step.name.clone(), step.occurrence);
                self.record(step.command, step.replaces, step_of, undo);
            }
            Body::UndoOwed(owed) => {
                let undo = self.number(owed.undo.as_ref());
                self.owed.insert(owed.command, self.observation);
                if is_kept {
                    self.inherited_before.remove(&owed.replaces);
                } else {
                    self.record(owed.command, owed.replaces, (String::new(), 0), undo);
                }
            }
            Body::StepFailed(failed) if failed.discharges_undo && !is_kept => {
                self.open.remove(&failed.command);
                self.spend(failed.command);
            }
            Body::CompensationBegan(_) if is_kept => self.is_compensating = true,
            Body::UndoScheduled(undo) => {
                self.undoes.insert(undo.command, undo.undoes);
                if !is_kept {
                    self.begin_undo(sequence, undo.undoes, &undo.name)?;
                }
            }
            Body::UndoSucceeded(undo) => self.settle(undo.command),
            Body::UndoSkipped(undo) => self.settle(undo.command),
            Body::Answered(answered) => {
                if !is_kept && !self.has_answered {
                    self.answer = Some(answered.answer.clone());
                }
                self.has_answered = true;
            }
            Body::SignalReceived(_) | Body::UpdateAccepted(_) if sequence > self.kept => {
                self.messages.push(body.clone());
            }
            Body::Reset(reset) => self.reset_before(is_kept, reset),
            Body::ChildScheduled(child) => {
                self.open_children.insert(child.command, child.workflow_id.clone());
            }
            Body::ChildClosed(child) if is_kept => {
                self.open_children.remove(&child.command);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, started: &Started) {
        let Some(carried) = &started.carried else { return };
        self.has_answered = carried.answer.is_some();
        for used in &carried.occurrences {
            self.use_name(&used.name, used.count);
        }
        for (child, command) in
            carried.children.iter().zip((1..).map(|place: u64| u64::MAX - place))
        {
            self.open_children.insert(command, child.workflow_id.clone());
        }
    }

    fn use_name(&mut self, name: &str, occurrence: u32) {
        let count = self.occurrences.entry(name.to_owned()).or_default();
        *count = occurrence.max(*count);
    }

    /// The undo with its occurrence, which is counted where it is not told.
    fn number(&mut self, undo: Option<&Undo>) -> Option<Undo> {
        let mut undo = undo?.clone();
        if undo.occurrence == 0 {
            undo.occurrence = self.occurrences.get(&undo.name).copied().unwrap_or_default() + 1;
        }
        self.use_name(&undo.name, undo.occurrence);
        Some(undo)
    }

    /// An undo of the dropped part. One that takes the place of an inherited one of the kept part is open there.
    fn record(&mut self, command: u64, replaces: u64, of: (String, u32), undo: Option<Undo>) {
        self.open.remove(&replaces);
        if self.inherited_before.contains_key(&replaces) {
            return;
        }
        let (step, occurrence) = of;
        if undo.is_some() {
            let is_begun = false;
            self.open.insert(command, Inherited { command, step, occurrence, undo, is_begun });
        }
    }

    fn begin_undo(&mut self, sequence: u64, undoes: u64, name: &str) -> Result<(), String> {
        self.undone.insert(name.to_owned());
        if let Some(open) = self.open.get_mut(&undoes) {
            open.is_begun = true;
            let (step, occurrence) = (open.step.clone(), open.occurrence);
            if step.is_empty() {
                self.owed_begun = true;
            } else {
                self.spend_step(&step, occurrence);
            }
            return Ok(());
        }
        if let Some((step, occurrence)) = self.inherited_before.get(&undoes).cloned() {
            self.spend_step(&step, occurrence);
            return Ok(());
        }
        let decided_at = match self.steps.get(&undoes) {
            Some((_, _, at)) => Some(*at),
            None => self.owed.get(&undoes).copied(),
        };
        // The decisions of the observation that is taken in again are dropped.
        let is_of_kept_part = decided_at.is_some_and(|at| at < self.kept);
        if is_of_kept_part && !self.is_compensating {
            let back_to = decided_at.unwrap_or_default() + 1;
            return Err(format!(
                "what {name} undoes was undone by event {}, so that it must be done again; go back to event {back_to} or before",
                sequence + 1
            ));
        }
        self.spend(undoes);
        Ok(())
    }

    fn spend(&mut self, command: u64) {
        if let Some((step, occurrence, _)) = self.steps.get(&command).cloned() {
            self.spend_step(&step, occurrence);
        }
    }

    fn spend_step(&mut self, name: &str, occurrence: u32) {
        let key = (name.to_owned(), occurrence);
        let step = self.dropped.entry(key).or_insert_with(|| DroppedStep {
            name: name.to_owned(),
            occurrence,
            input: Bytes::new(),
            is_spent: true,
        });
        step.is_spent = true;
    }

    /// A compensation has succeeded or was passed over.
    fn settle(&mut self, command: u64) {
        if let Some(undoes) = self.undoes.get(&command) {
            self.open.remove(undoes);
        }
    }

    /// An earlier reset. In the dropped part, what it had inherited is inherited again.
    fn reset_before(&mut self, is_kept: bool, reset: &Reset) {
        for used in &reset.occurrences {
            self.use_name(&used.name, used.count);
        }
        for inherited in &reset.inherited {
            if is_kept {
                let step = (inherited.step.clone(), inherited.occurrence);
                self.inherited_before.insert(inherited.command, step);
            } else {
                self.open.insert(inherited.command, inherited.clone());
            }
        }
        if !is_kept {
            for step in &reset.dropped {
                self.dropped.insert((step.name.clone(), step.occurrence), step.clone());
            }
            self.undone.extend(reset.undone.iter().cloned());
        }
        if !self.has_answered && reset.answer.is_some() {
            if !is_kept {
                self.answer.clone_from(&reset.answer);
            }
            self.has_answered = true;
        }
    }
}
