//! What every limiter promises, on each of them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use souk_backends::redis_for_tests;
use souk_edge::limits::{Class, Key, Local, MAX_CALLERS, Rate, RateLimiter, Verdict, Who};
use uuid::Uuid;

use crate::limits_redis::limiter;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
/// One call a second, five at once.
const RATE: Rate = Rate::new(60, 5);
/// Those who call at once.
const AT_ONCE: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn the_limiter_of_a_process_keeps_the_contract() {
    let limiter: Arc<dyn RateLimiter> = Arc::new(Local::default());
    holds(&[limiter]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limiter_in_redis_keeps_the_contract() {
    let Some(server) = redis_for_tests() else { return };
    // Two edges, as it were.
    holds(&[Arc::new(limiter(&server).await), Arc::new(limiter(&server).await)]).await;
}

/// Several handles on one count.
async fn holds(limiters: &[Arc<dyn RateLimiter>]) {
    let limiter = limiters[0].as_ref();
    a_burst_is_let_through_and_then_the_rate(limiter).await;
    what_is_refused_costs_nothing_and_says_when_to_come_back(limiter).await;
    callers_and_classes_do_not_meet(limiter).await;
    a_pause_gives_one_burst_and_no_more(limiter).await;
    a_clock_that_goes_back_gives_nothing(limiter).await;
    fast_rates_are_counted_below_a_millisecond(limiter).await;
    of_many_at_once_a_burst_is_let_through(limiters).await;
}

fn somebody() -> Key {
    Key { class: Class::Writes, who: Who::User(Uuid::now_v7()) }
}

async fn at(limiter: &dyn RateLimiter, key: Key, after_ms: i64) -> Verdict {
    limiter.take(key, RATE, START_MS + after_ms).await.unwrap()
}

fn wait(ms: u64) -> Verdict {
    Verdict::Refused(Duration::from_millis(ms))
}

async fn a_burst_is_let_through_and_then_the_rate(limiter: &dyn RateLimiter) {
    let key = somebody();
    for _ in 0..5 {
        assert_eq!(at(limiter, key, 0).await, Verdict::Allowed);
    }
    for second in 1..20 {
        assert_eq!(at(limiter, key, second * 1_000 - 1).await, wait(1), "{second}");
        assert_eq!(at(limiter, key, second * 1_000).await, Verdict::Allowed, "{second}");
    }
}

async fn what_is_refused_costs_nothing_and_says_when_to_come_back(limiter: &dyn RateLimiter) {
    let key = somebody();
    for _ in 0..5 {
        at(limiter, key, 0).await;
    }
    for _ in 0..100 {
        assert_eq!(at(limiter, key, 0).await, wait(1_000));
        assert_eq!(at(limiter, key, 400).await, wait(600));
    }
    assert_eq!(at(limiter, key, 1_000).await, Verdict::Allowed);
}

async fn callers_and_classes_do_not_meet(limiter: &dyn RateLimiter) {
    let key = somebody();
    let address = |text: &str| Who::at(text.parse().unwrap());
    for _ in 0..6 {
        at(limiter, key, 0).await;
    }
    assert_ne!(at(limiter, key, 0).await, Verdict::Allowed);
    let random = Uuid::new_v4().as_u128();
    let v6 = std::net::Ipv6Addr::from_bits(random | 1 << 127).to_string();
    for other in [
        somebody(),
        Key { class: Class::Reads, ..key },
        Key { who: address("192.0.2.1"), ..key },
        Key { who: address(&v6), ..key },
    ] {
        for _ in 0..5 {
            assert_eq!(at(limiter, other, 0).await, Verdict::Allowed, "{other:?}");
        }
        assert_ne!(at(limiter, other, 0).await, Verdict::Allowed, "{other:?}");
    }
}

async fn a_pause_gives_one_burst_and_no_more(limiter: &dyn RateLimiter) {
    let key = somebody();
    for pause in 0..3 {
        let after_ms = pause * 3_600_000;
        for _ in 0..5 {
            assert_eq!(at(limiter, key, after_ms).await, Verdict::Allowed);
        }
        assert_ne!(at(limiter, key, after_ms).await, Verdict::Allowed);
    }
}

async fn a_clock_that_goes_back_gives_nothing(limiter: &dyn RateLimiter) {
    let key = somebody();
    for _ in 0..5 {
        at(limiter, key, 10_000).await;
    }
    for after_ms in [10_000, 9_000, 0] {
        assert_ne!(at(limiter, key, after_ms).await, Verdict::Allowed);
    }
    assert_eq!(at(limiter, key, 11_000).await, Verdict::Allowed);
}

async fn fast_rates_are_counted_below_a_millisecond(limiter: &dyn RateLimiter) {
    let key = somebody();
    // A hundred microseconds each.
    let fast = Rate::new(600_000, 10);
    let mut allowed = 0;
    for after_ms in 0..10 {
        for _ in 0..50 {
            let verdict = limiter.take(key, fast, START_MS + after_ms).await.unwrap();
            allowed += usize::from(verdict == Verdict::Allowed);
        }
    }
    assert_eq!(allowed, 10 + 9 * 10);
}

async fn of_many_at_once_a_burst_is_let_through(limiters: &[Arc<dyn RateLimiter>]) {
    let key = somebody();
    let taking = (0..AT_ONCE).map(|index| {
        let limiter = Arc::clone(&limiters[index % limiters.len()]);
        tokio::spawn(async move { at(limiter.as_ref(), key, 0).await })
    });
    let verdicts = join_all(taking).await.into_iter().map(|verdict| verdict.unwrap());
    assert_eq!(verdicts.filter(|verdict| *verdict == Verdict::Allowed).count(), 5);
}

#[tokio::test]
async fn a_process_remembers_a_bounded_number_of_callers_and_those_who_took_most() {
    let limiter = Local::default();
    let greedy = somebody();
    for _ in 0..5 {
        limiter.take_now(greedy, RATE, START_MS);
    }
    for _ in 0..MAX_CALLERS + 10_000 {
        assert_eq!(limiter.take_now(somebody(), RATE, START_MS), Verdict::Allowed);
    }
    assert!(limiter.callers() <= MAX_CALLERS, "{}", limiter.callers());
    assert_ne!(limiter.take_now(greedy, RATE, START_MS), Verdict::Allowed);
    // Everybody has paid: they need not be remembered.
    for _ in 0..10_000 {
        limiter.take_now(somebody(), RATE, START_MS + 60_000);
    }
    assert!(limiter.callers() <= MAX_CALLERS / 2, "{}", limiter.callers());
}
