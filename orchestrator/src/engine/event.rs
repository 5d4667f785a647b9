//! The events of which a history consists, and their wire form.
//!
//! Two kinds: *observations*, which come from outside and make the workflow go on, and *decisions*, which the workflow
//! made in answer. An observation and all its decisions are one commit. Replay feeds the observations to the function
//! and holds what it decides against the recorded decisions.
//!
//! Payloads are JSON bytes. Tags are never reused: histories outlive builds.

use prost::Message;

mod body;
mod child;
mod reset;

pub use body::*;
pub use child::*;
pub use reset::*;

/// One event of a run. Its sequence number is its place in the history, from 0.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// When it was recorded, in unix milliseconds; never before the event in front of it.
    #[prost(int64, tag = "1")]
    pub time_ms: i64,
    /// What happened.
    #[prost(
        oneof = "Body",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40, 43, 44, 45"
    )]
    pub body: Option<Body>,
}

/// What happened.
#[derive(Clone, PartialEq, prost::Oneof)]
#[allow(clippy::large_enum_variant)] // events are taken in one at a time, and not kept
pub enum Body {
    /// Observation: the run was started.
    #[prost(message, boxed, tag = "2")]
    Started(Box<Started>),
    /// Observation: a step has a result.
    #[prost(message, tag = "3")]
    StepCompleted(StepCompleted),
    /// Note: an attempt of a step or a compensation failed and will be repeated.
    #[prost(message, tag = "4")]
    AttemptFailed(AttemptFailed),
    /// Observation: a step has failed for good.
    #[prost(message, tag = "5")]
    StepFailed(StepFailed),
    /// Observation: a timer is due.
    #[prost(message, tag = "6")]
    TimerFired(TimerFired),
    /// Observation: a signal has come.
    #[prost(message, tag = "7")]
    SignalReceived(MessageReceived),
    /// Observation: a validated update has come.
    #[prost(message, tag = "8")]
    UpdateAccepted(MessageReceived),
    /// Observation: someone wants the run to end.
    #[prost(message, tag = "9")]
    CancelRequested(CancelRequested),
    /// Observation: a compensation has done its work.
    #[prost(message, tag = "10")]
    UndoSucceeded(UndoOutcome),
    /// Observation: a compensation has exhausted its retries.
    #[prost(message, tag = "11")]
    UndoParked(UndoParked),
    /// Observation: someone had the parked compensation tried again.
    #[prost(message, tag = "12")]
    UndoRetried(UndoOutcome),
    /// Observation: someone had the parked compensation passed over.
    #[prost(message, tag = "13")]
    UndoSkipped(UndoSkipped),
    /// Note: the workflow's code does not fit. What is observed from here on waits for [`Body::Resumed`].
    #[prost(message, tag = "14")]
    Stuck(Stuck),
    /// Note: a build that fits has taken the run up again; the decisions that were outstanding follow.
    #[prost(message, tag = "15")]
    Resumed(Resumed),
    /// Note: how far a long step has come.
    #[prost(message, tag = "16")]
    Progressed(Progressed),
    /// Observation: someone has paused the run. What is observed from here on waits for [`Body::Unpaused`].
    #[prost(message, tag = "17")]
    Paused(Paused),
    /// Observation: someone has let the run go on.
    #[prost(message, tag = "18")]
    Unpaused(Unpaused),
    /// Decision: do a step.
    #[prost(message, tag = "20")]
    StepScheduled(StepScheduled),
    /// Decision: no longer wait for a step.
    #[prost(message, tag = "21")]
    StepAbandoned(CommandGivenUp),
    /// Decision: wake me at a time.
    #[prost(message, tag = "22")]
    TimerSet(TimerSet),
    /// Decision: no longer wait for a timer.
    #[prost(message, tag = "23")]
    TimerGivenUp(CommandGivenUp),
    /// Decision: an undo without a step in front of it.
    #[prost(message, tag = "24")]
    UndoOwed(UndoOwed),
    /// Decision: the answer to those who started the run.
    #[prost(message, tag = "25")]
    Answered(Answered),
    /// Decision: this run follows this version of a change of its code.
    #[prost(message, tag = "26")]
    VersionMarked(VersionMarked),
    /// Decision: the answer to an update.
    #[prost(message, tag = "27")]
    UpdateAnswered(UpdateAnswered),
    /// Decision: the function has failed; undo follows.
    #[prost(message, tag = "28")]
    CompensationBegan(CompensationBegan),
    /// Decision: run a compensation.
    #[prost(message, tag = "29")]
    UndoScheduled(UndoScheduled),
    /// Decision: the run has ended.
    #[prost(message, tag = "30")]
    Closed(Closed),
    /// Decision: a round has ended, and what it did stands.
    #[prost(message, tag = "38")]
    RoundEnded(RoundEnded),
    /// Observation: the run was ended by force.
    #[prost(message, tag = "31")]
    Terminated(Terminated),
    /// Decision: the run is found by these values.
    #[prost(message, tag = "40")]
    AttributesSet(AttributesSet),
    /// Observation: a child has been started.
    #[prost(message, tag = "32")]
    ChildStarted(ChildStarted),
    /// Observation: a child has ended, or cannot be started.
    #[prost(message, tag = "33")]
    ChildClosed(ChildClosed),
    /// Decision: start a child.
    #[prost(message, tag = "34")]
    ChildScheduled(ChildScheduled),
    /// Decision: no longer wait for a child.
    #[prost(message, tag = "35")]
    ChildGivenUp(CommandGivenUp),
    /// Decision: the function has returned; its open children are to be asked to end before the run does.
    #[prost(message, tag = "36")]
    EndingBegan(EndingBegan),
    /// Decision: the turn ends once none of its children is being started or asked to end.
    #[prost(message, tag = "37")]
    TurnEnding(TurnEnding),
    /// Observation: someone has had the run begin again from here. What is in front was another run's.
    #[prost(message, tag = "43")]
    Reset(Reset),
    /// Observation: someone has reset the run: another goes on in its place.
    #[prost(message, tag = "44")]
    Superseded(Superseded),
    /// Decision: the function has ended, and what it has not done again since a reset is undone first.
    #[prost(message, tag = "45")]
    LeftoversBegan(LeftoversBegan),
}

