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
//! 6. **Children know their parent's run.** A run is reset only to where it has none that is open, has started none since, and
//!    has undone none; a run that has ended and whose parent was told so is not reset.

mod point;
mod survey;

use bytes::Bytes;

use super::error::Error;
use super::event::{Body, Event, Occurrence, Reset};
use super::limits::MAX_DROPPED_STEPS;
use survey::Survey;

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

/// Finds out what a reset does, or why it cannot be.
///
/// # Errors
/// [`Error::CannotReset`], [`Error::TooLarge`].
pub(crate) fn plan(history: &[Event], request: &ResetRequest) -> Result<Plan, Error> {
    let kept = target(history, request.sequence)?;
    let mut survey = Survey::of(kept);
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
