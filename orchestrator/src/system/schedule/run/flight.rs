//! What a schedule has begun and not seen the end of: starts, watches, stops.

use futures::StreamExt;

use super::Keeper;
use crate::engine::Failure;
use crate::system::schedule::definition::Overlap;
use crate::system::schedule::overlap::{Pending, Source, Stop};
use crate::system::schedule::state::{Fired, Running, run_id_of};
use crate::system::schedule::steps::{Ended, LookAtRuns, RunStarted, StartRun, StopRun, WatchRun};

/// Starts that are under way at once.
const MAX_STARTING: usize = 20;

/// What has come of something that was begun.
pub(super) enum Done {
    /// A start.
    Start { firing: Pending, workflow_id: String, outcome: Result<RunStarted, Failure> },
    /// A watch; `None` if the run goes on.
    Watch { workflow_id: String, outcome: Result<Option<Ended>, Failure> },
    /// A request to end.
    Stop { workflow_id: String, outcome: Result<(), Failure> },
}

impl Keeper {
    /// Begins what is ready to begin.
    pub(super) fn launch(&mut self) {
        while self.starting < MAX_STARTING
            && let Some(firing) = self.state.ready.pop_front()
        {
            self.start(firing);
        }
        if self.depends_on_ends() {
            let running: Vec<String> =
                self.state.running.iter().map(|run| run.workflow_id.clone()).collect();
            running.into_iter().for_each(|workflow_id| self.watch(workflow_id));
        }
    }

    /// Whether something is done as soon as a run ends.
    fn depends_on_ends(&self) -> bool {
        let is_paused = self.state.paused.is_some();
        self.definition.policies.pause_on_failure
            || self.state.waiting.iter().any(|firing| firing.is_manual() || !is_paused)
    }

    fn start(&mut self, firing: Pending) {
        let action = &self.definition.action;
        let workflow_id = run_id_of(&action.workflow_id_prefix, &firing);
        let step = self.cx.step(StartRun {
            workflow_id: workflow_id.clone(),
            schedule_id: self.schedule_id.clone(),
            nominal_ms: firing.nominal_ms,
            workflow_type: action.workflow_type.clone(),
            input: action.input.clone(),
            requested_at_ms: match firing.source {
                Source::Backfill { requested_at_ms } => Some(requested_at_ms),
                Source::Schedule | Source::Trigger { .. } => None,
            },
        });
        self.starting += 1;
        self.in_flight.push(Box::pin(async move {
            Done::Start { firing, workflow_id, outcome: step.await }
        }));
    }

    fn watch(&mut self, workflow_id: String) {
        if self.watched.insert(workflow_id.clone()) {
            let step = self.cx.step(WatchRun { workflow_id: workflow_id.clone() });
            self.in_flight
                .push(Box::pin(async move { Done::Watch { workflow_id, outcome: step.await } }));
        }
    }

    /// Makes the runs end that have not ended, unless they are being made to already.
    pub(super) fn stop_running(&mut self, stop: Stop) {
        let reason = format!("the next run of the schedule {:?} is due", self.schedule_id);
        for run in &mut self.state.running {
            if run.stop >= Some(stop) {
                continue;
            }
            run.stop = Some(stop);
            let workflow_id = run.workflow_id.clone();
            let reason = reason.clone();
            let step = self.cx.step(StopRun { workflow_id: workflow_id.clone(), stop, reason });
            self.in_flight
                .push(Box::pin(async move { Done::Stop { workflow_id, outcome: step.await } }));
        }
    }

    /// Takes in what has come of something.
    pub(super) fn settle(&mut self, done: Done) -> Result<(), Failure> {
        match done {
            Done::Start { outcome: Err(failure), .. }
            | Done::Watch { outcome: Err(failure), .. }
            | Done::Stop { outcome: Err(failure), .. }
                if failure.is_cancelled() =>
            {
                return Err(failure);
            }
            Done::Start { firing, workflow_id, outcome } => {
                self.started(firing, workflow_id, outcome)
            }
            Done::Watch { workflow_id, outcome } => {
                self.watched.remove(&workflow_id);
                if let Ok(Some(end)) = outcome {
                    self.ended(&workflow_id, end);
                }
            }
            Done::Stop { workflow_id, outcome: Err(_) } => {
                // The engine refuses for good: the next decision asks again.
                let run = self.state.running.iter_mut().find(|run| run.workflow_id == workflow_id);
                run.into_iter().for_each(|run| run.stop = None);
            }
            Done::Stop { outcome: Ok(()), .. } => {}
        }
        Ok(())
    }

    fn started(
        &mut self,
        firing: Pending,
        workflow_id: String,
        outcome: Result<RunStarted, Failure>,
    ) {
        self.starting -= 1;
        let started_at_ms = self.cx.now_ms();
        let reply = self.replies.remove(&workflow_id);
        match outcome {
            Ok(RunStarted::Started) => {
                let workflow_id = workflow_id.clone();
                self.state.begin(Running { workflow_id, firing, started_at_ms, stop: None });
            }
            Ok(RunStarted::RanBefore) => self.state.counts.ran_before += 1,
            Err(failure) => {
                self.state.counts.failed += 1;
                let failed = failure.clone();
                let end = Ended::not_started(failure.clone());
                self.state.note(Fired { workflow_id, firing, started_at_ms, end });
                if self.definition.policies.pause_on_failure {
                    self.pause_itself(&format!("a run could not be started: {failure}"));
                }
                if let Some((received, _)) = reply {
                    self.reply(received, Err(failed));
                }
                return;
            }
        }
        if let Some((received, answer)) = reply {
            self.reply(received, Ok(answer));
        }
    }

    fn ended(&mut self, workflow_id: &str, end: Ended) {
        let Some(fired) = self.state.end(workflow_id, end) else { return };
        if self.definition.policies.pause_on_failure && fired.end.is_failure() {
            let cause =
                fired.end.failure.map_or_else(String::new, |failure| format!(": {failure}"));
            self.pause_itself(&format!("{workflow_id} failed{cause}"));
        }
    }

    /// Looks which runs have ended meanwhile, if it matters to these firings.
    pub(super) async fn look_after_runs(&mut self, firings: &[Pending]) -> Result<(), Failure> {
        let matters = firings.iter().any(|firing| firing.overlap != Overlap::AllowAll);
        if !matters || self.state.running.is_empty() {
            return Ok(());
        }
        let workflow_ids: Vec<String> =
            self.state.running.iter().map(|run| run.workflow_id.clone()).collect();
        match self.cx.step(LookAtRuns { workflow_ids: workflow_ids.clone() }).await {
            Ok(ends) => {
                for (workflow_id, end) in workflow_ids.iter().zip(ends) {
                    end.into_iter().for_each(|end| self.ended(workflow_id, end));
                }
                Ok(())
            }
            Err(failure) if failure.is_cancelled() => Err(failure),
            // They count as going on: better one firing too few than two runs at once.
            Err(_) => Ok(()),
        }
    }

    /// Waits for the starts that are under way, and for those that somebody waits for: the next turn would not know of
    /// them. Watches and stops it begins anew.
    pub(super) async fn land(&mut self) -> Result<(), Failure> {
        loop {
            if !self.replies.is_empty() {
                self.launch();
            }
            if self.starting == 0 {
                break;
            }
            if let Some(done) = self.in_flight.next().await {
                self.settle(done)?;
            }
        }
        for run in &mut self.state.running {
            run.stop = None;
        }
        Ok(())
    }
}
