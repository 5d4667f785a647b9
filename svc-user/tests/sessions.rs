//! Staying signed in: refresh tokens, their theft, their end.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use souk_proto::user::v1::{
    GetUserRequest, LoginRequest, LoginResponse, LogoutRequest, LogoutResponse,
    RefreshTokenRequest, RefreshTokenResponse,
};
use souk_user::sessions::{GRACE_MS, MAX_SESSIONS, RefreshToken};
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::{Shop, assert_refused};

const EMAIL: &str = "amina@example.com";
const PASSWORD: &str = "correct horse battery";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub async fn login(shop: &Shop, email: &str, password: &str) -> Result<LoginResponse, Status> {
    let request =
        LoginRequest { email: email.into(), password: password.into(), ..Default::default() };
    shop.users.clone().login(request).await.map(Response::into_inner)
}

pub async fn refresh_by(
    shop: &Shop,
    token: &str,
    request_id: &str,
) -> Result<RefreshTokenResponse, Status> {
    let request =
        RefreshTokenRequest { refresh_token: token.to_owned(), request_id: request_id.to_owned() };
    shop.users.clone().refresh_token(request).await.map(Response::into_inner)
}

async fn refresh(shop: &Shop, token: &str) -> Result<RefreshTokenResponse, Status> {
    refresh_by(shop, token, &Uuid::new_v4().to_string()).await
}

pub async fn logout(
    shop: &Shop,
    access_token: &str,
    refresh_token: &str,
) -> Result<Response<LogoutResponse>, Status> {
    let message = LogoutRequest { refresh_token: refresh_token.to_owned(), ..Default::default() };
    shop.users.clone().logout(with_token(access_token, message)).await
}

pub fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[track_caller]
fn assert_useless(answer: Result<RefreshTokenResponse, Status>) {
    assert_refused(answer, Code::Unauthenticated, "BAD_REFRESH_TOKEN");
}

#[tokio::test]
async fn who_signs_in_stays_signed_in_by_refreshing() {
    let shop = Shop::open().await;
    let registered = shop.register(EMAIL, PASSWORD).await.unwrap();
    let user_id = registered.user.unwrap().user_id;
    let logged_in = login(&shop, EMAIL, PASSWORD).await.unwrap();
    for mut token in [registered.refresh_token, logged_in.refresh_token] {
        for _ in 0..3 {
            // Far beyond an access token's life, within a session's.
            shop.clock.advance_ms(29 * DAY_MS);
            let renewed = refresh(&shop, &token).await.unwrap();
            let read = GetUserRequest { user_id: user_id.clone() };
            let read = with_token(&renewed.access_token, read);
            let read = shop.users.clone().get_user(read).await.unwrap().into_inner();
            assert_eq!(read.user.unwrap().email, EMAIL);
            assert_ne!(renewed.refresh_token, token);
            token = renewed.refresh_token;
            shop.clock.advance_ms(-29 * DAY_MS);
        }
    }
}

