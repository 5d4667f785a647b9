//! The contract of [`UserStore`], which every form of it keeps.

use std::collections::BTreeSet;

use futures::future::join_all;
use souk_proto::user::v1::PostalAddress;
use souk_user::Error;
use souk_user::domain::{Address, AddressChange, MAX_ADDRESSES, User};
use souk_user::store::{Registered, RequestKey, Sqlite, UserStore};
use uuid::Uuid;

use crate::cql::Keyspace;

const NOW_MS: i64 = 1_000;

#[tokio::test]
async fn the_sqlite_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    keeps_the_contract(&Sqlite::open(folder.path()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cql_store_keeps_the_contract() {
    let Some(keyspace) = Keyspace::new() else { return };
    keeps_the_contract(&keyspace.process().await.store).await;
}

async fn keeps_the_contract(store: &dyn UserStore) {
    an_account_is_found_by_id_and_address(store).await;
    an_address_belongs_to_one_account(store).await;
    a_repeat_of_a_registration_finds_what_the_first_one_made(store).await;
    of_registrations_at_once_one_wins(store).await;
    an_address_book_has_one_default(store).await;
    a_change_of_an_address_says_what_it_is_based_on(store).await;
    a_repeat_adds_no_address(store).await;
    addresses_added_at_once_are_all_there_and_bounded(store).await;
}

/// An account that is not made yet, with an address of its own.
pub(crate) fn user() -> User {
    let id = Uuid::now_v7();
    User {
        id,
        email: format!("{id}@example.org"),
        display_name: "Amina".to_owned(),
        is_staff: false,
        created_at_ms: NOW_MS,
        updated_at_ms: NOW_MS,
        version: 1,
    }
}

pub(crate) fn key(method: &'static str, fingerprint: u8) -> RequestKey {
    RequestKey {
        scope: "user:1".to_owned(),
        method,
        request_id: Uuid::new_v4().to_string(),
        fingerprint: [fingerprint; 32],
    }
}

pub(crate) async fn register(
    store: &dyn UserStore,
    user: &User,
    key: Option<&RequestKey>,
) -> Result<Registered, Error> {
    store.register(user.clone(), format!("hash of {}", user.id), key.cloned()).await
}

async fn registered(store: &dyn UserStore) -> User {
    let user = user();
    assert!(
        matches!(register(store, &user, None).await, Ok(Registered::New(made)) if made == user)
    );
    user
}

async fn an_account_is_found_by_id_and_address(store: &dyn UserStore) {
    let user = registered(store).await;
    assert_eq!(store.user(user.id).await.unwrap(), Some(user.clone()));
    assert_eq!(store.user(Uuid::now_v7()).await.unwrap(), None);
    let hash = format!("hash of {}", user.id);
    assert_eq!(store.credentials(&user.email).await.unwrap(), Some((user, hash)));
    assert_eq!(store.credentials("nobody@example.org").await.unwrap(), None);
}

async fn an_address_belongs_to_one_account(store: &dyn UserStore) {
    let first = registered(store).await;
    let second = User { email: first.email.clone(), ..user() };
    for key in [None, Some(key("Register", 1))] {
        let refused = register(store, &second, key.as_ref()).await;
        assert!(matches!(refused, Err(Error::EmailTaken)), "{refused:?}");
    }
    assert_eq!(store.user(second.id).await.unwrap(), None);
    assert_eq!(store.credentials(&first.email).await.unwrap().unwrap().0, first);
}

async fn a_repeat_of_a_registration_finds_what_the_first_one_made(store: &dyn UserStore) {
    let (first, key) = (user(), key("Register", 1));
    register(store, &first, Some(&key)).await.unwrap();
    // A repeat makes an id of its own, which is not used.
    let again = User { id: Uuid::now_v7(), ..first.clone() };
    for _ in 0..2 {
        let answer = register(store, &again, Some(&key)).await.unwrap();
        assert!(matches!(answer, Registered::Before(made) if made == first));
    }
    let other = RequestKey { fingerprint: [2; 32], ..key.clone() };
    for user in [again.clone(), user()] {
        let reused = register(store, &user, Some(&other)).await;
        assert!(matches!(reused, Err(Error::RequestIdReused)), "{reused:?}");
        assert_eq!(store.user(user.id).await.unwrap(), None);
    }
    let answer = register(store, &again, Some(&key)).await.unwrap();
    assert!(matches!(answer, Registered::Before(made) if made == first), "misuse by others");
}

async fn of_registrations_at_once_one_wins(store: &dyn UserStore) {
    // Of different people, for one address.
    let email = user().email;
    let people: Vec<_> = (0..20).map(|_| User { email: email.clone(), ..user() }).collect();
    let answers = join_all(people.iter().map(|person| register(store, person, None))).await;
    let winners: Vec<_> =
        people.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).collect();
    assert_eq!(winners.len(), 1);
    for (person, answer) in people.iter().zip(&answers) {
        assert!(matches!(answer, Ok(Registered::New(_)) | Err(Error::EmailTaken)), "{answer:?}");
        assert_eq!(store.user(person.id).await.unwrap().is_some(), answer.is_ok());
    }
    assert_eq!(store.credentials(&email).await.unwrap().unwrap().0, *winners[0].0);

    // Of one request.
    let (person, key) = (user(), key("Register", 1));
    let tries: Vec<_> = (0..20).map(|_| User { id: Uuid::now_v7(), ..person.clone() }).collect();
    let answers = join_all(tries.iter().map(|one| register(store, one, Some(&key)))).await;
    let made: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| match answer.unwrap() {
            Registered::New(made) | Registered::Before(made) => made.id,
        })
        .collect();
    assert_eq!(made.len(), 1, "one account");
}

