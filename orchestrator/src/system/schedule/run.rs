//! The run of a schedule: waits for the next time or for somebody's word, starts runs, and takes note of their ends.
//!
//! It waits for the end of a run only where something depends on it (a firing that waits, `pause_on_failure`);
//! otherwise it looks when the next firing comes, so that a schedule whose run takes weeks sleeps on disk meanwhile.

mod change;
mod flight;

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::definition::Definition;
use super::due::Firing;
use super::overlap::{Decision, Pending, Source, decide};
use super::state::{Input, Shown, State};
use super::steps::LookAtCalendar;
use crate::engine::cx::{Received, Timer, Updates};
use crate::engine::{Cx, Failure};
use flight::Done;

/// Rounds (a firing takes about three) after which the run goes on in a new turn: each firing may find the run on disk,
/// and replays its turn.
const MAX_ROUNDS: u32 = 60;
/// Firings that are about to be started, before the calendar is looked at again.
const MAX_READY: usize = 200;

/// How a schedule ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// The id of the request that deleted it.
    pub request_id: String,
    /// Who asked.
    pub by: String,
}

/// The workflow `souk.schedule`.
///
/// # Errors
/// When it is cancelled.
pub async fn schedule(cx: &Cx, input: Input) -> Result<Deleted, Failure> {
    let mut commands = cx.updates(change::accept);
    let mut keeper = Keeper::new(cx, input);
    for _ in 0..MAX_ROUNDS {
        // Also before: the calendar may have to be asked first.
        keeper.show();
        keeper.advance().await?;
        keeper.show();
        if cx.history_is_long() {
            break;
        }
        match keeper.wait(&mut commands).await? {
            Happening::Due => {}
            Happening::Done(done) => keeper.settle(done)?,
            Happening::Told(told) => {
                if let Some(deleted) = keeper.obey(told).await? {
                    return Ok(deleted);
                }
            }
        }
    }
    keeper.land().await?;
    cx.continue_as_new(&keeper.into_input()).await
}

/// What the run waits for.
enum Happening {
    /// The time of the next firing.
    Due,
    /// Something that it has begun.
    Done(Done),
    /// Somebody's word.
    Told(Received<Command>),
}

/// When the next firing is.
enum Next {
    /// The calendar must be asked.
    Unknown,
    At(Firing),
    Never,
}

/// A schedule in memory.
struct Keeper {
    cx: Cx,
    schedule_id: String,
    request_id: String,
    definition: Definition,
    state: State,
    next: Next,
    timer: Option<(i64, Timer)>,
    in_flight: FuturesUnordered<BoxFuture<'static, Done>>,
    /// How many of these are starts.
    starting: usize,
    /// Runs whose end is waited for.
    watched: BTreeSet<String>,
    /// Who waits for the start of a run, by its workflow id.
    replies: BTreeMap<String, (Received<Command>, super::state::Answer)>,
}

impl Keeper {
    fn new(cx: &Cx, input: Input) -> Keeper {
        let Input { schedule_id, request_id, definition, paused, state } = input;
        let state = state.unwrap_or_else(|| State::new(cx.now_ms(), paused));
        Keeper {
            cx: cx.clone(),
            schedule_id,
            request_id,
            definition,
            state,
            next: Next::Unknown,
            timer: None,
            in_flight: FuturesUnordered::new(),
            starting: 0,
            watched: BTreeSet::new(),
            replies: BTreeMap::new(),
        }
    }

    fn into_input(self) -> Input {
        let Keeper { schedule_id, request_id, definition, state, .. } = self;
        Input { schedule_id, request_id, definition, paused: None, state: Some(state) }
    }

    fn show(&self) {
        self.cx.publish(&Shown {
            schedule_id: self.schedule_id.clone(),
            definition: self.definition.clone(),
            state: self.state.clone(),
        });
    }

    /// Whether times pass without anything being started by themselves.
    fn is_resting(&self) -> bool {
        self.state.paused.is_some() || self.definition.remaining_actions == Some(0)
    }

    fn is_busy(&self) -> bool {
        !self.state.running.is_empty() || !self.state.ready.is_empty() || self.starting > 0
    }

