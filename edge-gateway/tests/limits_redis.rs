//! Limits that edges share in a real Redis, which is killed, frozen, and not there at all.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use souk_backends::redis_for_tests;
use souk_edge::Config;
use souk_edge::config::RateLimits;
use souk_edge::limits::{
    Class, Key, Network, PATIENCE, PAUSE, Rate, RateLimiter, Redis, Shared, Verdict, Who,
};
use souk_mesh::redis;
use uuid::Uuid;

use crate::limits::{assert_limited, few, forwarded};
use crate::support::Edge;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
const START_MS: i64 = 1_767_225_600_000;
const RATE: Rate = Rate::new(60, 5);

/// A limiter with a connection of its own, which waits as long as the machine may need.
pub async fn limiter(server: &souk_backends::Redis) -> Redis {
    Redis::open(&redis::Config::for_tests(server.address(), LONG)).await.unwrap()
}

/// An edge that counts there.
async fn edge_on(server: &souk_backends::Redis) -> Edge {
    let redis = redis::Config::for_tests(server.address(), Duration::from_millis(500));
    let trusted_proxies = vec![Network::try_from("127.0.0.1".to_owned()).unwrap()];
    let rate_limits = RateLimits::Redis;
    Edge::with(&Config { rate_limits, redis, trusted_proxies, ..few() }).await
}

fn somebody() -> Key {
    Key { class: Class::Writes, who: Who::User(Uuid::now_v7()) }
}

/// A shared count that answers, fails, or hangs, as the test says.
#[derive(Default)]
struct Remote {
    hangs: AtomicBool,
    fails: AtomicBool,
    refuses: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl RateLimiter for Remote {
    async fn take(&self, _: Key, _: Rate, _: i64) -> Result<Verdict, redis::Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(redis::Error::Away("for the test".to_owned()));
        }
        match self.refuses.load(Ordering::SeqCst) {
            true => Ok(Verdict::Refused(Duration::from_secs(7))),
            false => Ok(Verdict::Allowed),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_count_that_is_away_is_not_waited_for_and_the_edges_own_holds() {
    for hangs in [true, false] {
        let remote = Arc::new(Remote::default());
        let limits = Shared::new(remote.clone());
        remote.hangs.store(hangs, Ordering::SeqCst);
        remote.fails.store(!hangs, Ordering::SeqCst);
        let (key, began) = (somebody(), tokio::time::Instant::now());
        for _ in 0..5 {
            assert_eq!(limits.take(key, RATE, START_MS).await, Verdict::Allowed);
        }
        assert!(matches!(limits.take(key, RATE, START_MS).await, Verdict::Refused(_)));
        assert!(began.elapsed() <= PATIENCE + Duration::from_millis(1), "{:?}", began.elapsed());
        assert_eq!(remote.asked.load(Ordering::SeqCst), 1, "the others did not ask");

        // After the pause one call tries, and the rest goes by the own count until that has answered.
        tokio::time::advance(PAUSE).await;
        for _ in 0..5 {
            limits.take(somebody(), RATE, START_MS).await;
        }
        assert_eq!(remote.asked.load(Ordering::SeqCst), 2);

        remote.hangs.store(false, Ordering::SeqCst);
        remote.fails.store(false, Ordering::SeqCst);
        remote.refuses.store(true, Ordering::SeqCst);
        tokio::time::advance(PAUSE).await;
        for _ in 0..3 {
            let verdict = limits.take(somebody(), RATE, START_MS).await;
            assert_eq!(verdict, Verdict::Refused(Duration::from_secs(7)), "it counts again");
        }
    }
}

#[tokio::test]
async fn what_the_edge_itself_refuses_does_not_reach_the_shared_count() {
    let remote = Arc::new(Remote::default());
    let limits = Shared::new(remote.clone());
    let key = somebody();
    for _ in 0..1_000 {
        limits.take(key, RATE, START_MS).await;
    }
    assert!(remote.asked.load(Ordering::SeqCst) <= 5);
}

/// A client that nobody has seen.
fn new_client() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Ipv4Addr::from_bits(0x0b00_0000 + NEXT.fetch_add(1, Ordering::SeqCst)).to_string()
}

/// Waits until a client who has had all of one edge is refused by the other. Not every answer of Redis comes within the
/// edge's patience, however busy the machine.
async fn share_in_the_end(one: &Edge, other: &Edge) {
    let until = Instant::now() + LONG;
    loop {
        let client = new_client();
        for _ in 0..3 {
            forwarded(one, &client).await.unwrap();
        }
        if let Err(refused) = forwarded(other, &client).await {
            return assert_limited::<()>(Err(refused));
        }
        assert!(Instant::now() < until, "the edges do not share their counts");
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_share_their_counts_and_go_on_by_their_own_without_redis() {
    let Some(mut server) = redis_for_tests() else { return };
    let (one, other) = (edge_on(&server).await, edge_on(&server).await);
    share_in_the_end(&one, &other).await;

    server.kill().unwrap();
    let without = edge_on(&server).await;
    let client = new_client();
    for edge in [&one, &other, &without] {
        for _ in 0..3 {
            forwarded(edge, &client).await.unwrap();
        }
        assert_limited(forwarded(edge, &client).await);
    }

    server.start_again().unwrap();
    for (first, second) in [(&one, &other), (&without, &one)] {
        share_in_the_end(first, second).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_frozen_holds_no_call_up_and_counts_again_when_it_thaws() {
    let Some(mut server) = redis_for_tests() else { return };
    let limiter = limiter(&server).await;
    let redis =
        Redis::open(&redis::Config::for_tests(server.address(), Duration::from_millis(200)))
            .await
            .unwrap();
    let limits = Shared::new(Arc::new(redis));
    let key = somebody();
    // What another edge took, at a rate of which Redis knows for minutes by its own clock.
    let slow = Rate::new(1, 5);
    for _ in 0..5 {
        assert_eq!(limiter.take(key, slow, START_MS).await.unwrap(), Verdict::Allowed);
    }
    for kills in [false, true] {
        match kills {
            false => server.freeze().unwrap(),
            true => server.kill().unwrap(),
        }
        let began = Instant::now();
        let calls = 200;
        for _ in 0..calls {
            assert_eq!(limits.take(somebody(), RATE, START_MS).await, Verdict::Allowed);
        }
        let each = began.elapsed() / calls;
        assert!(each < PATIENCE, "{each:?}");
        match kills {
            false => server.thaw().unwrap(),
            true => server.start_again().unwrap(),
        }
        // It counts again by itself, and knows what was taken before. Of new callers, or the own count would refuse.
        let until = Instant::now() + LONG;
        loop {
            let other = somebody();
            for _ in 0..5 {
                let _ = limiter.take(other, slow, START_MS).await;
            }
            let taken = limiter.take(other, slow, START_MS).await;
            let refused = |verdict| matches!(verdict, Verdict::Refused(_));
            if taken.is_ok_and(refused) && refused(limits.take(other, slow, START_MS).await) {
                break;
            }
            assert!(Instant::now() < until, "waited in vain");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let kept = limiter.take(key, slow, START_MS).await;
    assert!(matches!(kept, Ok(Verdict::Refused(_))), "{kept:?}");
}
