//! The parts come up, survive a kill with what they had, and end with whoever started them.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use souk_backends::{
    Cassandra, Direction, Part, RabbitMq, Redis, Toxic, Toxiproxy, there_or_skipped,
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn ask_redis(address: SocketAddr, command: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn eventually(what: &str, look: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn redis_keeps_what_it_acknowledged_through_a_kill() {
    if !there_or_skipped(Part::Redis) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut redis = Redis::start(folder.path()).unwrap();
    assert_eq!(ask_redis(redis.address(), "SET cart full"), "+OK\r\n+OK\r\n");
    redis.kill().unwrap();
    assert!(!redis.answers());
    redis.start_again().unwrap();
    assert_eq!(ask_redis(redis.address(), "GET cart"), "$4\r\nfull\r\n+OK\r\n");
}

#[test]
fn a_frozen_server_keeps_its_port_and_goes_on_when_it_is_thawed() {
    if !there_or_skipped(Part::Redis) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(folder.path()).unwrap();
    redis.freeze().unwrap();
    assert!(!redis.answers());
    TcpStream::connect(redis.address()).unwrap();
    redis.thaw().unwrap();
    assert!(redis.answers());
}

#[test]
fn rabbitmq_comes_back_after_a_kill_and_ends_when_it_is_asked_to() {
    if !there_or_skipped(Part::RabbitMq) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut rabbitmq = RabbitMq::start(folder.path()).unwrap();
    rabbitmq.kill().unwrap();
    rabbitmq.start_again().unwrap();
    rabbitmq.stop().unwrap();
    assert!(!rabbitmq.answers());
}

#[test]
fn cassandra_answers_cql_and_ends_with_its_handle() {
    if !there_or_skipped(Part::Cassandra) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cassandra = Cassandra::start(folder.path(), 1).unwrap();
    let address = cassandra.nodes()[0].address();
    assert!(cassandra.nodes()[0].answers());
    drop(cassandra);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_disposable_server_leaves_no_data_behind() {
    if !there_or_skipped(Part::Cassandra) {
        return;
    }
    let folder = tempfile::tempdir().unwrap().keep();
    let cassandra = Cassandra::start_disposable(&folder).unwrap();
    assert!(folder.join("127.0.0.1/data").exists());
    drop(cassandra);
    assert!(!folder.exists());
}

#[test]
fn nothing_is_left_of_a_start_that_was_killed() {
    if !there_or_skipped(Part::Redis) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_souk-backends"))
        .args(["up", "--data", folder.path().to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address: SocketAddr = first.trim().rsplit('/').next().unwrap().parse().unwrap();
    assert!(Path::new(folder.path()).join("redis/redis.log").exists());
    up.kill().unwrap();
    up.wait().unwrap();
    eventually("Redis has ended with who started it", || TcpStream::connect(address).is_err());
}

/// How Redis answers PING through an open connection.
fn ping(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn connections_are_slow_half_open_torn_and_well_again_as_asked() {
    if !there_or_skipped(Part::Redis) || !there_or_skipped(Part::Toxiproxy) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(&folder.path().join("redis")).unwrap();
    let toxiproxy = Toxiproxy::start(&folder.path().join("toxiproxy")).unwrap();
    let proxy = toxiproxy.lead_to("redis", redis.address()).unwrap();
    let connect = || {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        stream
    };
    assert_eq!(ping(&mut connect()).unwrap(), "+PONG\r\n");

    let late = Toxic::Latency { latency_ms: 150, jitter_ms: 0 };
    proxy.poison_both(late).unwrap();
    let asked = Instant::now();
    assert_eq!(ping(&mut connect()).unwrap(), "+PONG\r\n");
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    proxy.heal().unwrap();

    proxy.poison(Toxic::Bandwidth { kilobytes_per_s: 1 }, Direction::Downstream).unwrap();
    let asked = Instant::now();
    let long = "x".repeat(2_000);
    let said = ask_redis(proxy.address(), &format!("ECHO {long}"));
    assert!(said.contains(&long) && asked.elapsed() >= Duration::from_secs(1), "{said}");
    proxy.heal().unwrap();

    let mut open = connect();
    assert_eq!(ping(&mut open).unwrap(), "+PONG\r\n");
    proxy.poison_both(Toxic::HalfOpen).unwrap();
    let silence = ping(&mut open).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock, "it stays open: {silence}");
    proxy.heal().unwrap();

    proxy.poison(Toxic::ResetPeer { after_ms: 0 }, Direction::Downstream).unwrap();
    assert!(ping(&mut connect()).is_err());
    proxy.heal().unwrap();
    assert_eq!(ping(&mut connect()).unwrap(), "+PONG\r\n");
}
