//! What is found out on the way along a history that is reset: what is open, what was done, what was undone.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::is_observation;
use crate::engine::cx::fingerprint;
use crate::engine::event::{Body, DroppedStep, END_CHILD, Inherited, Reset, Started, Undo};

/// See the module.
#[derive(Default)]
pub(super) struct Survey {
    kept: u64,
    /// Command of a step → its name and occurrence, and the observation at which it was decided.
    steps: BTreeMap<u64, (String, u32, u64)>,
    /// Command of what is owed → the observation at which it was.
    owed: BTreeMap<u64, u64>,
    /// Command of a compensation → what it undoes.
    undoes: BTreeMap<u64, u64>,
    /// Undo that an earlier reset had inherited, in the kept part: they are open there, too.
    inherited_before: BTreeMap<u64, (String, u32)>,
    pub(super) open: BTreeMap<u64, Inherited>,
    pub(super) dropped: BTreeMap<(String, u32), DroppedStep>,
    pub(super) occurrences: BTreeMap<String, u32>,
    pub(super) undone: BTreeSet<String>,
    /// Undo of the dropped part that was owed without a step, and begun.
    pub(super) owed_begun: bool,
    is_compensating: bool,
    has_answered: bool,
    pub(super) answer: Option<Bytes>,
    pub(super) messages: Vec<Body>,
    observation: u64,
    /// Children that are open at that event, or were started behind it.
    pub(super) open_children: BTreeMap<u64, String>,
    /// Command of a child of the kept part → its workflow id.
    kept_children: BTreeMap<u64, String>,
}

impl Survey {
    /// Of a history of which the first `kept` events are kept.
    pub(super) fn of(kept: u64) -> Survey {
        Survey { kept, ..Survey::default() }
    }

    fn is_kept(&self, sequence: u64) -> bool {
        sequence < self.kept
    }

    pub(super) fn take(&mut self, sequence: u64, body: &Body) -> Result<(), String> {
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
                if is_kept {
                    self.kept_children.insert(child.command, child.workflow_id.clone());
                }
            }
            // The end that is taken in again is known, too.
            Body::ChildClosed(child) if sequence <= self.kept => {
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
        if name == END_CHILD {
            // Whether a child is open says more than who has asked it to end.
            return Ok(());
        }
        if let Some(child) = self.kept_children.get(&undoes)
            && !self.is_compensating
        {
            let event = sequence + 1;
            return Err(format!(
                "what its child {child:?} did was undone by event {event}, and a child is not started again; start another run"
            ));
        }
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
