//! Events that wait to leave.

use souk_mesh::{outbox, store};
use souk_proto::event::v1::Event;

use super::open;

#[tokio::test]
async fn only_a_kept_write_that_put_events_is_announced_as_such() {
    let (_folder, store) = open();
    let with_events = || store.commits().borrow().with_events;
    let event = Event { event_id: "event-1".into(), ..Event::default() };
    let again = event.clone();
    let refused = store
        .write(move |connection| {
            outbox::put(connection, &again)?;
            Err::<(), _>(store::Error::Overloaded)
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(with_events(), 0);
    store.write(|_| Ok::<_, store::Error>(())).await.unwrap();
    assert_eq!(with_events(), 0, "the refused put left no trace");
    store
        .write(move |connection| Ok::<_, store::Error>(outbox::put(connection, &event)?))
        .await
        .unwrap();
    assert_eq!(with_events(), 1);
}
