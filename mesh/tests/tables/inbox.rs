//! What consumers of events have seen.

use rusqlite::Connection;
use souk_mesh::inbox::{KEPT_S, first_time, is_newer, prune};
use souk_mesh::store;

use super::open;

#[tokio::test]
async fn an_event_is_new_once_per_consumer() {
    let (_folder, store) = open();
    let seen = store
        .write(|connection| {
            Ok::<_, store::Error>([
                first_time(connection, "search", "event-1")?,
                first_time(connection, "search", "event-1")?,
                first_time(connection, "notify", "event-1")?,
            ])
        })
        .await
        .unwrap();
    assert_eq!(seen, [true, false, true]);
}

#[tokio::test]
async fn what_a_refused_write_saw_is_new_again() {
    let (_folder, store) = open();
    let refused = store
        .write(|connection| {
            assert!(first_time(connection, "search", "event-1")?);
            Err::<(), _>(store::Error::Overloaded)
        })
        .await;
    assert!(matches!(refused, Err(store::Error::Overloaded)));
    let first = store
        .write(|connection| Ok::<_, store::Error>(first_time(connection, "search", "event-1")?))
        .await
        .unwrap();
    assert!(first);
}

#[tokio::test]
async fn only_newer_versions_of_an_aggregate_count() {
    let (_folder, store) = open();
    let newer = store
        .write(|connection| {
            [(1, "order-1"), (3, "order-1"), (2, "order-1"), (3, "order-1"), (2, "order-2")]
                .into_iter()
                .map(|(version, aggregate)| is_newer(connection, "mail", aggregate, version))
                .collect::<Result<Vec<_>, _>>()
                .map_err(store::Error::from)
        })
        .await
        .unwrap();
    assert_eq!(newer, [true, true, false, false, true]);
}

fn make_old(connection: &Connection, table: &str) -> rusqlite::Result<usize> {
    let sql = format!("UPDATE {table} SET seen_at_s = seen_at_s - ?1");
    connection.execute(&sql, [KEPT_S + 1])
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_the_rest_is_kept() {
    let (_folder, store) = open();
    let (forgotten, young) = store
        .write(|connection| {
            first_time(connection, "search", "old")?;
            is_newer(connection, "search", "old", 5)?;
            make_old(connection, "inbox_event")?;
            make_old(connection, "inbox_version")?;
            first_time(connection, "search", "young")?;
            is_newer(connection, "search", "young", 5)?;
            let forgotten = prune(connection)?;
            let young = [
                first_time(connection, "search", "young")?,
                is_newer(connection, "search", "young", 5)?,
            ];
            Ok::<_, store::Error>((forgotten, young))
        })
        .await
        .unwrap();
    assert_eq!(forgotten, 2);
    assert_eq!(young, [false, false]);
}

#[tokio::test]
async fn an_old_inbox_shrinks_by_being_used() {
    const OLD: i64 = 1000;
    let (_folder, store) = open();
    let left: i64 = store
        .write(|connection| {
            for event in 0..OLD {
                first_time(connection, "search", &format!("old-{event}"))?;
            }
            make_old(connection, "inbox_event")?;
            for event in 0..OLD {
                first_time(connection, "search", &format!("new-{event}"))?;
            }
            let sql = "SELECT count(*) FROM inbox_event WHERE event_id LIKE 'old-%'";
            Ok::<_, store::Error>(connection.query_row(sql, [], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(left, 0);
}
