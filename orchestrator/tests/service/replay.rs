//! Another build asks a running node for its open runs, and whether it would take them up.

use souk_mesh::identity::Role;
use souk_orchestrator::engine::{Cx, Failure, Registry};
use souk_orchestrator::replay::{registry, remote, replay};
use souk_orchestrator::testing::Fault;
use souk_orchestrator::workflows::place_order::TYPE;
use souk_proto::workflow::v1::{
    ExportHistoriesRequest, ExportHistoriesResponse, ListUnmovedRequest,
};

use crate::workflows::world::{World, id, order};

async fn parts(world: &World, workflow_type: &str) -> Vec<ExportHistoriesResponse> {
    let request = ExportHistoriesRequest { workflow_type: workflow_type.into() };
    let exported = world.workflows().export_histories(world.staff(request)).await;
    let mut stream = exported.unwrap().into_inner();
    let mut parts = Vec::new();
    while let Some(part) = stream.message().await.unwrap() {
        parts.push(part);
    }
    parts
}

async fn other_way(cx: &Cx, _: serde_json::Value) -> Result<(), Failure> {
    cx.sleep(std::time::Duration::from_secs(1)).await
}

#[tokio::test(start_paused = true)]
async fn the_open_runs_of_a_node_are_held_against_a_build() {
    let world = World::new(1).await;
    world.place(&order("tok_visa")).await;
    world.until("completed ClearCart").await;
    let sent = parts(&world, "").await;
    let runs = || remote::runs(futures::stream::iter(sent.clone().into_iter().map(Ok)));
    let report = replay(registry(), runs()).await.unwrap();
    assert_eq!((report.types[TYPE].runs, report.unfit()), (1, 0), "{report:?}");
    let other = Registry::new().workflow(TYPE, other_way);
    let report = replay(other, runs()).await.unwrap();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.workflow_id.clone(), finding.code), (id(), "SOUK-0001"));
    assert!(parts(&world, "another").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_long_history_comes_in_parts_and_one_that_is_cut_off_is_not_taken_for_whole() {
    let world = World::new(1).await;
    world.place(&order("tok_3ds")).await;
    world.answer().await;
    let noise = "x".repeat(200_000);
    for number in 0..12 {
        let payload = format!("{noise:?}").into();
        world.engine.signal(&id(), "noise", &number.to_string(), payload).await.unwrap();
    }
    let sent = parts(&world, TYPE).await;
    assert!(sent.len() >= 3, "{}", sent.len());
    let events: usize = sent.iter().map(|part| part.events.len()).sum();
    assert_eq!(events, world.history().await.len());
    assert!(sent.iter().rev().skip(1).all(|part| !part.ends) && sent.last().unwrap().ends);
    let whole = remote::runs(futures::stream::iter(sent.clone().into_iter().map(Ok)));
    assert_eq!(replay(registry(), whole).await.unwrap().unfit(), 0);
    let cut = remote::runs(futures::stream::iter(sent[..2].iter().cloned().map(Ok)));
    let refused = replay(registry(), cut).await.unwrap_err();
    assert!(refused.to_string().contains("has no end"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_get_on_is_told_by_type_and_step_with_its_cause() {
    let world = World::new(1).await;
    world.shop.faults.always("CommitStock", Fault::Away);
    world.place(&order("tok_visa")).await;
    world.until("attempt 2 CommitStock").await;
    let ask = |workflow_type: &str| {
        world.staff(ListUnmovedRequest { workflow_type: workflow_type.into() })
    };
    let told = world.workflows().list_unmoved(ask("")).await.unwrap().into_inner().lines;
    let [line] = &told[..] else { panic!("{told:?}") };
    assert_eq!((line.workflow_type.as_str(), line.step.as_str()), (TYPE, "CommitStock"));
    assert_eq!((line.runs, line.oldest_workflow_id.clone()), (1, id()));
    assert!(line.since.is_some() && line.cause.contains(':'), "{line:?}");
    let others = world.workflows().list_unmoved(ask("another")).await.unwrap().into_inner();
    assert!(others.lines.is_empty());
    let customer = world.signed(order("").user_id, Role::Customer, ListUnmovedRequest::default());
    let refused = world.workflows().list_unmoved(customer).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
}