    /// Does everything that can be done now.
    async fn advance(&mut self) -> Result<(), Failure> {
        self.take_due().await?;
        if !self.state.waiting.is_empty() {
            self.place(Vec::new());
        }
        self.launch();
        Ok(())
    }

    /// Deals with all firings whose time has come.
    async fn take_due(&mut self) -> Result<(), Failure> {
        while !self.is_resting() && self.state.ready.len() < MAX_READY {
            let now_ms = self.cx.now_ms();
            match &self.next {
                Next::Never => break,
                Next::At(firing) if firing.at_ms > now_ms => break,
                Next::Unknown | Next::At(_) => {}
            }
            let due = self.look(self.definition.policies.catch_up_ms).await?;
            self.look_after_runs(&due).await?;
            self.place(due);
        }
        Ok(())
    }

    /// Asks the calendar for what has come due within the window. A calendar that cannot be read pauses the schedule.
    async fn look(&mut self, catch_up_ms: i64) -> Result<Vec<Pending>, Failure> {
        let look = LookAtCalendar {
            schedule_id: self.schedule_id.clone(),
            spec: self.definition.spec.clone(),
            catch_up_ms,
            cursor_ms: self.state.cursor_ms,
            now_ms: self.cx.now_ms(),
        };
        let look = match self.cx.step(look).await {
            Ok(look) => look,
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => {
                self.pause_itself(&format!("its times cannot be told: {failure}"));
                return Ok(Vec::new());
            }
        };
        self.state.counts.missed += look.missed;
        self.state.cursor_ms = look.cursor_ms;
        self.next = match look.next {
            _ if !look.is_complete => Next::Unknown,
            Some(firing) => Next::At(firing),
            None => Next::Never,
        };
        let overlap = self.definition.policies.overlap;
        let pending = |firing: &Firing| Pending {
            nominal_ms: firing.nominal_ms,
            source: Source::Schedule,
            overlap,
        };
        Ok(look.due.iter().map(pending).collect())
    }

    /// Decides on firings, and again on those that wait. Begins nothing yet.
    fn place(&mut self, firings: Vec<Pending>) -> Decision {
        let is_paused = self.state.paused.is_some();
        let all = std::mem::take(&mut self.state.waiting).into_iter().chain(firings);
        // A pause holds what the clock asks for, in its order.
        let (mut held, open): (Vec<_>, Vec<_>) =
            all.partition(|firing| is_paused && !firing.is_manual());
        let mut decision = decide(open, self.is_busy());
        decision.start.retain(|firing| self.take_action(firing));
        self.state.counts.skipped += decision.skipped.len() as u64;
        self.state.ready.extend(&decision.start);
        held.extend(&decision.wait);
        self.state.waiting = held;
        if let Some(stop) = decision.stop {
            self.stop_running(stop);
        }
        decision
    }

    /// Counts a start against the limit, if there is one; false if it is exhausted.
    fn take_action(&mut self, firing: &Pending) -> bool {
        match &mut self.definition.remaining_actions {
            Some(left) if !firing.is_manual() => {
                let is_left = *left > 0;
                *left = left.saturating_sub(1);
                is_left
            }
            _ => true,
        }
    }

    fn pause_itself(&mut self, why: &str) {
        if self.state.paused.is_none() {
            self.state.paused = Some(format!("paused itself: {why}"));
        }
    }

    async fn wait(&mut self, commands: &mut Updates<Command>) -> Result<Happening, Failure> {
        self.set_timer();
        let Keeper { timer, in_flight, .. } = self;
        tokio::select! {
            biased;
            Some(done) = in_flight.next(), if !in_flight.is_empty() => Ok(Happening::Done(done)),
            told = commands.receive() => Ok(Happening::Told(told?)),
            due = async { match timer {
                Some((_, timer)) => timer.await,
                None => std::future::pending().await,
            } } => {
                self.timer = None;
                due.map(|()| Happening::Due)
            }
        }
    }

    /// One timer at most, and the same one for as long as the time is the same.
    fn set_timer(&mut self) {
        let wanted = match &self.next {
            Next::At(firing) if !self.is_resting() => Some(firing.at_ms),
            _ => None,
        };
        if self.timer.as_ref().map(|(at_ms, _)| *at_ms) != wanted {
            self.timer = wanted.map(|at_ms| (at_ms, self.cx.timer_at(at_ms)));
        }
    }
}
