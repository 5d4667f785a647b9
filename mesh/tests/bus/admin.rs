//! Dead letters as people see them, over gRPC.

use std::sync::Arc;

use souk_mesh::bus::{Bus, DeadLetterQuery, HandlerError, Outcome, admin_service};
use souk_mesh::error;
use souk_mesh::identity::Keys;
use souk_proto::mesh::v1::event_admin_service_client::EventAdminServiceClient;
use souk_proto::mesh::v1::{
    GetDeadLetterRequest, ListDeadLettersRequest, ReplayDeadLettersRequest,
};
use tonic::Code;

use super::{event, open};

pub(super) fn first(limit: usize) -> DeadLetterQuery {
    DeadLetterQuery { limit, ..DeadLetterQuery::default() }
}

/// A bus with so many dead letters in the queue `orders`.
async fn with_dead_letters(folder: &std::path::Path, count: i64) -> Arc<dyn Bus> {
    let bus = open(folder);
    let queue = bus.subscribe("orders", &["#"]).await.unwrap();
    bus.publish((1..=count).map(|version| event("t", "a", version)).collect()).await.unwrap();
    let got = queue.receive(count as usize).await.unwrap();
    let dead = Outcome::Failed(HandlerError::reject("makes no sense"));
    let outcomes: Vec<_> = got.iter().map(|delivery| (delivery.tag, dead.clone())).collect();
    queue.settle(&outcomes).await.unwrap();
    bus
}

#[tokio::test]
async fn dead_letters_are_listed_by_pages_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let bus = with_dead_letters(folder.path(), 5).await;
    let keys = Keys::generate().unwrap();
    let mut client = EventAdminServiceClient::new(admin_service(bus.clone(), &keys));

    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListDeadLettersRequest { page_size: 2, page_token, queue: "orders".into() };
        let page = client.list_dead_letters(request).await.unwrap().into_inner();
        listed.extend(page.dead_letters);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let versions: Vec<_> =
        listed.iter().map(|dead| dead.event.as_ref().unwrap().aggregate_version).collect();
    assert_eq!(versions, [5, 4, 3, 2, 1]);
    assert_eq!((&*listed[0].reason, listed[0].attempts), ("makes no sense", 1));
    let get = |letter: &souk_proto::mesh::v1::DeadLetter| GetDeadLetterRequest {
        dead_letter_id: letter.dead_letter_id.clone(),
    };
    let got = client.get_dead_letter(get(&listed[3])).await.unwrap().into_inner();
    assert_eq!(got.dead_letter.as_ref(), Some(&listed[3]));

    let one = ReplayDeadLettersRequest {
        dead_letter_ids: vec![listed[4].dead_letter_id.clone()],
        ..ReplayDeadLettersRequest::default()
    };
    let replayed = client.replay_dead_letters(one).await.unwrap().into_inner();
    assert_eq!(replayed.replayed, 1);
    let refused = client.get_dead_letter(get(&listed[4])).await.unwrap_err();
    assert_eq!(error::reason_of(&refused).as_deref(), Some("DEAD_LETTER_NOT_FOUND"));

    // A request is carried out once, and no other may have its id.
    let three = ReplayDeadLettersRequest {
        request_id: "0198c5b2-7d1e-7c3a-9a51-3f0f5f0c9d11".to_owned(),
        limit: 3,
        ..ReplayDeadLettersRequest::default()
    };
    for _ in 0..2 {
        let replayed = client.replay_dead_letters(three.clone()).await.unwrap().into_inner();
        assert_eq!(replayed.replayed, 3);
    }
    let other = ReplayDeadLettersRequest { limit: 4, ..three };
    let refused = client.replay_dead_letters(other).await.unwrap_err();
    assert_eq!(error::reason_of(&refused).as_deref(), Some("REQUEST_ID_REUSED"));
    assert_eq!(bus.dead_letters(first(10)).await.unwrap().len(), 1);
    let rest = ReplayDeadLettersRequest::default();
    assert_eq!(client.replay_dead_letters(rest).await.unwrap().into_inner().replayed, 1);
    assert!(bus.dead_letters(first(10)).await.unwrap().is_empty());
    let queue = bus.subscribe("orders", &["#"]).await.unwrap();
    assert_eq!(queue.receive(10).await.unwrap().len(), 5);
}

#[tokio::test]
async fn an_id_or_a_token_that_was_not_given_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::generate().unwrap();
    let mut client = EventAdminServiceClient::new(admin_service(open(folder.path()), &keys));
    let request = ReplayDeadLettersRequest {
        dead_letter_ids: vec!["1".into(), "one".into()],
        ..ReplayDeadLettersRequest::default()
    };
    let refused = client.replay_dead_letters(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(error::violations_of(&refused)[0].field, "dead_letter_ids[1]");
    let request = ListDeadLettersRequest { page_token: "made-up".into(), ..Default::default() };
    let refused = client.list_dead_letters(request).await.unwrap_err();
    assert_eq!(error::reason_of(&refused).as_deref(), Some("INVALID_PAGE_TOKEN"));
}
