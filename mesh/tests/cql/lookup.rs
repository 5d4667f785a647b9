//! Reads by the key of a partition that come at the same time.

use futures::future::{join, join_all};
use metrics_exporter_prometheus::PrometheusBuilder;
use souk_backends::cql_for_tests;
use souk_mesh::cql::{Config, Error, Kind, Lookup, Migration, Prepared, Session};

const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "labels",
    cql: &["CREATE TABLE IF NOT EXISTS {}.label (
        name text, number int, owner text STATIC, PRIMARY KEY (name, number))"],
}];
const READERS: i32 = 300;
const LABELS: &str = "SELECT name, number FROM {}.label WHERE name {key} PER PARTITION LIMIT 3";

type Labels = Lookup<String, (String, i32)>;

/// A keyspace, a statement that writes a label, and the labels by name.
async fn labels() -> Option<(Session, Prepared, Labels)> {
    let config = Config::for_tests(cql_for_tests()?);
    let session = Session::open(&config, "lookup", TABLES).await.unwrap();
    let write = "INSERT INTO {}.label (name, number) VALUES (?, ?)";
    let write = session.prepare(Kind::Write, write).await.unwrap();
    let labels = Lookup::prepare(&session, LABELS).await.unwrap();
    Some((session, write, labels))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_at_once_gets_the_rows_of_its_key_and_all_that_was_written_before() {
    let Some((session, write, labels)) = labels().await else { return };
    let reader = async |reader: i32| {
        // Two ask for each name.
        let name = format!("name {}", reader / 2);
        for number in 0..reader / 2 % 5 {
            session.write(&write, (&name, number)).await.unwrap();
        }
        // Of five in the partition three are asked for, in their order.
        let wanted: Vec<_> = (0..(reader / 2 % 5).min(3)).map(|n| (name.clone(), n)).collect();
        let (rows, row) = join(labels.rows(name.clone()), labels.row(name.clone())).await;
        assert_eq!((rows.unwrap(), row.unwrap()), (wanted.clone(), wanted.first().cloned()));
    };
    join_all((0..READERS).map(reader)).await;
}

#[tokio::test]
async fn those_at_once_share_statements_and_one_alone_waits_for_nobody() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    // Of this thread, in which all of this test runs.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let Some((session, write, labels)) = labels().await else { return };
    let names: Vec<_> = (0..READERS).map(|number| format!("shared {number}")).collect();
    join_all(names.iter().map(|name| session.write(&write, (name, 7)))).await;
    let reads = || {
        let shown = shown.render();
        let counts = shown.lines().filter(|line| {
            line.starts_with("souk_cql_statement_seconds_count")
                && line.contains(&format!("\"{}\"", session.keyspace()))
                && line.contains("\"read\"")
        });
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum::<u32>()
    };
    let before = reads();
    let found = join_all(names.iter().map(|name| labels.row(name.clone()))).await;
    for (name, found) in names.iter().zip(found) {
        assert_eq!(found.unwrap(), Some((name.clone(), 7)));
    }
    let shared = reads() - before;
    assert!((1..=READERS.unsigned_abs() / 20).contains(&shared), "{shared} statements");
    assert_eq!(labels.row(names[0].clone()).await.unwrap(), Some((names[0].clone(), 7)));
    assert_eq!(reads() - before, shared + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_refused_alone() {
    let Some((_, _, labels)) = labels().await else { return };
    // A key may not be longer than this.
    let name = |number: i32| if number % 7 == 3 { "n".repeat(70_000) } else { "none".to_owned() };
    let reads = join_all((0..READERS).map(|number| labels.rows(name(number)))).await;
    for (number, read) in (0..).zip(reads) {
        match read {
            Ok(rows) => assert!(rows.is_empty() && number % 7 != 3),
            Err(Error::Refused(_)) => assert_eq!(number % 7, 3),
            Err(other) => panic!("{number}: {other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_takes_nobody_along() {
    let Some((_, _, labels)) = labels().await else { return };
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let labels = labels.clone();
            tokio::spawn(async move { labels.rows(format!("left {number}")).await })
        })
        .collect();
    for (number, reader) in readers.into_iter().enumerate() {
        if number % 2 == 0 {
            reader.abort();
        } else {
            assert_eq!(reader.await.unwrap().unwrap(), []);
        }
    }
}
