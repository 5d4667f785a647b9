//! Answers to request ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use souk_mesh::idempotency::{Remembered, RequestKey, fingerprint, prune};
use souk_mesh::store;

use super::open;

const NOW_MS: i64 = 1_800_000_000_000;

fn key(scope: &str, method: &'static str, request_id: &str, print: [u8; 32]) -> RequestKey {
    let (scope, request_id) = (scope.to_owned(), request_id.to_owned());
    RequestKey { scope, method, request_id, fingerprint: print }
}

/// What a service does: answer from memory, or do the work and remember the answer.
fn place(
    connection: &Connection,
    scope: &str,
    parameters: &str,
    works: &AtomicU32,
) -> Result<Option<Vec<u8>>, store::Error> {
    let print = fingerprint(&parameters.to_owned());
    match key(scope, "Place", "request-1", print).check(connection)? {
        Remembered::Same(answer) => Ok(Some(answer)),
        Remembered::Conflict => Ok(None),
        Remembered::New => {
            let answer = format!("order {}", works.fetch_add(1, Ordering::SeqCst)).into_bytes();
            key(scope, "Place", "request-1", print).remember(connection, &answer, NOW_MS)?;
            Ok(Some(answer))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_equal_requests_at_once_do_the_work_once() {
    let (_folder, store) = open();
    let works = Arc::new(AtomicU32::new(0));
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (store, works) = (store.clone(), works.clone());
        requests.spawn(async move {
            store.write(move |connection| place(connection, "ann", "a", &works)).await.unwrap()
        });
    }
    for answer in requests.join_all().await {
        assert_eq!(answer.as_deref(), Some(b"order 0".as_slice()));
    }
    assert_eq!(works.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn other_parameters_conflict_and_another_caller_is_unrelated() {
    let (_folder, store) = open();
    let works = AtomicU32::new(0);
    let answers = store
        .write(move |connection| {
            Ok::<_, store::Error>([
                place(connection, "ann", "a", &works)?,
                place(connection, "ann", "b", &works)?,
                place(connection, "bob", "b", &works)?,
                place(connection, "ann", "a", &works)?,
            ])
        })
        .await
        .unwrap();
    let text = |answer: &Option<Vec<u8>>| {
        answer.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let texts: Vec<_> = answers.iter().map(text).collect();
    let expected = [Some("order 0"), None, Some("order 1"), Some("order 0")];
    assert_eq!(texts, expected.map(|text| text.map(str::to_owned)));
}

#[tokio::test]
async fn a_refused_write_leaves_no_answer_behind() {
    let (_folder, store) = open();
    let print = [7; 32];
    let refused = store
        .write(move |connection| {
            key("ann", "Place", "request-1", print).remember(connection, b"order", NOW_MS)?;
            Err::<(), _>(store::Error::Overloaded)
        })
        .await;
    assert!(refused.is_err());
    let known = store
        .read(move |connection| {
            Ok::<_, store::Error>(key("ann", "Place", "request-1", print).check(connection)?)
        })
        .await
        .unwrap();
    assert_eq!(known, Remembered::New);
}

#[tokio::test]
async fn pruning_forgets_old_answers_and_keeps_young_ones() {
    let (_folder, store) = open();
    let print = [7; 32];
    let (forgotten, old, young) = store
        .write(move |connection| {
            key("ann", "AddItem", "old", print).remember(connection, b"", NOW_MS - 2)?;
            key("ann", "AddItem", "young", print).remember(connection, b"", NOW_MS)?;
            let forgotten = prune(connection, NOW_MS - 1)?;
            let old = key("ann", "AddItem", "old", print).check(connection)?;
            let young = key("ann", "AddItem", "young", print).check(connection)?;
            Ok::<_, store::Error>((forgotten, old, young))
        })
        .await
        .unwrap();
    assert_eq!(forgotten, 1);
    assert_eq!(old, Remembered::New);
    assert_eq!(young, Remembered::Same(Vec::new()));
}

#[test]
fn fingerprints_tell_messages_apart() {
    assert_eq!(fingerprint(&"a".to_owned()), fingerprint(&"a".to_owned()));
    assert_ne!(fingerprint(&"a".to_owned()), fingerprint(&"b".to_owned()));
}
