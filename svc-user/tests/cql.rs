//! Accounts in a keyspace that processes share: what one leaves half done, and the service on it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use souk_backends::cql_for_tests;
use souk_mesh::bus::Outcome;
use souk_mesh::clock::ManualClock;
use souk_mesh::cql::Config;
use souk_mesh::cql::outbox::SWEEP_AFTER_MS;
use souk_mesh::platform::Platform;
use souk_user::config::Store;
use souk_user::domain::User;
use souk_user::store::{Cql, Registered, UserStore};
use tempfile::TempDir;
use tonic::Code;
use uuid::Uuid;

use crate::contract::{key, register, user};
use crate::{START_MS, Shop, assert_refused};

/// A keyspace of its own, and the time of its processes.
pub(crate) struct Keyspace {
    config: Config,
    clock: ManualClock,
}

/// A process on it, with a bus of its own.
pub(crate) struct Process {
    pub(crate) store: Cql,
    platform: Platform,
    _folder: TempDir,
}

impl Keyspace {
    /// Where there is a server for tests.
    pub(crate) fn new() -> Option<Keyspace> {
        let config = Config::for_tests(cql_for_tests()?);
        Some(Keyspace { config, clock: ManualClock::new(START_MS) })
    }

    pub(crate) async fn process(&self) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let platform = Platform::for_tests_at(folder.path(), Arc::new(self.clock.clone()));
        let Platform { bus, tasks, clock, .. } = &platform;
        let store = Cql::open(&self.config, bus.clone(), tasks, clock.clone()).await.unwrap();
        Process { store, platform, _folder: folder }
    }
}

impl Process {
    /// Notes the users that are told of on this process's bus, for good.
    async fn note_told(&self, told: &Mutex<BTreeSet<String>>) {
        let queue = self.platform.bus.subscribe("test", &["user.*"]).await.unwrap();
        loop {
            for delivery in queue.receive(64).await.unwrap() {
                queue.settle(&[(delivery.tag, Outcome::Done)]).await.unwrap();
                told.lock().unwrap().insert(delivery.event.aggregate_id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_is_cut_off_anywhere_is_completed_or_never_was() {
    let Some(keyspace) = Keyspace::new() else { return };
    let (one, other) = tokio::join!(keyspace.process(), keyspace.process());
    let mut accounts = BTreeSet::new();
    let mut cut = 0;
    for step in 0..36 {
        let after = Duration::from_micros(250 * step);
        let (first, key) = (user(), key("Register", 1));
        let register_first = register(&one.store, &first, Some(&key));
        cut += usize::from(tokio::time::timeout(after, register_first).await.is_err());
        let made = match step % 3 {
            // The same request again.
            0 => {
                let again = User { id: Uuid::now_v7(), ..first.clone() };
                match register(&other.store, &again, Some(&key)).await.unwrap() {
                    Registered::New(made) | Registered::Before(made) => made,
                }
            }
            // Somebody else wants the address.
            1 => {
                let second = User { email: first.email.clone(), ..user() };
                let answer = register(&other.store, &second, None).await;
                if answer.is_ok() { second } else { first.clone() }
            }
            // A login, or nothing: what was claimed is swept.
            _ => match other.store.credentials(&first.email).await.unwrap() {
                Some((made, _)) => made,
                None => continue,
            },
        };
        assert_eq!(other.store.user(made.id).await.unwrap(), Some(made.clone()));
        assert_eq!(one.store.credentials(&first.email).await.unwrap().unwrap().0, made);
        accounts.insert(made.id.to_string());
    }
    assert!(cut > 0, "nothing was cut off");

    // Each account is told of, also those whose maker was cut off before it told.
    keyspace.clock.advance_ms(SWEEP_AFTER_MS + 1);
    let told = Mutex::new(BTreeSet::new());
    let all_told = async {
        while !told.lock().unwrap().is_superset(&accounts) {
            other.store.outbox().sweep().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = one.note_told(&told) => {}
        () = other.note_told(&told) => {}
        all_told = tokio::time::timeout(Duration::from_secs(30), all_told) => {
            all_told.expect("every account is told of");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_runs_on_it() {
    let Some(contact_points) = cql_for_tests() else { return };
    let cql = Config::for_tests(contact_points);
    let config = souk_user::Config { store: Store::Cql, cql, ..souk_user::Config::default() };
    let shop = Shop::open_with(config).await;
    crate::accounts::a_new_account_is_told(&shop).await;
    let taken = shop.register("AMINA@example.com", "correct horse").await;
    assert_refused(taken, Code::AlreadyExists, "EMAIL_TAKEN");
    assert!(!shop.folder.path().join("user/user.db").exists(), "nothing is in a file");
}
