//! Registering, logging in, and who may read an account.

use souk_mesh::identity::Role;
use souk_mesh::testing::signed;
use souk_proto::event::v1::event::Payload;
use souk_proto::user::v1::{GetUserRequest, LoginRequest, LoginResponse};
use tokio::sync::mpsc;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::{Shop, assert_refused, registration};

const PASSWORD: &str = "correct horse battery";

async fn login(shop: &Shop, email: &str, password: &str) -> Result<LoginResponse, Status> {
    let request =
        LoginRequest { email: email.into(), password: password.into(), ..Default::default() };
    Ok(shop.users.clone().login(request).await?.into_inner())
}

async fn read(shop: &Shop, token: &str, user_id: &str) -> Result<String, Status> {
    let mut request = Request::new(GetUserRequest { user_id: user_id.to_owned() });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let user = shop.users.clone().get_user(request).await?.into_inner().user.unwrap();
    Ok(user.email)
}

#[tokio::test]
async fn who_registers_can_log_in_and_read_herself_and_nobody_else() {
    let shop = Shop::open().await;
    let amina = shop.register("Amina@Example.com", PASSWORD).await.unwrap();
    let user = amina.user.unwrap();
    assert_eq!(user.email, "amina@example.com", "compared without regard to case");

    let session = login(&shop, "AMINA@example.com", PASSWORD).await.unwrap();
    assert_eq!(read(&shop, &session.access_token, &user.user_id).await.unwrap(), user.email);

    let other = shop.register("other@example.com", PASSWORD).await.unwrap();
    let answer = read(&shop, &other.access_token, &user.user_id).await;
    assert_refused(answer, Code::PermissionDenied, "NOT_YOURS");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_told_alike() {
    let shop = Shop::open().await;
    shop.register("amina@example.com", PASSWORD).await.unwrap();
    let wrong = login(&shop, "amina@example.com", "not the password").await.unwrap_err();
    let unknown = login(&shop, "nobody@example.com", PASSWORD).await.unwrap_err();
    assert_eq!(wrong.message(), unknown.message());
    assert_refused::<()>(Err(wrong), Code::Unauthenticated, "BAD_CREDENTIALS");
    assert_refused::<()>(Err(unknown), Code::Unauthenticated, "BAD_CREDENTIALS");
}

#[tokio::test]
async fn a_token_ends() {
    let shop = Shop::open().await;
    let amina = shop.register("amina@example.com", PASSWORD).await.unwrap();
    let (token, user) = (amina.access_token, amina.user.unwrap());
    shop.clock.advance_ms(12 * 60 * 60 * 1000 - 60_000);
    assert!(read(&shop, &token, &user.user_id).await.is_ok());
    shop.clock.advance_ms(10 * 60_000);
    let answer = read(&shop, &token, &user.user_id).await;
    assert_refused(answer, Code::Unauthenticated, "BAD_CREDENTIALS");
}

#[tokio::test]
async fn an_address_has_one_account_however_many_ask_at_once() {
    let shop = Shop::open().await;
    let asked = (0..8).map(|_| shop.register("amina@example.com", PASSWORD));
    let answers = futures::future::join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers.into_iter().filter(Result::is_err) {
        assert_refused(answer, Code::AlreadyExists, "EMAIL_TAKEN");
    }
}

#[tokio::test]
async fn a_repeated_registration_is_the_same_account_and_another_one_is_refused() {
    let shop = Shop::open().await;
    let request = registration("amina@example.com", PASSWORD);
    let mut users = shop.users.clone();
    let first = users.register(request.clone()).await.unwrap().into_inner().user.unwrap();
    let again = users.register(request.clone()).await.unwrap().into_inner().user.unwrap();
    assert_eq!(first, again);

    let mut other_address = request.clone();
    other_address.email = "other@example.com".to_owned();
    let answer = users.register(other_address).await;
    assert_refused(answer, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let mut other_password = request;
    other_password.password = "another password".to_owned();
    let answer = users.register(other_password).await;
    assert_refused(answer, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn nobody_reads_an_account_without_a_token_and_staff_reads_all() {
    let shop = Shop::open().await;
    let user = shop.register("amina@example.com", PASSWORD).await.unwrap().user.unwrap();
    let request = GetUserRequest { user_id: user.user_id };
    let answer = shop.users.clone().get_user(request.clone()).await;
    assert_refused(answer, Code::Unauthenticated, "NO_CREDENTIALS");

    let staff = signed(&shop.platform, &Uuid::new_v4(), Role::Staff, request);
    assert!(shop.users.clone().get_user(staff).await.is_ok());
    let unknown = GetUserRequest { user_id: Uuid::new_v4().to_string() };
    let staff = signed(&shop.platform, &Uuid::new_v4(), Role::Staff, unknown);
    assert_refused(shop.users.clone().get_user(staff).await, Code::NotFound, "USER_NOT_FOUND");
}

#[tokio::test]
async fn a_new_account_is_told_to_the_shop() {
    a_new_account_is_told(&Shop::open().await).await;
}

pub(crate) async fn a_new_account_is_told(shop: &Shop) {
    let (heard, mut events) = mpsc::channel(1);
    let (bus, tasks) = (shop.platform.bus.clone(), &shop.platform.tasks);
    souk_mesh::bus::consume(bus, tasks, "test", &["user.registered"], move |event| {
        let heard = heard.clone();
        async move {
            heard.send(event).await?;
            Ok(())
        }
    })
    .await
    .unwrap();
    let user = shop.register("amina@example.com", PASSWORD).await.unwrap().user.unwrap();
    let event = events.recv().await.unwrap();
    assert_eq!(event.aggregate_id, user.user_id);
    let Some(Payload::User(registered)) = event.payload else { panic!("{event:?}") };
    assert_eq!(registered.user.unwrap().email, "amina@example.com");
}

#[tokio::test]
async fn malformed_registrations_are_refused_field_by_field() {
    let shop = Shop::open().await;
    for (email, password) in [("not an address", PASSWORD), ("a@example.com", "short")] {
        assert_refused(
            shop.register(email, password).await,
            Code::InvalidArgument,
            "INVALID_FIELDS",
        );
    }
}
