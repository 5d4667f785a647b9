//! Sessions on a real Redis that is killed, frozen, and not there at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use souk_backends::redis_for_tests;
use souk_mesh::error::retry_after_of;
use souk_mesh::redis;
use souk_proto::user::v1::GetUserRequest;
use souk_user::sessions::Redis;
use souk_user::{Config, config};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::sessions::{login, logout, refresh_by, with_token};
use crate::{Shop, assert_refused};

/// How long a script may take where Redis is frozen or killed.
const LIMIT: Duration = Duration::from_millis(300);
/// What the machine may need beside that, however busy it is.
const SLACK: Duration = Duration::from_secs(3);
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse battery";

/// A store with a connection of its own, which waits as long as the machine may need.
pub async fn store(server: &souk_backends::Redis) -> Redis {
    Redis::open(&redis::Config::for_tests(server.address(), PATIENCE)).await.unwrap()
}

/// A shop whose sessions are there.
async fn shop_on(server: &souk_backends::Redis) -> Shop {
    let redis = redis::Config::for_tests(server.address(), LIMIT);
    Shop::open_with(Config { sessions: config::Sessions::Redis, redis, ..Config::default() }).await
}

#[track_caller]
fn assert_away<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.unwrap_err();
    assert!(retry_after_of(&status).is_some(), "{status:?}");
    assert_refused::<()>(Err(status), Code::Unavailable, "STORE_UNAVAILABLE");
}

/// Refreshes by one request id until it is answered, as clients do that hear nothing.
async fn refresh_until_answered(shop: &Shop, token: &str) -> String {
    let (request_id, until) = (Uuid::new_v4().to_string(), Instant::now() + PATIENCE);
    loop {
        match refresh_by(shop, token, &request_id).await {
            Ok(answer) => return answer.refresh_token,
            answer => {
                assert_away(answer);
                assert!(Instant::now() < until, "waited in vain");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_under_load_ends_no_session() {
    let Some(mut server) = redis_for_tests() else { return };
    const CLIENTS: usize = 8;
    const REFRESHES_EACH: usize = 100;
    let shop = Arc::new(shop_on(&server).await);
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let registered = shop.register(&format!("c{client}@example.com"), PASSWORD).await.unwrap();
        let (shop, answered) = (Arc::clone(&shop), Arc::clone(&answered));
        clients.push(tokio::spawn(async move {
            let mut token = registered.refresh_token;
            for _ in 0..REFRESHES_EACH {
                token = refresh_until_answered(&shop, &token).await;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            token
        }));
    }
    let amina = shop.register("amina@example.com", PASSWORD).await.unwrap();
    let user_id = amina.user.unwrap().user_id;
    for kill in 1..=3 {
        while answered.load(Ordering::SeqCst) < kill * CLIENTS * REFRESHES_EACH / 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill().unwrap();
        assert_away(login(&shop, "amina@example.com", PASSWORD).await);
        assert_away(logout(&shop, &amina.access_token, "").await);
        // Who is signed in needs no store.
        let read = with_token(&amina.access_token, GetUserRequest { user_id: user_id.clone() });
        shop.users.clone().get_user(read).await.unwrap();
        server.start_again().unwrap();
    }
    for client in clients {
        let token = client.await.unwrap();
        refresh_until_answered(&shop, &token).await;
    }
    refresh_until_answered(&shop, &amina.refresh_token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_away_within_the_limit_and_sessions_go_on_when_it_thaws() {
    let Some(server) = redis_for_tests() else { return };
    let shop = shop_on(&server).await;
    let amina = shop.register("amina@example.com", PASSWORD).await.unwrap();
    let request_id = Uuid::new_v4().to_string();
    server.freeze().unwrap();
    let began = Instant::now();
    assert_away(refresh_by(&shop, &amina.refresh_token, &request_id).await);
    assert!(began.elapsed() < LIMIT + SLACK, "{:?}", began.elapsed());
    server.thaw().unwrap();
    let until = Instant::now() + PATIENCE;
    let again = loop {
        // It may have run when Redis woke: the same request gets the same answer either way.
        match refresh_by(&shop, &amina.refresh_token, &request_id).await {
            Ok(answer) => break answer,
            answer => assert_away(answer),
        }
        assert!(Instant::now() < until, "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    refresh_until_answered(&shop, &again.refresh_token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_start_without_their_redis_and_sign_in_when_it_is_there() {
    let Some(mut server) = redis_for_tests() else { return };
    server.kill().unwrap();
    let shop = shop_on(&server).await;
    let registration = crate::registration("amina@example.com", PASSWORD);
    let register = || async { shop.users.clone().register(registration.clone()).await };
    assert_away(register().await);
    server.start_again().unwrap();
    let until = Instant::now() + PATIENCE;
    // The account was made by the first try; the same request signs in to it.
    let token = loop {
        match register().await {
            Ok(answer) => break answer.into_inner().refresh_token,
            answer => assert_away(answer),
        }
        assert!(Instant::now() < until, "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    refresh_until_answered(&shop, &token).await;
    let file = shop.folder.path().join(souk_user::NAME).join("session.db");
    assert!(!file.exists(), "no session is kept here");
}
