//! What one node says is what the other one hears.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use souk_proto::workflow::v1::{AskRequest, AskResponse};
use uuid::Uuid;

use super::{reply, request};
use crate::engine::attribute::Value;
use crate::engine::engine::{ChildEnd, HistoryEvent, Started, WasReset};
use crate::engine::event::{Body, Event, Parent, Started as StartedEvent};
use crate::engine::ids::RunId;
use crate::engine::lineage::IdReuse;
use crate::engine::partition::Partition;
use crate::engine::peers::{Control, PeerCall, PeerReply, PeerRequest};
use crate::engine::reset::{ResetPoint, ResetRequest};
use crate::engine::row::{RunRow, RunState};
use crate::engine::{Error, Failure, Outcome, ParentClose, StartRequest};

fn run_id() -> RunId {
    RunId(Uuid::from_u128(7))
}

fn parent() -> Parent {
    Parent {
        workflow_id: "order/1".into(),
        run_id: Bytes::copy_from_slice(run_id().as_bytes()),
        command: 3,
        depth: 2,
    }
}

fn outcome(state: RunState, result: Option<&'static [u8]>, step: Option<&str>) -> Outcome {
    let failure = step.map(|step| Failure {
        code: "DECLINED".into(),
        message: "no money".into(),
        step: (!step.is_empty()).then(|| step.to_owned()),
    });
    Outcome { state, result: result.map(Bytes::from_static), failure }
}

/// There and back, through bytes.
fn asked(request: PeerRequest) -> PeerRequest {
    let call = PeerCall { workflow_id: "order/1/ship/1".into(), request };
    let bytes = request::encode(call).encode_to_vec();
    let heard = request::decode(AskRequest::decode(bytes.as_slice()).unwrap()).unwrap();
    assert_eq!(heard.workflow_id, "order/1/ship/1");
    heard.request
}

fn answered(answer: Result<PeerReply, Error>) -> Result<PeerReply, Error> {
    let bytes = reply::encode(answer).encode_to_vec();
    reply::decode(AskResponse::decode(bytes.as_slice()).unwrap(), "order/1")
}

#[test]
fn every_request_arrives_as_it_was_sent() {
    let start = StartRequest {
        workflow_id: "order/1/ship/1".into(),
        workflow_type: "ship".into(),
        input: Bytes::from_static(b"{}"),
        traceparent: "00-1-2-01".into(),
        id_reuse: IdReuse::AllowIfFailed,
        request_id: "r".into(),
        attributes: [
            ("a".to_owned(), Value::Text("t".into())),
            ("b".to_owned(), Value::Integer(-1)),
            ("c".to_owned(), Value::Flag(true)),
            ("d".to_owned(), Value::TimeMs(1_800_000_000_123)),
        ]
        .into(),
    };
    let child_ended = |outcome| {
        let workflow_id = "order/1/ship/1".into();
        PeerRequest::ChildEnded(Box::new(ChildEnd { workflow_id, parent: parent(), outcome }))
    };
    let reason = || "because".to_owned();
    let requests = [
        PeerRequest::Start { request: Box::new(start.clone()), parent: None },
        PeerRequest::Start { request: Box::new(start), parent: Some(parent()) },
        PeerRequest::EndChild { parent: parent(), how: ParentClose::Cancel },
        PeerRequest::EndChild { parent: parent(), how: ParentClose::Terminate },
        PeerRequest::EndChild { parent: parent(), how: ParentClose::Abandon },
        child_ended(outcome(RunState::Completed, Some(b""), None)),
        child_ended(outcome(RunState::Completed, None, None)),
        child_ended(outcome(RunState::Failed, None, Some("pay"))),
        child_ended(outcome(RunState::Cancelled, None, Some(""))),
        PeerRequest::Signal {
            name: "go".into(),
            signal_id: "1".into(),
            payload: Bytes::from_static(b"null"),
        },
        PeerRequest::Control(Control::Cancel { reason: reason() }),
        PeerRequest::Control(Control::Terminate { reason: reason(), abandon_undo: true }),
        PeerRequest::Control(Control::Pause { reason: reason() }),
        PeerRequest::Control(Control::Resume { reason: reason() }),
        PeerRequest::Control(Control::RetryStep { at: 5 }),
        PeerRequest::Control(Control::SkipStep { at: 6, reason: reason() }),
        PeerRequest::ResetPoint(ResetPoint::LastStep("pay".into())),
        PeerRequest::ResetPoint(ResetPoint::BeforeFailure),
        PeerRequest::Reset(ResetRequest {
            sequence: 4,
            reason: reason(),
            drops_messages: true,
            owed_is_done_again: true,
        }),
        PeerRequest::Describe,
        PeerRequest::Outcome { wait: Duration::from_millis(1_500) },
        PeerRequest::History { run_id: run_id(), from: u64::MAX },
        PeerRequest::Query { name: "state".into() },
    ];
    for request in requests {
        let sent = format!("{request:?}");
        assert_eq!(format!("{:?}", asked(request)), sent);
    }
}

