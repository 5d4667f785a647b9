//! The embedded store: group commit, refusals, panics, migrations, crashes.

mod crash;

use std::path::Path;
use std::sync::mpsc;

use rusqlite::{Connection, params};
use souk_mesh::store::{self, Commits, Migration, Store};

const NOTES: &[Migration] = &[Migration {
    version: 1,
    name: "notes",
    sql: "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK (text <> '')) STRICT",
}];

const NOTES_WITH_AUTHORS: &[Migration] = &[
    NOTES[0],
    Migration {
        version: 2,
        name: "authors",
        sql: "ALTER TABLE note ADD COLUMN author TEXT; CREATE INDEX note_author ON note (author)",
    },
];

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("notes.db"), NOTES).expect("the store opens")
}

fn add(connection: &Connection, id: i64, text: &str) -> Result<(), store::Error> {
    connection
        .prepare_cached("INSERT INTO note (id, text) VALUES (?1, ?2)")?
        .execute(params![id, text])?;
    Ok(())
}

async fn ids(store: &Store) -> Vec<i64> {
    store
        .read(|connection| {
            let mut statement = connection.prepare_cached("SELECT id FROM note ORDER BY id")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok::<_, store::Error>(rows.collect::<Result<Vec<i64>, _>>()?)
        })
        .await
        .expect("the read succeeds")
}

/// Holds the writer inside a first write (a refusal, which is no commit of its own) until told,
/// so that what is sent meanwhile is one group.
async fn hold_writer(store: &Store) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    let (entered, entering) = tokio::sync::oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        store
            .write(move |_| {
                let _ = entered.send(());
                let _ = held.recv();
                Err::<(), _>(store::Error::Closed)
            })
            .await
    });
    entering.await.expect("the writer runs");
    release
}

/// Queues a write and makes sure that it is in the queue.
macro_rules! queue {
    ($store:expr, $work:expr) => {{
        let mut write = Box::pin({
            let store = $store.clone();
            async move { store.write($work).await }
        });
        assert!(futures::poll!(&mut write).is_pending());
        write
    }};
}

#[tokio::test]
async fn a_write_is_read_back_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(|connection| add(connection, 1, "one")).await.unwrap();
    assert_eq!(ids(&store).await, [1]);
    drop(store);
    assert_eq!(ids(&open(folder.path())).await, [1]);
}

#[tokio::test]
async fn a_refusal_and_a_panic_undo_only_their_own_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let before = store.commits().borrow().total;
    let release = hold_writer(&store).await;

    let first = queue!(store, |connection: &Connection| add(connection, 1, "kept"));
    let refused = queue!(store, |connection: &Connection| {
        add(connection, 2, "undone")?;
        add(connection, 3, "")
    });
    let panicked = queue!(store, |connection: &Connection| {
        add(connection, 4, "undone")?;
        panic!("the closure broke");
        #[allow(unreachable_code)]
        Ok::<(), store::Error>(())
    });
    // Sees what its neighbours of the group kept, and not what they undid.
    let last = queue!(store, |connection: &Connection| {
        add(connection, 5, "kept")?;
        let rows = connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?;
        Ok::<i64, store::Error>(rows)
    });
    release.send(()).unwrap();

    first.await.unwrap();
    assert!(matches!(refused.await, Err(store::Error::Sqlite(_))));
    match panicked.await {
        Err(store::Error::Panicked(text)) => assert_eq!(text, "the closure broke"),
        other => panic!("expected a panic as an error, got {other:?}"),
    }
    assert_eq!(last.await.unwrap(), 2);
    assert_eq!(ids(&store).await, [1, 5]);
    assert_eq!(store.commits().borrow().total - before, 1, "all of it was one commit");
}

#[tokio::test]
async fn a_write_whose_caller_left_before_its_turn_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let release = hold_writer(&store).await;
    let left = queue!(store, |connection: &Connection| add(connection, 1, "left"));
    let stayed = queue!(store, |connection: &Connection| add(connection, 2, "stayed"));
    drop(left);
    release.send(()).unwrap();
    stayed.await.unwrap();
    assert_eq!(ids(&store).await, [2]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let release = hold_writer(&store).await;
    let mut waiting = Vec::new();
    let overloaded = loop {
        assert!(waiting.len() < 100_000, "the queue has no bound");
        let id = waiting.len() as i64;
        let sender = store.clone();
        let mut write = Box::pin(async move {
            sender.write(move |connection| add(connection, id, "waiting")).await
        });
        match futures::poll!(&mut write) {
            std::task::Poll::Pending => waiting.push(write),
            std::task::Poll::Ready(answer) => break answer,
        }
    };
    assert!(matches!(overloaded, Err(store::Error::Overloaded)));
    release.send(()).unwrap();
    let accepted = waiting.len();
    for write in waiting {
        write.await.unwrap();
    }
    assert_eq!(ids(&store).await.len(), accepted);
}

