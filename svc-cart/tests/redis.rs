//! Carts on a real Redis that is killed, frozen, and not there at all.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use souk_backends::redis_for_tests;
use souk_cart::store::{CartStore, Edit, MAX_REMEMBERED, Redis};
use souk_cart::{Config, Error, config};
use souk_mesh::error::retry_after_of;
use souk_mesh::redis::{self, Reply, Script};
use souk_proto::cart::v1::GetCartRequest;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::contract::{add, edit, pieces};
use crate::{START_MS, Shop, assert_refused};

/// How long a script may take where Redis is frozen or killed.
const LIMIT: Duration = Duration::from_millis(300);
/// What the machine may need beside that, however busy it is.
const SLACK: Duration = Duration::from_secs(2);
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store with a connection of its own, which waits as long as the machine may need.
pub async fn store(server: &souk_backends::Redis) -> Redis {
    Redis::open(&redis::Config::for_tests(server.address(), PATIENCE)).await.unwrap()
}

/// A store with a connection of its own, which waits no longer than [`LIMIT`].
async fn hasty_store(server: &souk_backends::Redis) -> Redis {
    Redis::open(&redis::Config::for_tests(server.address(), LIMIT)).await.unwrap()
}

/// Every key's time to live in milliseconds (-1: for good) and length, as Redis sees them.
async fn keys_of(server: &souk_backends::Redis) -> Vec<(i64, i64)> {
    static KEYS: Script = Script::new(
        "test_keys",
        "local found = {}
         for _, key in ipairs(redis.call('KEYS', '*')) do
             local kind = redis.call('TYPE', key).ok
             local count = redis.call(kind == 'hash' and 'HLEN' or 'LLEN', key)
             table.insert(found, {redis.call('PTTL', key), count})
         end
         return found",
    );
    let connection =
        redis::Redis::open(&redis::Config::for_tests(server.address(), PATIENCE)).await.unwrap();
    let Reply::List(found) = connection.run(&KEYS, &[], &[]).await.unwrap() else {
        panic!("a list of keys");
    };
    let pair = |reply: Reply| {
        let [ttl, count] = reply.into_list().unwrap();
        (ttl.into_integer().unwrap(), count.into_integer().unwrap())
    };
    found.into_iter().map(pair).collect()
}

/// Asks until it is answered.
async fn eventually<T, F: Future<Output = Result<T, Error>>>(ask: impl Fn() -> F) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert_passing(error);
                assert!(Instant::now() < until, "waited in vain");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

#[track_caller]
fn assert_passing(error: Error) {
    let told = error.to_string();
    let status = Status::from(error);
    assert!(retry_after_of(&status).is_some(), "{told}: {status:?}");
    assert_refused::<()>(Err(status), Code::Unavailable, "STORE_UNAVAILABLE");
}

/// The answer has to be that Redis is away, and has to be soon.
async fn assert_away(store: &Redis, adding: &Edit) {
    let began = Instant::now();
    assert_passing(store.edit(adding.clone()).await.unwrap_err());
    assert_passing(store.cart(adding.user_id, START_MS).await.unwrap_err());
    assert!(began.elapsed() < 2 * LIMIT + SLACK, "{:?}", began.elapsed());
}

/// Edits of one customer, made and acknowledged.
#[derive(Default)]
struct Books {
    tried: AtomicUsize,
    acknowledged: AtomicUsize,
}

