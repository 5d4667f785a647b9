//! A service that starts before its store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use souk_backends::cql_for_tests;
use souk_mesh::cql::{Config, Error, Migration, Session};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Status};

const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "things",
    cql: &["CREATE TABLE IF NOT EXISTS {}.thing (id int PRIMARY KEY)"],
}];
/// How many connections a server breaks that is still starting.
const BROKEN: usize = 8;

/// A way to a server, which breaks the first connections; its address, and how many have been tried.
async fn late(server: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            if count.fetch_add(1, Ordering::SeqCst) < BROKEN {
                continue;
            }
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, tried)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_comes_up_late_is_waited_for() {
    let Some(mut servers) = cql_for_tests() else { return };
    let (address, tried) = late(servers.remove(0)).await;
    let config = Config::for_tests(vec![address]);
    // Who only looks, as the doctor does, does not wait.
    assert!(matches!(Session::connect(&config, "start").await, Err(Error::Unavailable(_))));
    let session = Session::open(&config, "start", TABLES).await.unwrap();
    assert_eq!(souk_mesh::cql::version(&session, "service").await.unwrap(), Some(1));
    assert!(tried.load(Ordering::SeqCst) > BROKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_come_is_waited_for_no_longer_than_is_said() {
    for start_limit_ms in [0, 600] {
        let nowhere = Config::for_tests(vec!["127.0.0.1:1".to_owned()]);
        let began = Instant::now();
        let nowhere = Config { start_limit_ms, ..nowhere };
        let away = Session::open(&nowhere, "start", TABLES).await.err().unwrap();
        assert!(began.elapsed() >= Duration::from_millis(start_limit_ms));
        assert!(away.to_string().contains("127.0.0.1:1"), "{away}");
        assert_eq!(Status::from(away).code(), Code::Unavailable);
    }
}
