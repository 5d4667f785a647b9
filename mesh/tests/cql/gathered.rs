//! Plain writes that come at the same time.

use futures::future::join_all;
use souk_backends::cql_for_tests;
use souk_mesh::cql::{Config, Error, Kind, Migration, Session};

const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "notes and labels",
    cql: &[
        "CREATE TABLE IF NOT EXISTS {}.note (name text PRIMARY KEY, words text, size bigint)",
        "CREATE TABLE IF NOT EXISTS {}.label (name text, number int, PRIMARY KEY (name, number))",
    ],
}];
const WRITERS: i32 = 300;
/// A name that is larger than what goes in a message with others.
const LARGE_BYTES: usize = 20_000;

async fn session() -> Option<Session> {
    let config = Config::for_tests(cql_for_tests()?);
    Some(Session::open(&config, "gathered", TABLES).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_of_many_at_once_is_there_when_it_is_answered() {
    let Some(session) = session().await else { return };
    let note = "INSERT INTO {}.note (name, words, size) VALUES (?, ?, ?) USING TIMESTAMP ?";
    let note = session.prepare(Kind::Write, note).await.unwrap();
    let label = "INSERT INTO {}.label (name, number) VALUES (?, ?)";
    let label = session.prepare(Kind::Write, label).await.unwrap();
    let find = "SELECT words, size FROM {}.note WHERE name = ?";
    let find = session.prepare(Kind::Read, find).await.unwrap();
    let count = "SELECT number FROM {}.label WHERE name = ? LIMIT 1000";
    let count = session.prepare(Kind::Read, count).await.unwrap();
    let writer = async |number: i32| {
        // Large ones, empty ones and nulls among them; and the time that each says is its own.
        let words = match number % 5 {
            0 => Some("w".repeat(LARGE_BYTES)),
            1 => Some(String::new()),
            2 => None,
            _ => Some(format!("words of {number}")),
        };
        let name = format!("note {number}");
        let size = (number % 3 > 0).then_some(i64::from(number));
        let write = session.write(&note, (&name, &words, size, 10_i64));
        let older = session.write(&note, (&name, "older", -1_i64, 5_i64));
        let labelled = session.write(&label, ("all", number));
        let (written, before, marked) = futures::join!(write, older, labelled);
        written.and(before).and(marked).unwrap();
        let row: (Option<String>, Option<i64>) =
            session.row(&find, (&name,)).await.unwrap().unwrap();
        assert_eq!(row, (words, size), "{name}");
    };
    join_all((0..WRITERS).map(writer)).await;
    let labels: Vec<(i32,)> = session.rows(&count, ("all",)).await.unwrap();
    assert_eq!(labels.len() as i32, WRITERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_refused_alone() {
    let Some(session) = session().await else { return };
    let label = "INSERT INTO {}.label (name, number) VALUES (?, ?)";
    let label = session.prepare(Kind::Write, label).await.unwrap();
    // A key may not be empty.
    let name = |number: i32| if number % 7 == 3 { "" } else { "right" };
    let writes = (0..WRITERS).map(|number| session.write(&label, (name(number), number)));
    for (number, written) in (0..).zip(join_all(writes).await) {
        match written {
            Ok(()) => assert_eq!(name(number), "right"),
            Err(Error::Refused(_)) => assert_eq!(name(number), ""),
            Err(other) => panic!("{number}: {other}"),
        }
    }
    let wrong = session.write(&label, ("right", "no number")).await;
    assert!(matches!(wrong, Err(Error::Refused(_))), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_leaves_takes_nobody_along() {
    let Some(session) = session().await else { return };
    let label = "INSERT INTO {}.label (name, number) VALUES (?, ?)";
    let label = session.prepare(Kind::Write, label).await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let (session, label) = (session.clone(), label.clone());
            tokio::spawn(async move { session.write(&label, ("left", number)).await })
        })
        .collect();
    for (number, writer) in writers.into_iter().enumerate() {
        if number % 2 == 0 {
            writer.abort();
        } else {
            writer.await.unwrap().unwrap();
        }
    }
}
