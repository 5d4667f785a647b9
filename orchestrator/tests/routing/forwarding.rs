//! What goes along with a request that is passed on, and what stays where it is.

use std::time::Duration;

use souk_mesh::context::{CallContext, TraceContext, with_deadline};
use souk_mesh::error::reason_of;
use souk_orchestrator::routing::Whose;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{ListWorkflowsRequest, SignalWorkflowRequest};
use tonic::Code;

use super::nodes::{Node, STAFF, signal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_the_owner_with_its_caller_its_trace_and_its_deadline() {
    let [near, owner] = Node::several().await;
    near.beliefs.set("order/1", Whose::At(owner.address.clone()));
    owner.beliefs.set("order/1", Whose::Here);
    let staff = near.staff();
    let trace = TraceContext::new_root();
    let context = CallContext { trace, deadline: None };
    let limit = Duration::from_secs(3);
    let call = async { with_deadline(limit, staff.signal("order/1")).await };
    context.scope(call).await.unwrap();
    assert!(near.asked().is_empty());
    let [asked] = owner.asked().try_into().unwrap();
    assert_eq!((asked.workflow_id.as_str(), asked.caller), ("order/1", STAFF.to_string()));
    assert_eq!((asked.forwards.as_deref(), asked.trace_id), (Some("1"), trace.trace_id));
    assert!(asked.left.unwrap() <= Duration::from_secs(3));

    // What it serves itself goes nowhere.
    owner.staff().signal("order/1").await.unwrap();
    assert_eq!(owner.asked()[1].forwards, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_the_same_process_is_known_on_the_owner_too() {
    let [near, owner] = Node::several().await;
    near.beliefs.set("order/1", Whose::At(owner.address.clone()));
    owner.beliefs.set("order/1", Whose::Here);
    for name in ["order", "payment", "order"] {
        let channel = near.platform.for_service(name).directory.channel("workflow");
        let called = WorkflowServiceClient::new(channel).signal_workflow(signal("order/1")).await;
        called.unwrap();
    }
    let callers: Vec<String> = owner.asked().into_iter().map(|asked| asked.caller).collect();
    assert_eq!(callers, ["service:order", "service:payment", "service:order"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_call_is_refused_where_they_call() {
    let [near, owner] = Node::several().await;
    near.beliefs.set("order/1", Whose::At(owner.address.clone()));
    owner.beliefs.set("order/1", Whose::Here);
    let nobody = near.platform.directory.forwarding_channel("workflow");
    let refused = WorkflowServiceClient::new(nobody).signal_workflow(signal("order/1")).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert!(owner.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_means_no_run_is_served_by_every_node() {
    let [near, _] = Node::several().await;
    let staff = near.staff();
    let list = staff.request(ListWorkflowsRequest::default());
    staff.client.clone().list_workflows(list).await.unwrap();
    assert_eq!(near.asked().len(), 1);
    // And what is wrong with a request is said where it comes to.
    let nameless = staff.request(SignalWorkflowRequest::default());
    let refused = staff.client.clone().signal_workflow(nameless).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_too_large_is_refused_before_it_goes_anywhere() {
    let [near, owner] = Node::several().await;
    near.beliefs.set("order/1", Whose::At(owner.address.clone()));
    let staff = near.staff();
    let payload = vec![b' '; 5 * 1024 * 1024].into();
    let large = staff.request(SignalWorkflowRequest { payload, ..signal("order/1") });
    let refused = staff.client.clone().signal_workflow(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason_of(&refused).as_deref(), Some("MESSAGE_TOO_LARGE"));
}