impl Body {
    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Started(_) => "Started",
            Body::StepCompleted(_) => "StepCompleted",
            Body::AttemptFailed(_) => "AttemptFailed",
            Body::StepFailed(_) => "StepFailed",
            Body::TimerFired(_) => "TimerFired",
            Body::SignalReceived(_) => "SignalReceived",
            Body::UpdateAccepted(_) => "UpdateAccepted",
            Body::CancelRequested(_) => "CancelRequested",
            Body::UndoSucceeded(_) => "UndoSucceeded",
            Body::UndoParked(_) => "UndoParked",
            Body::UndoRetried(_) => "UndoRetried",
            Body::UndoSkipped(_) => "UndoSkipped",
            Body::Stuck(_) => "Stuck",
            Body::Resumed(_) => "Resumed",
            Body::Progressed(_) => "Progressed",
            Body::Paused(_) => "Paused",
            Body::Unpaused(_) => "Unpaused",
            Body::StepScheduled(_) => "StepScheduled",
            Body::StepAbandoned(_) => "StepAbandoned",
            Body::TimerSet(_) => "TimerSet",
            Body::TimerGivenUp(_) => "TimerGivenUp",
            Body::UndoOwed(_) => "UndoOwed",
            Body::Answered(_) => "Answered",
            Body::VersionMarked(_) => "VersionMarked",
            Body::UpdateAnswered(_) => "UpdateAnswered",
            Body::CompensationBegan(_) => "CompensationBegan",
            Body::UndoScheduled(_) => "UndoScheduled",
            Body::Closed(_) => "Closed",
            Body::Terminated(_) => "Terminated",
            Body::AttributesSet(_) => "AttributesSet",
            Body::RoundEnded(_) => "RoundEnded",
            Body::ChildStarted(_) => "ChildStarted",
            Body::ChildClosed(_) => "ChildClosed",
            Body::ChildScheduled(_) => "ChildScheduled",
            Body::ChildGivenUp(_) => "ChildGivenUp",
            Body::EndingBegan(_) => "EndingBegan",
            Body::TurnEnding(_) => "TurnEnding",
            Body::Reset(_) => "Reset",
            Body::Superseded(_) => "Superseded",
            Body::LeftoversBegan(_) => "LeftoversBegan",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_small_since_each_is_moved_several_times() {
        let bytes = size_of::<Event>();
        assert!(bytes <= 256, "{bytes} bytes");
    }
}