#[tokio::test]
async fn a_read_sees_one_snapshot_and_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(|connection| add(connection, 1, "one")).await.unwrap();
    let (first_read, read_first) = tokio::sync::oneshot::channel();
    let (go_on, going_on) = mpsc::channel::<()>();
    let reader = store.clone();
    let read = tokio::spawn(async move {
        reader
            .read(move |connection| {
                let count = "SELECT count(*) FROM note";
                let before: i64 = connection.query_row(count, [], |row| row.get(0))?;
                let _ = first_read.send(());
                let _ = going_on.recv();
                let after: i64 = connection.query_row(count, [], |row| row.get(0))?;
                Ok::<_, store::Error>((before, after))
            })
            .await
    });
    read_first.await.unwrap();
    store.write(|connection| add(connection, 2, "two")).await.unwrap();
    go_on.send(()).unwrap();
    assert_eq!(read.await.unwrap().unwrap(), (1, 1));

    let refused = store.read(|connection| add(connection, 3, "three")).await;
    assert!(matches!(refused, Err(store::Error::Sqlite(_))));
    let panicked = store.read(|_| -> Result<(), store::Error> { panic!("broken read") }).await;
    assert!(matches!(panicked, Err(store::Error::Panicked(_))));
    assert_eq!(ids(&store).await, [1, 2]);
}

#[tokio::test]
async fn a_look_up_sees_what_was_answered_and_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for id in 1..=20 {
        store.write(move |connection| add(connection, id, "note")).await.unwrap();
        let newest = |connection: &Connection| {
            let sql = "SELECT max(id) FROM note";
            Ok::<i64, store::Error>(connection.query_row(sql, [], |row| row.get(0))?)
        };
        assert_eq!(store.look_up(newest).await.unwrap(), id);
    }
    let refused = store.look_up(|connection| add(connection, 21, "note")).await;
    assert!(matches!(refused, Err(store::Error::Sqlite(_))));
    assert_eq!(ids(&store).await.len(), 20);
}

#[tokio::test]
async fn commits_announces_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut commits = store.commits();
    let seen: Commits = *commits.borrow_and_update();
    let refused = store.write(|connection| add(connection, 1, "")).await;
    assert!(refused.is_err());
    assert!(!commits.has_changed().unwrap(), "a group of refusals is no news");
    store.write(|connection| add(connection, 1, "one")).await.unwrap();
    commits.changed().await.unwrap();
    assert_eq!(*commits.borrow(), Commits { total: seen.total + 1, ..seen });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_increments_all_count() {
    const WRITERS: i64 = 64;
    const EACH: i64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(|connection| add(connection, 1, "0")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..EACH {
                store.write(increment).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let total = store
        .read(|connection| {
            Ok::<i64, store::Error>(connection.query_row(
                "SELECT CAST(text AS INTEGER) FROM note",
                [],
                |row| row.get(0),
            )?)
        })
        .await
        .unwrap();
    assert_eq!(total, WRITERS * EACH);
    assert!((store.commits().borrow().total as i64) < WRITERS * EACH, "writes share commits");
}

fn increment(connection: &Connection) -> Result<(), store::Error> {
    let now: i64 = connection
        .prepare_cached("SELECT CAST(text AS INTEGER) FROM note WHERE id = 1")?
        .query_row([], |row| row.get(0))?;
    connection
        .prepare_cached("UPDATE note SET text = ?1 WHERE id = 1")?
        .execute([(now + 1).to_string()])?;
    Ok(())
}

#[tokio::test]
async fn migrations_keep_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).write(|connection| add(connection, 1, "old")).await.unwrap();
    let path = folder.path().join("notes.db");
    let store = Store::open(&path, NOTES_WITH_AUTHORS).unwrap();
    store
        .write(|connection| {
            connection.execute("UPDATE note SET author = 'me'", [])?;
            Ok::<_, store::Error>(())
        })
        .await
        .unwrap();
    assert_eq!(ids(&store).await, [1]);
}

#[tokio::test]
async fn a_newer_database_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    drop(Store::open(&path, NOTES_WITH_AUTHORS).unwrap());
    let error = Store::open(&path, NOTES).err().expect("it is refused");
    assert!(matches!(error, store::Error::Newer { component: "service", found: 2, known: 1 }));
    assert!(error.to_string().contains("version 2"), "{error}");
    drop(Store::open(&path, NOTES_WITH_AUTHORS).unwrap());
}

const BROKEN: &[Migration] = &[
    NOTES[0],
    Migration {
        version: 2,
        name: "broken",
        sql: "CREATE TABLE half (id); INSERT INTO nowhere VALUES (1)",
    },
];

const GAP: &[Migration] = &[NOTES[0], Migration { version: 3, name: "gap", sql: "SELECT 1" }];

#[tokio::test]
async fn a_failing_migration_names_itself_and_leaves_no_half() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    drop(open(folder.path()));
    let error = Store::open(&path, BROKEN).err().expect("it is refused");
    assert!(matches!(error, store::Error::Migration { version: 2, name: "broken", .. }), "{error}");
    let half: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(half, 0);
    assert!(matches!(Store::open(&path, GAP).err(), Some(store::Error::MigrationOrder { .. })));
    drop(open(folder.path()));
}

#[tokio::test]
async fn the_write_ahead_log_is_checkpointed_while_writes_go_on() {
    const MEGABYTE: usize = 1 << 20;
    const MOST_WRITES: u64 = 1024;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let length = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    let mut written = 0;
    // The log is used again from its start: it stays far shorter than what went through it.
    while written == 0 || length("notes.db-wal") * 2 > written * MEGABYTE as u64 {
        assert!(written < MOST_WRITES, "the log only grows");
        store
            .write(move |connection| {
                let text = "x".repeat(MEGABYTE);
                connection
                    .prepare_cached("INSERT OR REPLACE INTO note (id, text) VALUES (?1, ?2)")?
                    .execute(params![(written % 4) as i64, text])?;
                Ok::<_, store::Error>(())
            })
            .await
            .unwrap();
        written += 1;
    }
    assert_eq!(ids(&store).await, [0, 1, 2, 3]);
}
