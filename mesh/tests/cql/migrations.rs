//! How a keyspace gets its tables.

use souk_backends::cql_for_tests;
use souk_mesh::cql::{self, Config, Error, Kind, Migration, Session};

const FIRST: &str = "CREATE TABLE IF NOT EXISTS {}.thing (id int PRIMARY KEY)";
const SECOND: &str = "ALTER TABLE {}.thing ADD IF NOT EXISTS name text";
const OLD: &[Migration] = &[Migration { version: 1, name: "things", cql: &[FIRST] }];
const NEW: &[Migration] = &[
    Migration { version: 1, name: "things", cql: &[FIRST] },
    Migration { version: 2, name: "names", cql: &[SECOND] },
];
const BROKEN: &[Migration] =
    &[Migration { version: 1, name: "nonsense", cql: &[FIRST, "CREATE NONSENSE"] }];

#[tokio::test(flavor = "multi_thread")]
async fn an_older_keyspace_is_brought_up_to_date_and_a_newer_one_is_refused() {
    let Some(contact_points) = cql_for_tests() else { return };
    let config = Config::for_tests(contact_points);
    let looking = Session::connect(&config, "thing").await.unwrap();
    assert_eq!(cql::version(&looking, "service").await.unwrap(), None);

    let old = Session::open(&config, "thing", OLD).await.unwrap();
    assert_eq!(cql::version(&old, "service").await.unwrap(), Some(1));
    let write = "INSERT INTO {}.thing (id) VALUES (?)";
    let write = old.prepare(Kind::Write, write).await.unwrap();
    old.write(&write, (7,)).await.unwrap();

    // Several processes start at once: the tables change once.
    let opened = (0..3).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { Session::open(&config, "thing", NEW).await.map(drop) })
    });
    for opened in opened {
        opened.await.unwrap().unwrap();
    }
    let new = Session::open(&config, "thing", NEW).await.unwrap();
    let look = new.prepare(Kind::Read, "SELECT id, name FROM {}.thing").await.unwrap();
    let rows: Vec<(i32, Option<String>)> = new.rows(&look, ()).await.unwrap();
    assert_eq!(rows, [(7, None)]);

    let refused = Session::open(&config, "thing", OLD).await.err().unwrap();
    assert!(
        matches!(refused, Error::Newer { component: "service", found: 2, known: 1, .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_names_itself_and_runs_again_at_the_next_start() {
    let Some(contact_points) = cql_for_tests() else { return };
    let config = Config::for_tests(contact_points);
    let failed = Session::open(&config, "thing", BROKEN).await.err().unwrap();
    assert!(failed.to_string().contains("nonsense"), "{failed}");
    let mended = Session::open(&config, "thing", OLD).await.unwrap();
    assert_eq!(cql::version(&mended, "service").await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_looks_while_a_keyspace_is_made_sees_it_made_or_not() {
    let Some(contact_points) = cql_for_tests() else { return };
    for _ in 0..4 {
        let config = Config::for_tests(contact_points.clone());
        let looking = Session::connect(&config, "thing").await.unwrap();
        let looks = (0..4).map(|_| {
            let looking = looking.clone();
            tokio::spawn(async move {
                while cql::version(&looking, "service").await? != Some(2) {}
                Ok::<(), Error>(())
            })
        });
        let looks: Vec<_> = looks.collect();
        Session::open(&config, "thing", NEW).await.unwrap();
        for look in looks {
            look.await.unwrap().unwrap();
        }
    }
}
