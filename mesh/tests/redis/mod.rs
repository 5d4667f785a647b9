//! Scripts on a real Redis: what they return, what is refused, and what a Redis that hangs costs its callers.

mod proxy;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use futures::future::join_all;
use proxy::{Answers, Proxy};
use souk_backends::redis_for_tests;
use souk_mesh::error::{reason_of, retry_after_of};
use souk_mesh::redis::{Config, Error, Redis, Reply, Script};
use tonic::{Code, Status};

static ECHO: Script =
    Script::new("echo", "return {KEYS[1], ARGV[1], #ARGV[2], false, {redis.status_reply('OK')}}");
static ONE: Script = Script::new("one", "return 1");
static WRONG: Script = Script::new("wrong", "return redis.call('HGET', KEYS[1])");
static COUNT: Script = Script::new("count", "return redis.call('INCR', KEYS[1])");
static FULL: Script =
    Script::new("full", "return redis.error_reply('OOM command not allowed when used memory')");

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn open(server: &souk_backends::Redis, limit: Duration) -> Redis {
    open_at(server.address(), limit).await
}

async fn open_at(address: SocketAddr, limit: Duration) -> Redis {
    Redis::open(&Config::for_tests(address, limit)).await.unwrap()
}

/// As a restart does.
fn forget_scripts(server: &souk_backends::Redis) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"SCRIPT FLUSH\r\nQUIT\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "+OK\r\n+OK\r\n");
}

#[tokio::test]
async fn a_script_runs_also_where_redis_has_forgotten_it() {
    let Some(server) = redis_for_tests() else { return };
    let redis = open(&server, PATIENCE).await;
    let arguments = [b"\0\xffbytes".to_vec(), Vec::new()];
    for _ in 0..3 {
        let reply = redis.run(&ECHO, &["key".to_owned()], &arguments).await.unwrap();
        let [key, bytes, length, nothing, nested] = reply.into_list().unwrap();
        assert_eq!(key.into_bytes().unwrap().as_deref(), Some(b"key".as_slice()));
        assert_eq!(bytes.into_bytes().unwrap().as_ref(), Some(&arguments[0]));
        assert_eq!((length.into_integer().unwrap(), nothing), (0, Reply::Nothing));
        assert_eq!(nested, Reply::List(vec![Reply::Bytes(b"OK".to_vec())]));
        forget_scripts(&server);
    }
}

#[tokio::test]
async fn what_redis_refuses_is_told_apart_from_what_passes() {
    let Some(server) = redis_for_tests() else { return };
    let redis = open(&server, PATIENCE).await;
    let refused = redis.run(&WRONG, &["key".to_owned()], &[]).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    assert_eq!(Status::from(refused).code(), Code::Internal);
    let full = redis.run(&FULL, &[], &[]).await.unwrap_err();
    assert!(matches!(full, Error::Away(_)), "{full}");
    let status = Status::from(full);
    assert_eq!(reason_of(&status).as_deref(), Some("STORE_UNAVAILABLE"));
    assert!(!status.message().contains("OOM"), "secret of the inside");
}

#[tokio::test]
async fn only_so_many_calls_wait_for_a_redis_that_hangs() {
    const CALLS: usize = 1_100;
    let Some(server) = redis_for_tests() else { return };
    let redis = open(&server, Duration::from_millis(500)).await;
    server.freeze().unwrap();
    let began = Instant::now();
    let calls = (0..CALLS).map(|_| redis.run(&ONE, &[], &[]));
    let answers = join_all(calls).await;
    let errors: Vec<_> = answers.into_iter().map(|answer| answer.unwrap_err()).collect();
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    let overloaded = errors.iter().filter(|error| matches!(error, Error::Overloaded)).count();
    assert_eq!(overloaded, CALLS - 1024);
    for status in errors.into_iter().map(Status::from) {
        assert!(retry_after_of(&status).is_some(), "{status:?}");
    }
    server.thaw().unwrap();
    answers_again(&redis).await;
}

async fn answers_again(redis: &Redis) {
    let until = Instant::now() + PATIENCE;
    while redis.run(&ONE, &[], &[]).await.is_err() {
        assert!(Instant::now() < until, "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_script_whose_answer_is_lost_is_never_sent_again() {
    let Some(server) = redis_for_tests() else { return };
    let direct = open(&server, PATIENCE).await;
    let proxy = Proxy::before(server.address()).await;
    let limit = Duration::from_millis(300);
    let redis = open_at(proxy.address, limit).await;
    let key = ["count".to_owned()];
    // Known to Redis, so that it is one command.
    assert_eq!(redis.run(&COUNT, &key, &[]).await.unwrap(), Reply::Integer(1));
    for (answers, count) in [(Answers::Break, 2), (Answers::Vanish, 4)] {
        proxy.let_answers(answers);
        let lost = redis.run(&COUNT, &key, &[]).await.unwrap_err();
        assert!(matches!(lost, Error::Away(_) | Error::TimedOut), "{lost}");
        proxy.let_answers(Answers::Arrive);
        // On a new connection: the old one is gone, or given up.
        answers_again(&redis).await;
        assert_eq!(direct.run(&COUNT, &key, &[]).await.unwrap(), Reply::Integer(count + 1));
    }
}
