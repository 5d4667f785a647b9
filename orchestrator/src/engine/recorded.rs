//! Histories as text: what golden histories are kept in, and what a replay check reads.
//!
//! The first line is the run's id; then one line for each event: its place, its time, its kind and its bytes in hexadecimal. Only the bytes count; the rest is
//! for those who read a diff.

use prost::Message;

use super::error::Misfit;
use super::event::{Body, Event};
use super::ids::RunId;
use super::registry::Registry;
use super::run::{Phase, replay};

/// Writes a history as text.
pub fn to_text(run_id: RunId, history: &[Event]) -> String {
    let mut text = format!("run\t{run_id}\n");
    for (sequence, event) in history.iter().enumerate() {
        let kind = event.body.as_ref().map_or("Unknown", Body::kind);
        let bytes = hex::encode(event.encode_to_vec());
        text.push_str(&format!("{sequence}\t{}\t{kind}\t{bytes}\n", event.time_ms));
    }
    text
}

/// Reads a run's id and its history from text.
///
/// # Errors
/// The number of the line that is wrong, from 1, and why.
pub fn from_text(text: &str) -> Result<(RunId, Vec<Event>), String> {
    let mut lines = text.lines();
    let id = lines.next().and_then(|line| line.strip_prefix("run\t"));
    let id = id.ok_or("line 1: it does not name the run")?;
    let run_id = id.parse().map(RunId).map_err(|error: uuid::Error| format!("line 1: {error}"))?;
    let events = lines
        .enumerate()
        .map(|(index, line)| read(line).map_err(|why| format!("line {}: {why}", index + 2)));
    Ok((run_id, events.collect::<Result<_, _>>()?))
}

fn read(line: &str) -> Result<Event, String> {
    let bytes = line.rsplit('\t').next().unwrap_or_default();
    let bytes = hex::decode(bytes).map_err(|error| error.to_string())?;
    Event::decode(bytes.as_slice()).map_err(|error| error.to_string())
}

/// Where and how a build does not fit a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The first event that does not fit, from 0; the number of events if the code wants to go on where they end.
    pub event: u64,
    /// How.
    pub misfit: Misfit,
}

/// Holds this build's workflows against a history. Nothing is run or written.
///
/// # Errors
/// How they do not fit.
pub fn check(registry: &Registry, run_id: RunId, history: &[Event]) -> Result<(), Misfit> {
    examine(registry, run_id, history).map_err(|unfit| unfit.misfit)
}

/// Like [`check`], and tells at which event.
///
/// # Errors
/// Where and how they do not fit.
pub fn examine(registry: &Registry, run_id: RunId, history: &[Event]) -> Result<(), Unfit> {
    let workflow_id = match history.first().and_then(|event| event.body.as_ref()) {
        Some(Body::Started(started)) => started.workflow_id.as_str(),
        _ => "",
    };
    let replayed = replay(registry, run_id, workflow_id.into(), history, 0);
    match &replayed.run.phase {
        Phase::Stuck(misfit) => Err(Unfit { event: replayed.at, misfit: misfit.clone() }),
        _ => Ok(()),
    }
}
