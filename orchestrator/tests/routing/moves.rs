//! Owners that change, die, or are not known: latency for clients, and nothing else.

use std::time::Duration;

use futures::StreamExt;
use souk_mesh::context::with_deadline;
use souk_mesh::error::{reason_of, retry_after_of};
use souk_orchestrator::routing::{MAX_FORWARDS, Whose};
use souk_proto::workflow::v1::{GetWorkflowHistoryRequest, ResetWorkflowRequest};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::nodes::{EVENTS, Node, PATIENCE, Staff};

const RUN: &str = "order/1";

fn at(node: &Node) -> Whose {
    Whose::At(node.address.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_passes_the_request_on() {
    let [near, before, owner] = Node::several().await;
    near.beliefs.set(RUN, at(&before));
    before.beliefs.set(RUN, at(&owner));
    owner.beliefs.set(RUN, Whose::Here);
    near.staff().signal(RUN).await.unwrap();
    assert_eq!(owner.asked()[0].forwards.as_deref(), Some("2"));
    assert!(before.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_believe_in_each_other_do_not_send_a_request_round_and_round() {
    let [near, other] = Node::several().await;
    near.beliefs.set(RUN, at(&other));
    other.beliefs.set(RUN, at(&near));
    let staff = near.staff();
    let began = Instant::now();
    let limit = Duration::from_secs(1);
    let refused = with_deadline(limit, staff.signal(RUN)).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("NOT_OWNER"), "{refused:?}");
    assert!(retry_after_of(&refused).is_some());
    assert!(began.elapsed() < limit, "the refusal arrives before the deadline");
    assert!(near.asked().is_empty() && other.asked().is_empty());

    // Once one of them knows better, it is served.
    let (call, ()) = tokio::join!(near.staff_signal(), async {
        sleep(Duration::from_millis(100)).await;
        other.beliefs.set(RUN, Whose::Here);
    });
    call.unwrap();
    let forwards: u32 = other.asked()[0].forwards.as_deref().unwrap().parse().unwrap();
    assert!(forwards <= MAX_FORWARDS);
}

impl Node {
    async fn staff_signal(&self) -> Result<(), Status> {
        self.staff().signal(RUN).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_while_its_run_moves() {
    let [near, before, after] = Node::several().await;
    near.beliefs.set(RUN, at(&before));
    before.beliefs.set(RUN, Whose::Moving);
    let staff = near.staff();
    let call = tokio::spawn(async move { staff.signal(RUN).await });
    sleep(Duration::from_millis(200)).await;
    assert!(!call.is_finished());
    after.beliefs.set(RUN, Whose::Here);
    near.beliefs.set(RUN, at(&after));
    timeout(PATIENCE, call).await.unwrap().unwrap().unwrap();
    assert_eq!(after.asked().len(), 1);
    assert!(before.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_has_just_given_the_run_up_is_asked_again_or_its_successor() {
    let [near, owner] = Node::several().await;
    near.beliefs.set(RUN, Whose::Here);
    near.refuse(2);
    near.staff_signal().await.unwrap();
    assert_eq!(near.asked().len(), 3);
    near.beliefs.set(RUN, at(&owner));
    owner.beliefs.set(RUN, Whose::Here);
    owner.refuse(1);
    near.staff_signal().await.unwrap();
    assert_eq!(owner.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_serves_is_unavailable_before_the_deadline_and_says_when_to_ask_again() {
    let [near] = Node::several().await;
    near.beliefs.set(RUN, Whose::Moving);
    let staff = near.staff();
    let began = Instant::now();
    let limit = Duration::from_secs(1);
    let refused = with_deadline(limit, staff.signal(RUN)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason_of(&refused).as_deref()),
        (Code::Unavailable, Some("NOT_OWNER"))
    );
    assert!(retry_after_of(&refused).is_some());
    assert!(began.elapsed() < limit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_died_is_waited_for_until_there_is_another() {
    let [near, dead, after] = Node::several().await;
    near.beliefs.set(RUN, at(&dead));
    dead.platform.tasks.drain(PATIENCE).await.unwrap();
    let staff = near.staff();
    let call = tokio::spawn(async move { staff.signal(RUN).await });
    sleep(Duration::from_millis(200)).await;
    assert!(!call.is_finished());
    after.beliefs.set(RUN, Whose::Here);
    near.beliefs.set(RUN, at(&after));
    timeout(PATIENCE, call).await.unwrap().unwrap().unwrap();
}

/// A stub that took the call and will never answer, and is torn down.
async fn torn_while_serving(owner: &Node, asked: usize) {
    owner.never_answer();
    let came = async {
        while owner.asked().len() < asked {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, came).await.unwrap();
    // The drain's limit is soon over: connections are cut with calls under way.
    owner.platform.tasks.drain(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_its_owner_may_have_served_is_repeated_only_where_that_does_no_harm() {
    let [near, first, second, after] = Node::several().await;
    after.beliefs.set(RUN, Whose::Here);
    let reset = |staff: Staff| async move {
        let request = ResetWorkflowRequest {
            request_id: uuid::Uuid::from_u128(2).to_string(),
            workflow_id: RUN.into(),
            reason: "tested".into(),
            sequence: 1,
            ..ResetWorkflowRequest::default()
        };
        staff.client.clone().reset_workflow(staff.request(request)).await
    };
    first.beliefs.set(RUN, Whose::Here);
    near.beliefs.set(RUN, at(&first));
    let (call, ()) = tokio::join!(reset(near.staff()), async {
        torn_while_serving(&first, 1).await;
        near.beliefs.set(RUN, at(&after));
    });
    let broken = call.unwrap_err();
    assert_eq!(reason_of(&broken).as_deref(), Some("CONNECTION_LOST"), "{broken:?}");
    assert!(after.asked().is_empty(), "it may have been done");

    second.beliefs.set(RUN, Whose::Here);
    near.beliefs.set(RUN, at(&second));
    let (call, ()) = tokio::join!(near.staff_signal(), async {
        torn_while_serving(&second, 1).await;
        near.beliefs.set(RUN, at(&after));
    });
    call.unwrap();
    assert_eq!(after.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_passed_on_and_resumed_when_its_run_moves() {
    let [near, before, after] = Node::several().await;
    near.beliefs.set(RUN, at(&before));
    before.beliefs.set(RUN, Whose::Here);
    before.break_streams_after(4);
    after.beliefs.set(RUN, Whose::Here);
    let staff = near.staff();
    let follow = |from_sequence: i64| {
        let staff = staff.clone();
        async move {
            let request = GetWorkflowHistoryRequest {
                workflow_id: RUN.into(),
                from_sequence,
                follow: true,
                ..GetWorkflowHistoryRequest::default()
            };
            let request = staff.request(request);
            staff.client.clone().get_workflow_history(request).await.unwrap().into_inner()
        }
    };
    let mut seen = Vec::new();
    let mut stream = follow(0).await;
    let moved = loop {
        match stream.next().await.unwrap() {
            Ok(message) => seen.push(message.events[0].sequence),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (moved.code(), reason_of(&moved).as_deref()),
        (Code::Unavailable, Some("NOT_OWNER"))
    );
    assert!(retry_after_of(&moved).is_some());

    near.beliefs.set(RUN, at(&after));
    let rest = follow(seen.last().unwrap() + 1).await;
    let rest: Vec<_> = rest.map(|message| message.unwrap().events[0].sequence).collect().await;
    seen.extend(rest);
    assert_eq!(seen, (1..=EVENTS).collect::<Vec<_>>());
}
