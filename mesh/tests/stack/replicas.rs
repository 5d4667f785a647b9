//! A service with several replicas, over real sockets: calls are spread, and go where somebody is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use souk_mesh::clock::SystemClock;
use souk_mesh::error::{reason_of, unavailable};
use souk_mesh::server::{self, Limits};
use souk_mesh::{Platform, bus};
use souk_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use souk_proto::catalog::v1::catalog_service_server::CatalogServiceServer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};
use tonic::service::Routes;
use tonic::{Code, Status};

use crate::stack::support::{DRAIN_LIMIT, Stub, metric, name, product};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Callers at once.
const CALLERS: usize = 16;

/// Replicas of `catalog`, each on a runtime of its own that can be torn down as a crash would, and a client of them.
struct Replicas {
    data: TempDir,
    client: Platform,
    running: Vec<Option<(Runtime, Platform)>>,
    addresses: Vec<SocketAddr>,
}

fn open(data: &TempDir) -> Platform {
    let (clock, bus) = (Arc::new(SystemClock), bus::Config::default());
    Platform::open(data.path(), clock, Limits::default(), &bus).unwrap()
}

/// Answers with the replica's number.
fn answers(replica: usize) -> Stub {
    Stub::new().get_product(move |_| async move { Ok(replica.to_string()) })
}