/// Makes edits that each put one piece in; each is asked for until it is answered, as clients do with a request id.
async fn edit_until_answered(store: Redis, user: Uuid, edits: usize, books: Arc<Books>) {
    for _ in 0..edits {
        let adding = edit(user, add(Uuid::nil(), 1));
        eventually(|| store.edit(adding.clone())).await;
        books.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// Makes edits without request ids, which are asked for once, until `stop`.
async fn edit_once_each(store: Redis, user: Uuid, books: Arc<Books>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        books.tried.fetch_add(1, Ordering::SeqCst);
        let adding = Edit { key: None, ..edit(user, add(Uuid::nil(), 1)) };
        match store.edit(adding).await {
            Ok(_) => {
                books.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Err(Error::Illegal(_)) => return,
            Err(error) => {
                assert_passing(error);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_keeps_what_it_acknowledged_and_nothing_counts_twice() {
    let Some(mut server) = redis_for_tests() else { return };
    const WRITERS: usize = 4;
    const EDITS_EACH: usize = 100;
    let (careful, careless) = (Uuid::new_v4(), Uuid::new_v4());
    let (books, careless_books) = (Arc::new(Books::default()), Arc::new(Books::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let store = hasty_store(&server).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            tokio::spawn(edit_until_answered(store.clone(), careful, EDITS_EACH, books.clone()))
        })
        .collect();
    let other =
        edit_once_each(hasty_store(&server).await, careless, careless_books.clone(), stop.clone());
    let other = tokio::spawn(other);
    for kill in 1..=3 {
        while books.acknowledged.load(Ordering::SeqCst) < kill * WRITERS * EDITS_EACH / 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill().unwrap();
        let at_least = books.acknowledged.load(Ordering::SeqCst);
        assert_away(&store, &edit(Uuid::new_v4(), add(Uuid::nil(), 1))).await;
        server.start_again().unwrap();
        let cart = eventually(|| store.cart(careful, START_MS)).await;
        assert!(pieces(&cart) as usize >= at_least, "{} of {at_least}", pieces(&cart));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    other.await.unwrap();
    let cart = eventually(|| store.cart(careful, START_MS)).await;
    assert_eq!(pieces(&cart) as usize, WRITERS * EDITS_EACH);
    let cart = eventually(|| store.cart(careless, START_MS)).await;
    let kept = careless_books.acknowledged.load(Ordering::SeqCst)
        ..=careless_books.tried.load(Ordering::SeqCst);
    assert!(kept.contains(&(pieces(&cart) as usize)), "{} of {kept:?}", pieces(&cart));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_away_within_the_limit_and_works_again_when_it_thaws() {
    let Some(server) = redis_for_tests() else { return };
    let (user, product) = (Uuid::new_v4(), Uuid::new_v4());
    let store = hasty_store(&server).await;
    let first = edit(user, add(product, 1));
    eventually(|| store.edit(first.clone())).await;
    // Shorter, and longer than the connection is given: after the latter a new one is made.
    for (round, frozen_for) in [(1, Duration::ZERO), (2, 8 * LIMIT)] {
        let adding = edit(user, add(product, 1));
        server.freeze().unwrap();
        let since = Instant::now();
        assert_away(&store, &adding).await;
        while since.elapsed() < frozen_for {
            assert_away(&store, &adding).await;
        }
        server.thaw().unwrap();
        let cart = eventually(|| store.edit(adding.clone())).await;
        assert_eq!(pieces(&cart), 1 + round, "however often it was asked for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_forgets_what_is_dead_and_remembers_a_bounded_number_of_requests() {
    let Some(server) = redis_for_tests() else { return };
    let store = store(&server).await;
    let (user, product) = (Uuid::new_v4(), Uuid::new_v4());
    let last = edit(user, add(product, 1));
    for _ in 0..MAX_REMEMBERED {
        store.edit(edit(user, add(product, 1))).await.unwrap();
    }
    store.edit(last.clone()).await.unwrap();
    let cart = store.edit(last.clone()).await.unwrap();
    assert_eq!(pieces(&cart) as usize, MAX_REMEMBERED + 1);
    let mut keys = keys_of(&server).await;
    keys.sort_by_key(|(_, count)| *count);
    let counts: Vec<_> = keys.iter().map(|(_, count)| *count as usize).collect();
    assert_eq!(counts, [3, MAX_REMEMBERED, MAX_REMEMBERED]);
    let almost_ms = last.lifetime_ms - PATIENCE.as_millis() as i64;
    assert!(keys.iter().all(|(ttl, _)| (almost_ms..=last.lifetime_ms).contains(ttl)), "{keys:?}");

    let brief = Edit { lifetime_ms: 30, key: None, ..edit(Uuid::new_v4(), add(product, 1)) };
    store.edit(brief).await.unwrap();
    let until = Instant::now() + PATIENCE;
    while keys_of(&server).await.len() > keys.len() {
        assert!(Instant::now() < until, "a dead cart stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Longer than Redis can count: refused by nobody, and whole.
    let endless = Edit { lifetime_ms: i64::MAX, ..edit(Uuid::new_v4(), add(product, 1)) };
    assert_eq!(pieces(&store.edit(endless).await.unwrap()), 1);
    assert!(keys_of(&server).await.iter().all(|(ttl, _)| *ttl > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_starts_without_its_redis_and_serves_when_it_is_there() {
    let Some(mut server) = redis_for_tests() else { return };
    server.kill().unwrap();
    let config = Config {
        store: config::Store::Redis,
        redis: redis::Config::for_tests(server.address(), LIMIT),
        ..Config::default()
    };
    let (shop, user) = (Shop::open_with(config).await, Uuid::new_v4());
    let get = || shop.of(&user, GetCartRequest::default());
    let away = shop.carts.clone().get_cart(get()).await;
    assert!(retry_after_of(away.as_ref().unwrap_err()).is_some());
    assert_refused(away, Code::Unavailable, "STORE_UNAVAILABLE");

    server.start_again().unwrap();
    let until = Instant::now() + PATIENCE;
    while let Err(status) = shop.carts.clone().get_cart(get()).await {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(Instant::now() < until, "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let entries: Vec<_> = std::fs::read_dir(shop.folder.path()).unwrap().flatten().collect();
    assert!(entries.iter().all(|entry| entry.file_name() != souk_cart::NAME), "{entries:?}");
}
