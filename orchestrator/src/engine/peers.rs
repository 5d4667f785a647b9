//! What the engine asks of other nodes: calls to runs whose partition another node serves.
//!
//! The engine knows nothing of how nodes speak with each other; it is given [`Peers`]. Whoever takes a [`PeerCall`] in
//! hands it to [`Engine::serve_peer`](super::engine::Engine::serve_peer), which does it on that node or refuses with [`Error::NotOwner`], and forwards
//! nothing: the caller looks again who the owner is. Every call may be repeated: it changes nothing the second time, or
//! says what has become of it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::cell::Outcome;
use super::engine::{ChildEnd, HistoryEvent, StartRequest, Started, WasReset};
use super::error::Error;
use super::event::{Parent, ParentClose};
use super::ids::RunId;
use super::ownership::Owner;
use super::reset::{ResetPoint, ResetRequest};
use super::row::RunRow;

/// The way to other nodes.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Has a node do something, and waits for what it says.
    ///
    /// # Errors
    /// What the node answers, as it is; [`Error::PeerUnreachable`] if it does not: it may have been done or not.
    async fn call(&self, owner: &Owner, call: PeerCall) -> Result<PeerReply, Error>;
}

/// Something that is to happen to the run under a workflow id, or to be told of it.
#[derive(Clone, Debug)]
pub struct PeerCall {
    /// The workflow id: its partition says who is asked.
    pub workflow_id: String,
    /// What.
    pub request: PeerRequest,
}

/// See [`PeerCall`]. The answer to each is the [`PeerReply`] that it names.
#[derive(Clone, Debug)]
pub enum PeerRequest {
    /// [`Engine::start`](super::engine::Engine::start), for a parent if there is one; `Started`.
    Start {
        /// Under the call's workflow id.
        request: Box<StartRequest>,
        /// Which command starts it.
        parent: Option<Parent>,
    },
    /// The child of a command is to end, if it has not; `Done`.
    EndChild {
        /// Which command started it.
        parent: Parent,
        /// In which way.
        how: ParentClose,
    },
    /// The run is the parent of one that has ended; `Done`.
    ChildEnded(Box<ChildEnd>),
    /// [`Engine::signal`](super::engine::Engine::signal); `Signalled`.
    Signal {
        /// The signal's name.
        name: String,
        /// A repetition is recognised by it.
        signal_id: String,
        /// JSON.
        payload: Bytes,
    },
    /// What people do to runs; `Done`.
    Control(Control),
    /// [`Engine::reset_point`](super::engine::Engine::reset_point); `Sequence`.
    ResetPoint(ResetPoint),
    /// [`Engine::reset`](super::engine::Engine::reset); `Reset`.
    Reset(ResetRequest),
    /// The row of the newest run, as far as it is durable; `Row`.
    Describe,
    /// [`Engine::outcome`](super::engine::Engine::outcome); `Outcome`.
    Outcome {
        /// For how long to wait for it.
        wait: Duration,
    },
    /// Events of a run so far; `Events`. Some of them, at least one if there is one.
    History {
        /// Which of the runs under the workflow id.
        run_id: RunId,
        /// The first one wanted, from 0.
        from: u64,
    },
    /// [`Engine::query`](super::engine::Engine::query) of the newest run; `View`.
    Query {
        /// The view's name.
        name: String,
    },
}

/// What people do to runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// [`Engine::cancel`](super::engine::Engine::cancel).
    Cancel {
        /// Why.
        reason: String,
    },
    /// [`Engine::terminate`](super::engine::Engine::terminate).
    Terminate {
        /// Why.
        reason: String,
        /// What it did stays done.
        abandon_undo: bool,
    },
    /// [`Engine::pause`](super::engine::Engine::pause).
    Pause {
        /// Why.
        reason: String,
    },
    /// [`Engine::resume`](super::engine::Engine::resume).
    Resume {
        /// Why.
        reason: String,
    },
    /// [`Engine::retry_step_at`](super::engine::Engine::retry_step_at).
    RetryStep {
        /// The command at which it is parked.
        at: u64,
    },
    /// [`Engine::skip_step_at`](super::engine::Engine::skip_step_at).
    SkipStep {
        /// The command at which it is parked.
        at: u64,
        /// Why.
        reason: String,
    },
}

/// What a node answers.
#[derive(Clone, Debug)]
pub enum PeerReply {
    /// It is done, durably.
    Done,
    /// The run.
    Started(Started),
    /// Whether the signal was new to the run.
    Signalled(bool),
    /// An event of the history, from 0.
    Sequence(u64),
    /// What the reset made.
    Reset(WasReset),
    /// The row.
    Row(Box<RunRow>),
    /// How the run has ended; `None` if it goes on.
    Outcome(Option<Outcome>),
    /// Consecutive events; none: there are no more yet.
    Events(Vec<HistoryEvent>),
    /// The view: JSON.
    View(Bytes),
}
