//! A run's history by gRPC: whole, from a place on, and as it happens.

use souk_orchestrator::testing::Fault;
use souk_proto::workflow::v1::{
    GetWorkflowHistoryRequest, GetWorkflowHistoryResponse, HistoryEventKind as Kind, WorkflowState,
};
use tonic::Streaming;

use crate::workflows::world::{World, id, order};

async fn history(
    world: &World,
    from_sequence: i64,
    follow: bool,
) -> Streaming<GetWorkflowHistoryResponse> {
    let request = GetWorkflowHistoryRequest {
        workflow_id: id(),
        from_sequence,
        follow,
        ..Default::default()
    };
    let opened = world.workflows().get_workflow_history(world.staff(request)).await;
    opened.unwrap().into_inner()
}

async fn all(mut stream: Streaming<GetWorkflowHistoryResponse>) -> Vec<GetWorkflowHistoryResponse> {
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        messages.push(message);
    }
    messages
}

async fn ended(token: &str) -> World {
    let world = World::new(1).await;
    world.place(&order(token)).await;
    for name in ["shipped", "delivered"] {
        let _ = world.signal(name, name).await;
    }
    world.end().await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_history_is_told_whole_with_names_keys_and_the_end() {
    let world = ended("tok_visa").await;
    let messages = all(history(&world, 0, false).await).await;
    let events: Vec<_> = messages.iter().flat_map(|message| &message.events).collect();
    assert_eq!(messages.last().unwrap().state(), WorkflowState::Completed);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.sequence, index as i64 + 1);
        assert_ne!(event.kind(), Kind::Unspecified, "{event:?}");
    }
    let told: Vec<_> = events.iter().map(|event| (event.kind(), event.name.as_str())).collect();
    let expected = [
        (Kind::Started, "place_order"),
        (Kind::UndoOwed, "CancelOrder"),
        (Kind::ValueRecorded, "search-attributes"),
        (Kind::AttributesSet, "order, customer, total_minor, currency, payment"),
        (Kind::StepScheduled, "ReserveStock"),
    ];
    assert_eq!(told[..5], expected);
    let paid = events.iter().rev().find(|event| event.kind() == Kind::AttributesSet).unwrap();
    assert_eq!(paid.payload, r#"{"payment":"captured"}"#);
    assert_eq!(told.last().unwrap(), &(Kind::Completed, ""));
    let captured = events.iter().find(|event| event.name == "CapturePayment").unwrap();
    assert_eq!(captured.effect_key, format!("{}/CapturePayment/1", id()));
    let kinds = [Kind::Answered, Kind::SignalReceived, Kind::StepCompleted];
    assert!(kinds.iter().all(|kind| told.iter().any(|(told, _)| told == kind)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn undoing_is_told_with_its_cause() {
    let world = ended("tok_declined").await;
    let messages = all(history(&world, 0, false).await).await;
    assert_eq!(messages.last().unwrap().state(), WorkflowState::Failed);
    let events: Vec<_> = messages.iter().flat_map(|message| &message.events).collect();
    let began = events.iter().find(|event| event.kind() == Kind::CompensationStarted).unwrap();
    assert_eq!(began.failure.as_ref().unwrap().reason, "CARD_DECLINED");
    let undone: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == Kind::UndoCompleted)
        .map(|event| event.name.as_str())
        .collect();
    assert_eq!(undone, ["ReturnPayment", "ReleaseStock", "CancelOrder"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_hears_the_rest_and_where_the_run_stands() {
    let world = ended("tok_visa").await;
    let whole = all(history(&world, 0, false).await).await;
    let events: Vec<_> = whole.into_iter().flat_map(|message| message.events).collect();
    for from in 1..=events.len() {
        let rest = all(history(&world, from as i64, true).await).await;
        assert_eq!(rest.last().unwrap().state(), WorkflowState::Completed);
        let rest: Vec<_> = rest.into_iter().flat_map(|message| message.events).collect();
        assert_eq!(rest, events[from - 1..]);
    }
    for follow in [false, true] {
        let nothing_new = all(history(&world, events.len() as i64 + 1, follow).await).await;
        let [message] = &nothing_new[..] else { panic!("{nothing_new:?}") };
        assert_eq!((message.events.len(), message.state()), (0, WorkflowState::Completed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_followed_is_told_as_it_happens() {
    let world = World::new(1).await;
    world.shop.faults.once("CommitStock", Fault::Away);
    world.place(&order("tok_visa")).await;
    let mut stream = history(&world, 0, true).await;
    let mut heard = Vec::new();
    // The stream stays open while the order waits to ship.
    while !heard.contains(&(Kind::StepCompleted, "ClearCart".to_owned())) {
        let message = stream.message().await.unwrap().unwrap();
        assert_eq!(message.state(), WorkflowState::Running);
        heard.extend(message.events.into_iter().map(|event| (event.kind(), event.name)));
    }
    assert!(heard.contains(&(Kind::StepAttemptFailed, "CommitStock".into())), "{heard:?}");
    world.signal("shipped", "1").await.unwrap();
    let message = stream.message().await.unwrap().unwrap();
    assert_eq!(message.events[0].kind(), Kind::SignalReceived);
    world.signal("delivered", "2").await.unwrap();
    let rest = all(stream).await;
    assert_eq!(rest.last().unwrap().state(), WorkflowState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_long_history_comes_in_messages_of_bounded_length() {
    let world = World::new(1).await;
    world.place(&order("tok_3ds")).await;
    world.answer().await;
    for number in 0..600 {
        world.signal("noise", &number.to_string()).await.unwrap();
    }
    let messages = all(history(&world, 0, false).await).await;
    assert!(messages.iter().all(|message| (1..=256).contains(&message.events.len())));
    let count: usize = messages.iter().map(|message| message.events.len()).sum();
    assert_eq!(count, world.history().await.len());
    assert!(count > 600 && messages.len() >= 3);
}