#[test]
fn every_answer_arrives_as_it_was_given() {
    let event = |sequence| {
        let body = Some(Body::Started(Box::default()));
        HistoryEvent { sequence, event: Event { body, ..Event::default() } }
    };
    let row =
        RunRow { workflow_id: "order/1".into(), answer: Some(Bytes::new()), ..RunRow::default() };
    let replies = [
        PeerReply::Done,
        PeerReply::Started(Started { run_id: run_id(), is_new: true }),
        PeerReply::Signalled(true),
        PeerReply::Sequence(9),
        PeerReply::Reset(WasReset { run_id: run_id(), kept: 3 }),
        PeerReply::Row(Box::new(row)),
        PeerReply::Outcome(None),
        PeerReply::Outcome(Some(outcome(RunState::Continued, None, None))),
        PeerReply::Outcome(Some(outcome(RunState::Terminated, Some(b"1"), Some("s")))),
        PeerReply::Events(vec![]),
        PeerReply::Events(vec![event(4), event(5)]),
        PeerReply::View(Bytes::from_static(b"[]")),
    ];
    for reply in replies {
        let given = format!("{reply:?}");
        assert_eq!(format!("{:?}", answered(Ok(reply)).unwrap()), given);
    }
}

#[test]
fn a_long_history_is_answered_in_parts_of_at_least_one_event() {
    let event = |sequence| {
        let input = vec![b' '; 1_500_000].into();
        let body = Some(Body::Started(Box::new(StartedEvent { input, ..StartedEvent::default() })));
        HistoryEvent { sequence, event: Event { body, ..Event::default() } }
    };
    let Ok(PeerReply::Events(part)) = answered(Ok(PeerReply::Events(vec![event(0), event(1)])))
    else {
        panic!("events are answered with events")
    };
    assert_eq!(part.iter().map(|event| event.sequence).collect::<Vec<_>>(), [0]);
}

#[test]
fn refusals_mean_the_same_on_both_sides() {
    let id = || "order/1".to_owned();
    let refusals = [
        Error::UnknownType("ship".into()),
        Error::InvalidInput { what: "ship".into(), problem: "no address".into() },
        Error::Conflict { workflow_id: id() },
        Error::NotFound(id()),
        Error::Closed { workflow_id: id(), state: RunState::Cancelled },
        Error::OpenUndo { open_undo: 2 },
        Error::NotParked(id()),
        Error::Paused(id()),
        Error::Stuck { code: "SOUK-0001".into(), message: "differs".into() },
        Error::CannotReset { sequence: 3, problem: "not there".into() },
        Error::NoResetPoint("no step has failed".into()),
        Error::NotPublished("state".into()),
        Error::NotOwner { partition: Partition::of("order/1"), owner: None },
    ];
    for refusal in refusals {
        let given = format!("{refusal:?}");
        assert_eq!(format!("{:?}", answered(Err(refusal)).unwrap_err()), given);
    }
    let too_large = Error::TooLarge { what: "the input", actual: 9, limit: 8 };
    assert!(matches!(answered(Err(too_large)), Err(Error::InvalidInput { .. })));
    assert!(matches!(answered(Err(Error::Overloaded("much"))), Err(Error::Overloaded(_))));
}

#[test]
fn nobody_takes_the_end_of_another_node_for_their_own() {
    for end in [Error::Fenced, Error::ShuttingDown, Error::PeerUnreachable("gone".into())] {
        assert!(matches!(answered(Err(end)), Err(Error::PeerUnreachable(_))));
    }
    let nothing = reply::decode(AskResponse::default(), "order/1");
    assert!(matches!(nothing, Err(Error::PeerUnreachable(_))));
    assert!(request::decode(AskRequest::default()).is_err());
}
