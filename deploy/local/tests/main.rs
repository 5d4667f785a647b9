//! The parts come up, survive a kill with what they had, and end with whoever started them.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use souk_backends::{Cassandra, Part, RabbitMq, Redis, there_or_skipped};

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
