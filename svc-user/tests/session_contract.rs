//! What every store of sessions promises, on each of them.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use souk_backends::redis_for_tests;
use souk_user::sessions::{
    GRACE_MS, MAX_SESSIONS, Renewed, SessionId, SessionStore, Sqlite, Times, TokenHash,
};
use uuid::Uuid;

use crate::{START_MS, session_redis};

const LIFETIME_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Those who show one token at once.
const AT_ONCE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract_of_sessions() {
    let folder = tempfile::tempdir().unwrap();
    holds(&[Arc::new(Sqlite::open(folder.path()).unwrap())]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract_of_sessions() {
    let Some(server) = redis_for_tests() else { return };
    // Two processes, as it were.
    let (one, other) = (session_redis::store(&server), session_redis::store(&server));
    holds(&[Arc::new(one.await), Arc::new(other.await)]).await;
}

/// Several handles on one store.
async fn holds(stores: &[Arc<dyn SessionStore>]) {
    let store = stores[0].as_ref();
    a_token_works_once_and_its_successor_after_it(store).await;
    a_token_that_is_shown_again_ends_its_session_and_no_other(store).await;
    a_lost_answer_is_given_again_while_nothing_came_of_it(store).await;
    a_session_dies_by_the_time_that_is_given(store).await;
    a_user_has_so_many_sessions_and_loses_the_idlest(store).await;
    what_was_closed_stays_closed(store).await;
    of_many_at_once_one_gets_a_token(stores).await;
    many_at_once_for_one_request_get_the_same(stores).await;
    sessions_opened_at_once_are_bounded_too(stores).await;
}

fn session_of(user_id: Uuid) -> SessionId {
    SessionId { user_id, session_id: Uuid::new_v4() }
}

fn new_session() -> SessionId {
    session_of(Uuid::now_v7())
}

/// The hash of a token that was never before.
fn token() -> TokenHash {
    let half = || Uuid::new_v4().into_bytes();
    [half(), half()].concat().try_into().unwrap()
}

fn at(now_ms: i64) -> Times {
    Times { now_ms, expires_at_ms: now_ms + LIFETIME_MS }
}

async fn opened(store: &dyn SessionStore, session: SessionId) -> TokenHash {
    let first = token();
    store.open(session, first, at(START_MS)).await.unwrap();
    first
}

async fn a_token_works_once_and_its_successor_after_it(store: &dyn SessionStore) {
    let session = new_session();
    let mut current = opened(store, session).await;
    for round in 0..5 {
        let next = token();
        let renewed = store.renew(session, current, next, at(START_MS + round)).await.unwrap();
        assert_eq!(renewed, Renewed::New);
        current = next;
    }
    let elsewhere = SessionId { user_id: Uuid::now_v7(), ..session };
    for stranger in [new_session(), session_of(session.user_id), elsewhere] {
        let renewed = store.renew(stranger, current, token(), at(START_MS)).await.unwrap();
        assert_eq!(renewed, Renewed::Unknown, "{stranger:?}");
    }
    let renewed = store.renew(session, current, token(), at(START_MS)).await.unwrap();
    assert_eq!(renewed, Renewed::New, "strangers change nothing");
}

async fn a_token_that_is_shown_again_ends_its_session_and_no_other(store: &dyn SessionStore) {
    // The token before, one of long ago, and one that never was.
    for age in [1, 2, usize::MAX] {
        let session = new_session();
        let other = session_of(session.user_id);
        let others = opened(store, other).await;
        let mut tokens = vec![opened(store, session).await];
        for _ in 0..3 {
            let (current, next) = (*tokens.last().unwrap(), token());
            store.renew(session, current, next, at(START_MS)).await.unwrap();
            tokens.push(next);
        }
        let stolen = tokens.iter().rev().nth(age).copied().unwrap_or_else(token);
        let renewed = store.renew(session, stolen, token(), at(START_MS)).await.unwrap();
        assert_eq!(renewed, Renewed::Reused, "{age}");
        let renewed = store.renew(session, tokens[3], token(), at(START_MS)).await.unwrap();
        assert_eq!(renewed, Renewed::Unknown, "also for who had the right one");
        let renewed = store.renew(other, others, token(), at(START_MS)).await.unwrap();
        assert_eq!(renewed, Renewed::New, "the user's other sessions go on");
    }
}

async fn a_lost_answer_is_given_again_while_nothing_came_of_it(store: &dyn SessionStore) {
    let renew = |session, presented, successor, after_ms: i64| async move {
        store.renew(session, presented, successor, at(START_MS + after_ms)).await.unwrap()
    };
    let (session, next) = (new_session(), token());
    let first = opened(store, session).await;
    assert_eq!(renew(session, first, next, 0).await, Renewed::New);
    for after_ms in [0, 1, GRACE_MS - 1] {
        assert_eq!(renew(session, first, next, after_ms).await, Renewed::Again);
    }
    assert_eq!(renew(session, next, token(), GRACE_MS).await, Renewed::New, "and it works");
    assert_eq!(renew(session, first, next, GRACE_MS).await, Renewed::Reused);

    let (session, next) = (new_session(), token());
    let first = opened(store, session).await;
    assert_eq!(renew(session, first, next, 0).await, Renewed::New);
    assert_eq!(renew(session, first, next, GRACE_MS).await, Renewed::Reused, "too late");

    let (session, next) = (new_session(), token());
    let first = opened(store, session).await;
    assert_eq!(renew(session, first, next, 0).await, Renewed::New);
    assert_eq!(renew(session, next, token(), 1).await, Renewed::New);
    assert_eq!(renew(session, first, next, 2).await, Renewed::Reused, "the answer was heard");
}

async fn a_session_dies_by_the_time_that_is_given(store: &dyn SessionStore) {
    let session = new_session();
    let (first, second) = (opened(store, session).await, token());
    let almost_ms = START_MS + LIFETIME_MS - 1;
    let renewed = store.renew(session, first, second, at(almost_ms)).await.unwrap();
    assert_eq!(renewed, Renewed::New);
    let end_ms = almost_ms + LIFETIME_MS;
    for used in [second, first] {
        let renewed = store.renew(session, used, token(), at(end_ms)).await.unwrap();
        assert_eq!(renewed, Renewed::Unknown);
    }
    let renewed = store.renew(session, second, token(), at(end_ms - 1)).await.unwrap();
    assert_eq!(renewed, Renewed::New, "each refresh gives it a whole life again");
    let endless = Times { now_ms: START_MS, expires_at_ms: i64::MAX };
    let (session, first) = (new_session(), token());
    store.open(session, first, endless).await.unwrap();
    assert_eq!(store.renew(session, first, token(), endless).await.unwrap(), Renewed::New);
}

async fn a_user_has_so_many_sessions_and_loses_the_idlest(store: &dyn SessionStore) {
    let user_id = Uuid::now_v7();
    let mut sessions = Vec::new();
    for opened_after in 0..MAX_SESSIONS as i64 {
        let (session, first) = (session_of(user_id), token());
        store.open(session, first, at(START_MS + opened_after)).await.unwrap();
        sessions.push((session, first));
    }
    // The first is used again; so the second is idle for longest.
    let (session, first) = sessions[0];
    let next = token();
    store.renew(session, first, next, at(START_MS + 100)).await.unwrap();
    sessions[0].1 = next;
    let one_more = (session_of(user_id), token());
    store.open(one_more.0, one_more.1, at(START_MS + 101)).await.unwrap();
    sessions.push(one_more);
    for (index, (session, current)) in sessions.iter().enumerate() {
        let renewed = store.renew(*session, *current, token(), at(START_MS + 102)).await.unwrap();
        let expected = if index == 1 { Renewed::Unknown } else { Renewed::New };
        assert_eq!(renewed, expected, "session {index}");
    }
    // The dead take nobody's place.
    let much_later = at(START_MS + 2 * LIFETIME_MS);
    let newest = (session_of(user_id), token());
    store.open(newest.0, newest.1, much_later).await.unwrap();
    let renewed = store.renew(newest.0, newest.1, token(), much_later).await.unwrap();
    assert_eq!(renewed, Renewed::New);
}

async fn what_was_closed_stays_closed(store: &dyn SessionStore) {
    let user_id = Uuid::now_v7();
    let sessions = [session_of(user_id), session_of(user_id), session_of(user_id)];
    let mut tokens = Vec::new();
    for session in sessions {
        tokens.push(opened(store, session).await);
    }
    let stranger = new_session();
    let strangers = opened(store, stranger).await;
    let works = |index: usize| {
        let (session, presented) = (sessions[index], tokens[index]);
        async move {
            // Its own successor: so it can be asked for again and again.
            store.renew(session, presented, presented, at(START_MS)).await.unwrap() == Renewed::New
        }
    };
    for _ in 0..2 {
        store.close(user_id, Some(sessions[0].session_id)).await.unwrap();
        assert_eq!((works(0).await, works(1).await, works(2).await), (false, true, true));
    }
    for _ in 0..2 {
        store.close(user_id, None).await.unwrap();
        assert_eq!((works(0).await, works(1).await, works(2).await), (false, false, false));
    }
    let renewed = store.renew(stranger, strangers, token(), at(START_MS)).await.unwrap();
    assert_eq!(renewed, Renewed::New, "another user's session goes on");
}

/// What became of one token, shown with each of `successors` at once.
async fn shown_at_once(
    stores: &[Arc<dyn SessionStore>],
    session: SessionId,
    presented: TokenHash,
    successors: impl Iterator<Item = TokenHash>,
) -> Vec<(TokenHash, Renewed)> {
    let shown = successors.enumerate().map(|(index, successor)| {
        let store = Arc::clone(&stores[index % stores.len()]);
        tokio::spawn(async move {
            let renewed = store.renew(session, presented, successor, at(START_MS)).await;
            (successor, renewed.unwrap())
        })
    });
    join_all(shown).await.into_iter().map(|answer| answer.unwrap()).collect()
}

async fn of_many_at_once_one_gets_a_token(stores: &[Arc<dyn SessionStore>]) {
    let session = new_session();
    let first = opened(stores[0].as_ref(), session).await;
    let answers = shown_at_once(stores, session, first, (0..AT_ONCE).map(|_| token())).await;
    let mut counts = HashMap::new();
    for (_, renewed) in &answers {
        *counts.entry(format!("{renewed:?}")).or_insert(0) += 1;
    }
    let expected = [("New", 1), ("Reused", 1), ("Unknown", AT_ONCE - 2)];
    let expected = expected.map(|(renewed, count)| (renewed.to_owned(), count));
    assert_eq!(counts, HashMap::from(expected));
    let (winner, _) = answers.iter().find(|(_, renewed)| *renewed == Renewed::New).unwrap();
    let renewed = stores[0].renew(session, *winner, token(), at(START_MS)).await.unwrap();
    assert_eq!(renewed, Renewed::Unknown, "which of them was the thief cannot be known");
}

async fn many_at_once_for_one_request_get_the_same(stores: &[Arc<dyn SessionStore>]) {
    let session = new_session();
    let first = opened(stores[0].as_ref(), session).await;
    let next = token();
    let answers = shown_at_once(stores, session, first, (0..AT_ONCE).map(|_| next)).await;
    let count = |wanted| answers.iter().filter(|(_, renewed)| *renewed == wanted).count();
    assert_eq!((count(Renewed::New), count(Renewed::Again)), (1, AT_ONCE - 1));
    let renewed = stores[0].renew(session, next, token(), at(START_MS)).await.unwrap();
    assert_eq!(renewed, Renewed::New);
}

async fn sessions_opened_at_once_are_bounded_too(stores: &[Arc<dyn SessionStore>]) {
    let user_id = Uuid::now_v7();
    let opening = (0..4 * MAX_SESSIONS).map(|index| {
        let store = Arc::clone(&stores[index % stores.len()]);
        tokio::spawn(async move {
            let session = session_of(user_id);
            let first = opened(store.as_ref(), session).await;
            (session, first)
        })
    });
    let mut alive = 0;
    for opened in join_all(opening).await {
        let (session, first) = opened.unwrap();
        let renewed = stores[0].renew(session, first, token(), at(START_MS)).await.unwrap();
        alive += usize::from(renewed == Renewed::New);
    }
    assert_eq!(alive, MAX_SESSIONS);
}

#[tokio::test]
async fn the_sweeper_forgets_the_expired_a_bounded_number_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).unwrap();
    let alive = new_session();
    let living = token();
    store.open(alive, living, at(START_MS + 1)).await.unwrap();
    for _ in 0..3 {
        opened(&store, new_session()).await;
    }
    let end_ms = START_MS + LIFETIME_MS;
    assert_eq!(store.sweep(end_ms - 1, 10).await.unwrap(), 0);
    assert_eq!(store.sweep(end_ms, 2).await.unwrap(), 2);
    assert_eq!(store.sweep(end_ms, 2).await.unwrap(), 1);
    assert_eq!(store.renew(alive, living, token(), at(end_ms)).await.unwrap(), Renewed::New);
}
