//! Accounts in a keyspace that processes share: what one leaves half done, and the service on it.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use souk_backends::cql_for_tests;
use souk_mesh::clock::ManualClock;
use souk_mesh::cql::Config;
use souk_mesh::cql::outbox::SWEEP_AFTER_MS;
use souk_mesh::tasks::Tasks;
use souk_mesh::testing::Told;
use souk_user::config::Store;
use souk_user::domain::User;
use souk_user::store::{Cql, Registered, UserStore};
use tonic::Code;

use crate::contract::{key, register, user};
use crate::{START_MS, Shop, assert_refused};

/// A keyspace of its own, the time of its processes, and what they tell.
pub(crate) struct Keyspace {
    config: Config,
    clock: ManualClock,
    told: Arc<Told>,
}

/// A process on it.
pub(crate) struct Process {
    pub(crate) store: Cql,
    tasks: Tasks,
}

impl Keyspace {
    /// Where there is a server for tests.
    pub(crate) fn new() -> Option<Keyspace> {
        let config = Config::for_tests(cql_for_tests()?);
        Some(Keyspace { config, clock: ManualClock::new(START_MS), told: Arc::default() })
    }

    pub(crate) async fn process(&self) -> Process {
        let tasks = Tasks::new();
        let clock = Arc::new(self.clock.clone());
        let store = Cql::open(&self.config, self.told.clone(), &tasks, clock).await.unwrap();
        Process { store, tasks }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

/// Polls work so often, and drops it where it is then; `None` when it was not done.
async fn cut_off<T>(work: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// Logs in until there is an account, or nothing that is under way can make one any more.
async fn logged_in(store: &Cql, email: &str) -> Option<User> {
    for _ in 0..50 {
        if let Some((made, _)) = store.credentials(email).await.unwrap() {
            return Some(made);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_is_cut_off_anywhere_is_completed_or_never_was() {
    let Some(keyspace) = Keyspace::new() else { return };
    let (one, other) = tokio::join!(keyspace.process(), keyspace.process());
    let mut accounts = BTreeSet::new();
    let mut left_alone = Vec::new();
    let mut cut = 0;
    for (polls, who) in (1..14).flat_map(|polls| (0..4).map(move |who| (polls, who))) {
        let (first, key) = (user(), key("Register", 1));
        let second = User { email: first.email.clone(), ..user() };
        let done = cut_off(register(&one.store, &first, Some(&key)), polls).await;
        cut += usize::from(done.is_none());
        let made = match who {
            // The same request again.
            0 => match register(&other.store, &second, Some(&key)).await.unwrap() {
                Registered::New(made) | Registered::Before(made) => made,
            },
            // Somebody else wants the address.
            1 => match register(&other.store, &second, None).await {
                Ok(_) => second,
                Err(_) => first.clone(),
            },
            // A login.
            2 => match logged_in(&other.store, &first.email).await {
                Some(made) => made,
                None => {
                    register(&other.store, &second, None).await.expect("nobody has the address");
                    second
                }
            },
            // Nobody: what was claimed is swept.
            _ => {
                left_alone.push((first, second));
                continue;
            }
        };
        assert_eq!(other.store.user(made.id).await.unwrap(), Some(made.clone()));
        assert_eq!(one.store.credentials(&first.email).await.unwrap().unwrap().0, made);
        accounts.insert(made.id.to_string());
    }
    assert!(cut > 20, "{cut} were cut off");

    // Each account is told of, also those whose maker was cut off before it told.
    keyspace.clock.advance_ms(SWEEP_AFTER_MS + 1);
    let all_told = async {
        while !keyspace.told.aggregates().is_superset(&accounts) {
            other.store.outbox().sweep().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let all_told = tokio::time::timeout(Duration::from_secs(30), all_told).await;
    all_told.expect("every account is told of");
    for (first, second) in left_alone {
        let is_made = other.store.user(first.id).await.unwrap().is_some();
        let is_taken = register(&other.store, &second, None).await.is_err();
        assert_eq!(is_made, is_taken, "an address is claimed without an account");
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