fn address(user_id: Uuid, label: &str) -> Address {
    Address {
        id: Uuid::now_v7(),
        user_id,
        label: label.to_owned(),
        postal: PostalAddress { city: "Fès".to_owned(), ..PostalAddress::default() },
        is_default: false,
        created_at_ms: NOW_MS,
        updated_at_ms: NOW_MS,
        version: 1,
    }
}

async fn book(store: &dyn UserStore, user_id: Uuid) -> Vec<Address> {
    store.addresses(user_id, None, MAX_ADDRESSES + 1).await.unwrap()
}

/// The labels of a book, the default's with a star.
async fn labels(store: &dyn UserStore, user_id: Uuid) -> Vec<String> {
    let star = |is_default| if is_default { "*" } else { "" };
    let addresses = book(store, user_id).await.into_iter();
    addresses.map(|address| address.label + star(address.is_default)).collect()
}

async fn an_address_book_has_one_default(store: &dyn UserStore) {
    let user_id = registered(store).await.id;
    assert!(book(store, user_id).await.is_empty());
    let first = store.create_address(address(user_id, "first"), None).await.unwrap();
    assert!(first.is_default);
    let second = store.create_address(address(user_id, "second"), None).await.unwrap();
    assert_eq!(labels(store, user_id).await, ["first*", "second"]);
    let third = Address { is_default: true, ..address(user_id, "third") };
    store.create_address(third.clone(), None).await.unwrap();
    assert_eq!(labels(store, user_id).await, ["first", "second", "third*"]);
    let is_default = |is_default| AddressChange { is_default, ..AddressChange::default() };
    let change = is_default(Some(true));
    store.update_address(user_id, second.id, None, change, NOW_MS).await.unwrap();
    assert_eq!(labels(store, user_id).await, ["first", "second*", "third"]);
    let change = is_default(Some(false));
    store.update_address(user_id, second.id, None, change, NOW_MS).await.unwrap();
    assert_eq!(labels(store, user_id).await, ["first", "second", "third"]);

    let after = store.addresses(user_id, Some(first.id), 1).await.unwrap();
    assert_eq!(after[0].id, second.id);
    for _ in 0..2 {
        store.delete_address(user_id, second.id, None).await.unwrap();
    }
    assert_eq!(labels(store, user_id).await, ["first", "third"]);
    let others = store.delete_address(Uuid::now_v7(), first.id, None).await;
    assert!(others.is_ok(), "gone already, for anybody else");
    assert_eq!(book(store, user_id).await.len(), 2);
}

async fn a_change_of_an_address_says_what_it_is_based_on(store: &dyn UserStore) {
    let user_id = registered(store).await.id;
    let id = store.create_address(address(user_id, "home"), None).await.unwrap().id;
    let label =
        |label: &str| AddressChange { label: Some(label.to_owned()), ..AddressChange::default() };
    let change = label("work");
    let changed = store.update_address(user_id, id, Some(1), change, NOW_MS + 5).await.unwrap();
    assert_eq!((changed.version, changed.updated_at_ms, changed.is_default), (2, NOW_MS + 5, true));
    assert_eq!(book(store, user_id).await, [changed]);
    let stale = store.update_address(user_id, id, Some(1), label("late"), NOW_MS).await;
    assert!(matches!(stale, Err(Error::EtagMismatch)), "{stale:?}");
    let stale = store.delete_address(user_id, id, Some(1)).await;
    assert!(matches!(stale, Err(Error::EtagMismatch)), "{stale:?}");
    let unknown = store.update_address(user_id, Uuid::now_v7(), None, label("x"), NOW_MS).await;
    assert!(matches!(unknown, Err(Error::AddressNotFound)), "{unknown:?}");

    // Of changes at once from one version, one is made.
    let changes = (0..10).map(|_| store.update_address(user_id, id, Some(2), label("now"), NOW_MS));
    let made = join_all(changes).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(made, 1);
    store.delete_address(user_id, id, Some(3)).await.unwrap();
    assert!(book(store, user_id).await.is_empty());
}

async fn a_repeat_adds_no_address(store: &dyn UserStore) {
    let user_id = registered(store).await.id;
    let key = key("CreateAddress", 1);
    let create = |_| store.create_address(address(user_id, "home"), Some(key.clone()));
    let made: BTreeSet<_> =
        join_all((0..10).map(create)).await.into_iter().map(|made| made.unwrap().id).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(labels(store, user_id).await, ["home*"]);
    let other = RequestKey { fingerprint: [2; 32], ..key.clone() };
    let reused = store.create_address(address(user_id, "other"), Some(other)).await;
    assert!(matches!(reused, Err(Error::RequestIdReused)), "{reused:?}");
}

async fn addresses_added_at_once_are_all_there_and_bounded(store: &dyn UserStore) {
    let user_id = registered(store).await.id;
    for _ in 0..MAX_ADDRESSES - 4 {
        store.create_address(address(user_id, "more"), None).await.unwrap();
    }
    let create = |_| store.create_address(address(user_id, "at once"), None);
    let answers = join_all((0..8).map(create)).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4);
    assert!(
        answers.iter().all(|answer| matches!(answer, Ok(_) | Err(Error::TooManyAddresses))),
        "{answers:?}"
    );
    let addresses = book(store, user_id).await;
    assert_eq!(addresses.len(), MAX_ADDRESSES);
    assert_eq!(addresses.iter().filter(|address| address.is_default).count(), 1);
}