impl Replicas {
    /// Addresses for this many, nobody there yet.
    fn none(count: usize) -> Self {
        let data = tempfile::tempdir().unwrap();
        let client = open(&data);
        // Held until all are taken, so that no two are the same.
        let held: Vec<std::net::TcpListener> =
            (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = held.iter().map(|held| held.local_addr().unwrap()).collect();
        drop(held);
        let replicas = addresses.iter().map(|address| format!("http://{address}").parse().unwrap());
        client.directory.bind_remote("catalog", replicas.collect());
        let running = addresses.iter().map(|_| None).collect();
        Self { data, client, running, addresses }
    }

    /// One per stub, all running and connected.
    async fn of(stubs: Vec<Stub>) -> Self {
        let mut replicas = Self::none(stubs.len());
        for (replica, stub) in stubs.into_iter().enumerate() {
            replicas.start(replica, stub).await;
        }
        for replica in 0..replicas.addresses.len() {
            replicas.becomes(replica, 1.0).await;
        }
        replicas
    }

    async fn start(&mut self, replica: usize, stub: Stub) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (address, platform) = (self.addresses[replica], open(&self.data));
        let (stack, tasks) = (platform.stack.clone(), platform.tasks.clone());
        let (bound, is_bound) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            bound.send(()).unwrap();
            tasks.spawn("server", async move {
                let services = vec![("catalog", Routes::new(CatalogServiceServer::new(stub)))];
                server::serve(listener, &stack, services, DRAIN_LIMIT).await.unwrap();
            });
        });
        is_bound.await.unwrap();
        self.running[replica] = Some((runtime, platform));
    }

    /// Its sockets close, whatever is under way.
    fn kill(&mut self, replica: usize) {
        let (runtime, _) = self.running[replica].take().unwrap();
        runtime.shutdown_background();
    }

    /// It is told to stop, and finishes what it has.
    async fn drain(&mut self, replica: usize) {
        let (runtime, platform) = self.running[replica].take().unwrap();
        platform.tasks.drain(DRAIN_LIMIT).await.unwrap();
        runtime.shutdown_background();
    }

    /// Waits until the metric says so of the replica.
    async fn becomes(&self, replica: usize, up: f64) {
        let address = self.addresses[replica];
        let line = format!("grpc_client_replica_up{{service=\"catalog\",replica=\"{address}\"}}");
        let began = Instant::now();
        while (metric(&line) - up).abs() > 0.5 {
            assert!(began.elapsed() < PATIENCE, "replica {replica} never became {up}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn call(&self) -> Result<usize, Status> {
        let channel = self.client.directory.channel("catalog");
        let answer = CatalogServiceClient::new(channel).get_product(product()).await?;
        Ok(name(answer).parse().unwrap())
    }

    /// Calls by the usual number of callers until each has made this many: who answered how often, and what failed.
    async fn calls(&self, each: usize) -> Tally {
        self.calls_by(CALLERS, each).await
    }

    async fn calls_by(&self, callers: usize, each: usize) -> Tally {
        let tally = Mutex::new(Tally::default());
        futures::future::join_all((0..callers).map(|_| async {
            for _ in 0..each {
                let outcome = self.call().await;
                tally.lock().count(outcome);
            }
        }))
        .await;
        tally.into_inner()
    }

    /// Several callers that call until `done` ends: what became of the calls, by caller.
    async fn calls_while(&self, done: impl Future<Output = ()>) -> Vec<Tally> {
        let tallies: Vec<Mutex<Tally>> = (0..CALLERS).map(|_| Mutex::default()).collect();
        let callers = futures::future::join_all(tallies.iter().map(|tally| async {
            loop {
                let outcome = self.call().await;
                tally.lock().count(outcome);
            }
        }));
        tokio::select! {
            _ = callers => unreachable!("they never end"),
            () = done => {}
        }
        tallies.into_iter().map(Mutex::into_inner).collect()
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for (runtime, _) in self.running.drain(..).flatten() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Default)]
struct Tally {
    served: BTreeMap<usize, usize>,
    failed: Vec<Status>,
}

impl Tally {
    fn count(&mut self, outcome: Result<usize, Status>) {
        match outcome {
            Ok(replica) => *self.served.entry(replica).or_default() += 1,
            Err(status) => self.failed.push(status),
        }
    }

    fn served_by(&self, replica: usize) -> usize {
        self.served.get(&replica).copied().unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_spread_and_go_on_when_a_replica_dies_and_come_back_to_it_when_it_does() {
    let mut replicas = Replicas::of((0..3).map(answers).collect()).await;
    let spread = replicas.calls(60).await;
    assert!(spread.failed.is_empty(), "{:?}", spread.failed);
    for replica in 0..3 {
        assert!(spread.served_by(replica) >= CALLERS * 60 / 10, "{:?}", spread.served);
    }

    replicas.kill(1);
    replicas.becomes(1, 0.0).await;
    let without = replicas.calls(60).await;
    assert!(without.failed.is_empty(), "{:?}", without.failed);
    assert_eq!(without.served_by(1), 0);
    assert!(without.served_by(0) > 0 && without.served_by(2) > 0, "{:?}", without.served);

    replicas.start(1, answers(1)).await;
    replicas.becomes(1, 1.0).await;
    let returned = async { while replicas.calls(10).await.served_by(1) < CALLERS {} };
    timeout(PATIENCE, returned).await.expect("load returns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_dies_under_load_breaks_only_the_calls_that_it_had() {
    let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let last = Stub::new().get_product(move |_| {
        called.send(()).unwrap();
        async { Ok(String::from("2")) }
    });
    let mut replicas = Replicas::of(vec![answers(0), answers(1), last]).await;
    let killed = replicas.running[2].take().unwrap().0;
    let tallies = replicas
        .calls_while(async {
            for _ in 0..CALLERS {
                calls.recv().await.unwrap();
            }
            killed.shutdown_background();
            replicas.becomes(2, 0.0).await;
            sleep(Duration::from_millis(50)).await;
        })
        .await;
    for tally in &tallies {
        assert!(tally.failed.len() <= 1, "each caller had one call under way: {:?}", tally.failed);
        for failed in &tally.failed {
            assert_eq!(failed.code(), Code::Unavailable);
            assert_eq!(reason_of(failed).as_deref(), Some("CONNECTION_LOST"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_replica_gets_fewer_calls() {
    let slow = Stub::new().get_product(|_| async {
        sleep(Duration::from_millis(200)).await;
        Ok(String::from("0"))
    });
    let replicas = Replicas::of(vec![slow, answers(1), answers(2)]).await;
    let tally = replicas.calls(40).await;
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    // A third would be its part.
    assert!(tally.served_by(0) * 8 < CALLERS * 40, "{:?}", tally.served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_refuses_at_once_does_not_draw_the_calls_to_itself() {
    let refusing = Stub::new()
        .get_product(|_| async { Err(unavailable("BUSY", "later", Duration::from_millis(250))) });
    let working = Stub::new().get_product(|_| async {
        sleep(Duration::from_millis(10)).await;
        Ok(String::from("1"))
    });
    let replicas = Replicas::of(vec![refusing, working]).await;
    let tally = replicas.calls_by(2, 80).await;
    assert!(tally.failed.len() * 4 < 160, "{} calls drawn", tally.failed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_is_a_call_fails_soon_and_the_first_that_comes_is_called_at_once() {
    let mut replicas = Replicas::none(3);
    let began = Instant::now();
    // Long enough that the pauses between attempts have grown.
    while began.elapsed() < Duration::from_secs(1) {
        let error = replicas.call().await.unwrap_err();
        assert_eq!(reason_of(&error).as_deref(), Some("UNREACHABLE"));
        sleep(Duration::from_millis(250)).await;
    }
    replicas.start(1, answers(1)).await;
    assert_eq!(replicas.call().await.unwrap(), 1, "it is not waited for the next attempt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_replaced_one_after_the_other_fail_no_call() {
    let mut replicas = Replicas::of((0..2).map(answers).collect()).await;
    let client = replicas.client.clone();
    let caller =
        Replicas { data: tempfile::tempdir().unwrap(), client, running: vec![], addresses: vec![] };
    let tallies = caller
        .calls_while(async {
            for round in 0..6 {
                let replica = round % 2;
                replicas.drain(replica).await;
                replicas.becomes(replica, 0.0).await;
                replicas.start(replica, answers(replica)).await;
                replicas.becomes(replica, 1.0).await;
            }
        })
        .await;
    for tally in &tallies {
        assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    }
    let served = |replica| tallies.iter().map(|tally| tally.served_by(replica)).sum::<usize>();
    assert!(served(0) > 0 && served(1) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_never_looks_at_its_connection_gets_no_call() {
    let mut replicas = Replicas::none(2);
    // The system takes connections for it, as it does for a process that is frozen.
    let frozen = std::net::TcpListener::bind(replicas.addresses[0]).unwrap();
    replicas.start(1, answers(1)).await;
    replicas.becomes(1, 1.0).await;
    let tally = replicas.calls(10).await;
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    assert_eq!(tally.served_by(1), CALLERS * 10);
    drop(frozen);
}
