//! Parents and children as DescribeWorkflow tells them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::cx::Signal;
use souk_orchestrator::engine::step::Irreversible;
use souk_orchestrator::engine::{ChildWorkflow, Cx, Failure, ParentClose, Registry};
use souk_proto::workflow::v1::{
    DescribeWorkflowRequest, OpenChild, ParentClosePolicy, WorkflowDetail, WorkflowState,
};

use crate::workflows::world::World;

#[derive(Serialize, Deserialize)]
struct Parcel {
    policy: ParentClose,
}

impl ChildWorkflow for Parcel {
    const TYPE: &'static str = "parcel";
    type Output = ();
    type Undo = Irreversible;

    fn parent_close(&self) -> ParentClose {
        self.policy
    }
}

#[derive(Serialize, Deserialize)]
struct Go {}

impl Signal for Go {
    const NAME: &'static str = "go";
}

async fn parcel(cx: &Cx, _: Parcel) -> Result<(), Failure> {
    cx.signal::<Go>().await.map(drop)
}

async fn delivery(cx: &Cx, policies: Vec<ParentClose>) -> Result<(), Failure> {
    let mut parcels = Vec::new();
    for policy in policies {
        parcels.push(cx.start_child(Parcel { policy }).await?);
    }
    for mut parcel in parcels {
        parcel.outcome().await?;
    }
    Ok(())
}

async fn describe(world: &World, workflow_id: &str) -> WorkflowDetail {
    let request = DescribeWorkflowRequest { workflow_id: workflow_id.into(), ..Default::default() };
    let described = world.workflows().describe_workflow(world.staff(request)).await.unwrap();
    described.into_inner().workflow.unwrap()
}

fn child(number: u32, policy: ParentClosePolicy) -> OpenChild {
    OpenChild {
        workflow_id: format!("d/parcel/{number}"),
        workflow_type: "parcel".into(),
        parent_close_policy: policy.into(),
        started: true,
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_tells_its_open_children_and_each_of_them_its_parent() {
    let registry = Registry::new().workflow("delivery", delivery).workflow("parcel", parcel);
    let world = World::with(1, registry).await;
    let policies = [ParentClose::Cancel, ParentClose::Terminate, ParentClose::Abandon];
    world.start("d", "delivery", &policies).await.unwrap();
    let open = [
        child(1, ParentClosePolicy::Cancel),
        child(2, ParentClosePolicy::Terminate),
        child(3, ParentClosePolicy::Abandon),
    ];
    // In memory, and then on disk alone.
    for after_s in [1, 600] {
        world.pass(Duration::from_secs(after_s)).await;
        let parent = describe(&world, "d").await;
        assert_eq!(parent.open_children, open);
        assert_eq!((parent.parent_workflow_id.as_str(), parent.parent_run_id.as_str()), ("", ""));
        let told = describe(&world, "d/parcel/2").await;
        assert_eq!(told.parent_workflow_id, "d");
        assert_eq!(told.parent_run_id, parent.summary.unwrap().run_id);
        assert!(told.open_children.is_empty());
    }
    world.environment.signal("d/parcel/1", "go", &Go {}).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(describe(&world, "d").await.open_children, open[1..]);
    for number in 2..=3 {
        let id = format!("d/parcel/{number}");
        world.environment.signal(&id, "go", &Go {}).await.unwrap();
    }
    world.environment.end("d").await;
    let ended = describe(&world, "d").await;
    assert_eq!(ended.summary.unwrap().state(), WorkflowState::Completed);
    assert!(ended.open_children.is_empty());
    // A child knows its parent for ever.
    assert_eq!(describe(&world, "d/parcel/3").await.parent_workflow_id, "d");
}
