//! The runs under one workflow id: whether a start begins another one, and how they are told apart.
//!
//! A run that continues as new has several turns, which are one run to all who deal with it. An id that is used again has
//! several *generations*. The effect keys of a generation that was begun by such a start carry the id of its first run, so
//! that they are never those of another generation, whatever has been deleted meanwhile.

use bytes::Bytes;
use prost::Message;

use super::error::Error;
use super::ids::RunId;
use super::limits::MAX_REMEMBERED_STARTS;
use super::row::{RunRow, RunState};

/// What becomes of a start under a workflow id that has a run already. However it is, a repetition of a request (the same
/// request id) joins the run that the request began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdReuse {
    /// An equal start (type and input) joins the newest run, open or closed; another one is refused.
    #[default]
    Join,
    /// Begins another run if the newest one has ended, however it did. Joins an open one, if the start is equal.
    AllowIfClosed,
    /// Begins another run if the newest one has failed, or was cancelled or terminated. Joins any other, if the start is
    /// equal.
    AllowIfFailed,
    /// Begins another run in any case. An open one is terminated in the same commit: refused while it has open undo,
    /// which only a cancellation sees to.
    TerminateIfOpen,
}

impl IdReuse {
    fn allows(self, newest: RunState) -> bool {
        match self {
            IdReuse::Join => false,
            IdReuse::AllowIfClosed => newest.is_closed(),
            IdReuse::AllowIfFailed => {
                matches!(newest, RunState::Failed | RunState::Cancelled | RunState::Terminated)
            }
            IdReuse::TerminateIfOpen => true,
        }
    }
}

/// Which of the runs under a workflow id a run is. Absent of those that a plain start began.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Lineage {
    /// How often the id is used, with this time, as far as it is known; from 1.
    #[prost(uint32, tag = "1")]
    pub generation: u32,
    /// The generation's first turn: sixteen bytes. It marks the effect keys.
    #[prost(bytes = "bytes", tag = "2")]
    pub first_run_id: Bytes,
    /// The id of the request that began it.
    #[prost(string, tag = "3")]
    pub request_id: String,
    /// The newest run under the id before it: sixteen bytes; empty if there was none.
    #[prost(bytes = "bytes", tag = "4")]
    pub previous_run_id: Bytes,
    /// The starts before it, the last last, as many as are remembered.
    #[prost(message, repeated, tag = "5")]
    pub earlier: Vec<EarlierStart>,
}

/// A request that began an earlier generation.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EarlierStart {
    /// Its id.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// The first turn of what it began: sixteen bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub run_id: Bytes,
}

impl Lineage {
    /// Of the run that a request begins, behind the newest one under its id.
    pub(crate) fn next(run_id: RunId, request_id: &str, newest: Option<&Newest<'_>>) -> Lineage {
        let before = newest.and_then(|newest| newest.lineage);
        let mut earlier = before.map(|before| before.earlier.clone()).unwrap_or_default();
        earlier.extend(before.map(|before| EarlierStart {
            request_id: before.request_id.clone(),
            run_id: before.first_run_id.clone(),
        }));
        earlier.drain(..earlier.len().saturating_sub(MAX_REMEMBERED_STARTS));
        let generation = newest.map_or(0, |newest| generation(newest.lineage));
        Lineage {
            generation: generation.saturating_add(1),
            first_run_id: Bytes::copy_from_slice(run_id.as_bytes()),
            request_id: request_id.to_owned(),
            previous_run_id: newest
                .map(|newest| Bytes::copy_from_slice(newest.run_id.as_bytes()))
                .unwrap_or_default(),
            earlier,
        }
    }
}

/// Which use of the workflow id it is, from 1.
pub fn generation(lineage: Option<&Lineage>) -> u32 {
    lineage.map_or(1, |lineage| lineage.generation)
}

/// What the effect keys of a run have behind the occurrence. No plain key ends in it: they end in a number.
pub(crate) fn effect_mark(lineage: Option<&Lineage>) -> String {
    lineage.map(|lineage| format!(".{}", hex::encode(&lineage.first_run_id))).unwrap_or_default()
}

/// Whether two runs under one workflow id are turns of the same one.
pub(crate) fn is_same(one: Option<&Lineage>, other: Option<&Lineage>) -> bool {
    let first = |lineage: Option<&Lineage>| lineage.map(|lineage| lineage.first_run_id.clone());
    first(one) == first(other)
}

/// What is known of the newest run under a workflow id.
pub(crate) struct Newest<'a> {
    pub run_id: RunId,
    pub state: RunState,
    pub fingerprint: &'a Bytes,
    pub lineage: Option<&'a Lineage>,
}

impl<'a> Newest<'a> {
    pub fn of_row(row: &'a RunRow) -> Newest<'a> {
        Newest {
            run_id: row.id(),
            state: row.state(),
            fingerprint: &row.input_fingerprint,
            lineage: row.lineage.as_ref(),
        }
    }
}

/// What a start comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It joins the newest run.
    Join,
    /// It is a repetition, and joins what began then: the first turn of an earlier generation.
    JoinEarlier(RunId),
    /// It begins another run; the newest, if it is open, ends first.
    Begin,
}

/// Decides what a start comes to.
pub(crate) fn judge(
    workflow_id: &str,
    id_reuse: IdReuse,
    request_id: &str,
    fingerprint: &Bytes,
    newest: &Newest<'_>,
) -> Result<Verdict, Error> {
    let same = || match newest.fingerprint == fingerprint {
        true => Ok(Verdict::Join),
        false => Err(Error::Conflict { workflow_id: workflow_id.to_owned() }),
    };
    if let Some(lineage) = newest.lineage.filter(|_| id_reuse != IdReuse::Join) {
        if lineage.request_id == request_id {
            return same();
        }
        let earlier = lineage.earlier.iter().rev().find(|start| start.request_id == request_id);
        if let Some(run_id) = earlier.and_then(|start| RunId::from_slice(&start.run_id)) {
            return Ok(Verdict::JoinEarlier(run_id));
        }
    }
    if id_reuse.allows(newest.state) { Ok(Verdict::Begin) } else { same() }
}