#[tokio::test]
async fn a_session_that_is_not_used_for_its_lifetime_is_over() {
    let shop = Shop::open().await;
    let first = shop.register(EMAIL, PASSWORD).await.unwrap().refresh_token;
    shop.clock.advance_ms(30 * DAY_MS - 1);
    let second = refresh(&shop, &first).await.unwrap().refresh_token;
    shop.clock.advance_ms(30 * DAY_MS);
    assert_useless(refresh(&shop, &second).await);
    assert!(login(&shop, EMAIL, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_stolen_token_ends_the_session_for_thief_and_owner() {
    let shop = Shop::open().await;
    let stolen = shop.register(EMAIL, PASSWORD).await.unwrap().refresh_token;
    let elsewhere = login(&shop, EMAIL, PASSWORD).await.unwrap().refresh_token;
    let owners = refresh(&shop, &stolen).await.unwrap().refresh_token;
    assert_useless(refresh(&shop, &stolen).await);
    assert_useless(refresh(&shop, &owners).await);
    assert!(refresh(&shop, &elsewhere).await.is_ok(), "her other session goes on");
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again_to_the_same_request() {
    let shop = Shop::open().await;
    let first = shop.register(EMAIL, PASSWORD).await.unwrap().refresh_token;
    let request_id = Uuid::new_v4().to_string();
    let lost = refresh_by(&shop, &first, &request_id).await.unwrap();
    shop.clock.advance_ms(GRACE_MS - 1);
    let heard = refresh_by(&shop, &first, &request_id).await.unwrap();
    assert_eq!(heard.refresh_token, lost.refresh_token);
    shop.clock.advance_ms(1);
    assert_useless(refresh_by(&shop, &first, &request_id).await);

    let first = login(&shop, EMAIL, PASSWORD).await.unwrap().refresh_token;
    refresh_by(&shop, &first, "").await.unwrap();
    assert_useless(refresh_by(&shop, &first, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_refreshes_of_one_token_one_gets_a_new_one() {
    let shop = Shop::open().await;
    let first = shop.register(EMAIL, PASSWORD).await.unwrap().refresh_token;
    let answers = join_all((0..100).map(|_| refresh(&shop, &first))).await;
    let (given, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((given.len(), refused.len()), (1, 99));
    refused.into_iter().for_each(assert_useless);

    let first = login(&shop, EMAIL, PASSWORD).await.unwrap().refresh_token;
    let request_id = Uuid::new_v4().to_string();
    let answers = join_all((0..100).map(|_| refresh_by(&shop, &first, &request_id))).await;
    let mut given: Vec<_> =
        answers.into_iter().map(|answer| answer.unwrap().refresh_token).collect();
    given.dedup();
    assert_eq!(given.len(), 1, "one request has one answer");
    assert!(refresh(&shop, &given[0]).await.is_ok());
}

#[tokio::test]
async fn who_signs_out_ends_one_session_or_all_of_hers_and_nobody_elses() {
    let shop = Shop::open().await;
    let amina = shop.register(EMAIL, PASSWORD).await.unwrap();
    let other = shop.register("other@example.com", PASSWORD).await.unwrap();
    let here = amina.refresh_token;
    let there = login(&shop, EMAIL, PASSWORD).await.unwrap().refresh_token;
    for useless in [&other.refresh_token, "no token at all"] {
        logout(&shop, &amina.access_token, useless).await.unwrap();
    }
    for _ in 0..2 {
        logout(&shop, &amina.access_token, &here).await.unwrap();
        assert_useless(refresh(&shop, &here).await);
    }
    let there = refresh(&shop, &there).await.unwrap().refresh_token;
    for _ in 0..2 {
        logout(&shop, &amina.access_token, "").await.unwrap();
        assert_useless(refresh(&shop, &there).await);
    }
    let theirs = refresh(&shop, &other.refresh_token).await;
    assert!(theirs.is_ok(), "{theirs:?}");
    let anonymous = shop.users.clone().logout(LogoutRequest::default()).await;
    assert_refused(anonymous, Code::Unauthenticated, "NO_CREDENTIALS");
}

#[tokio::test]
async fn a_user_who_signs_in_again_and_again_keeps_the_newest_sessions() {
    let shop = Shop::open().await;
    let oldest = shop.register(EMAIL, PASSWORD).await.unwrap().refresh_token;
    let mut newer = Vec::new();
    for _ in 0..MAX_SESSIONS {
        shop.clock.advance_ms(1);
        newer.push(login(&shop, EMAIL, PASSWORD).await.unwrap().refresh_token);
    }
    assert_useless(refresh(&shop, &oldest).await);
    for token in newer {
        assert!(refresh(&shop, &token).await.is_ok());
    }
}

#[tokio::test]
async fn what_is_no_token_of_this_shop_is_refused() {
    let shop = Shop::open().await;
    let amina = shop.register(EMAIL, PASSWORD).await.unwrap();
    let cut = &amina.refresh_token[1..];
    let elsewhere = Shop::open().await.register(EMAIL, PASSWORD).await.unwrap().refresh_token;
    for bad in ["nonsense", cut, &amina.access_token[..86], &elsewhere] {
        assert_useless(refresh(&shop, bad).await);
    }
    assert_refused(refresh(&shop, "").await, Code::InvalidArgument, "INVALID_FIELDS");
    assert!(refresh(&shop, &amina.refresh_token).await.is_ok());
}

#[tokio::test]
async fn a_store_that_is_stolen_holds_no_token() {
    let shop = Shop::open().await;
    let token = shop.register(EMAIL, PASSWORD).await.unwrap().refresh_token;
    let folder = shop.folder.path().join(souk_user::NAME);
    let kept: Vec<u8> = ["session.db", "session.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(folder.join(name)).unwrap_or_default())
        .collect();
    let holds = |part: &[u8]| kept.windows(part.len()).any(|window| window == part);
    let parsed = RefreshToken::parse(&token).unwrap();
    assert!(holds(&parsed.hash()), "it is kept by its hash");
    assert!(holds(parsed.session.session_id.as_bytes()));
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    let (_ids, secret) = bytes.split_at(32);
    assert!(!holds(secret) && !holds(&token.as_bytes()[43..]), "and not in the clear");
}
