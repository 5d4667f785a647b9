//! One replica of a service: kept connected, for as long as it is bound.
//!
//! A replica that is away is tried again and again, each time after a longer pause; a call that finds no replica at all
//! has every one of them tried at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::connection::{self, Connection};

/// The pause after a first failure, and between attempts that calls ask for.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// The longest pause: how late, at most, a replica that came back is found.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that lived shorter than this was none: its end lengthens the pause.
const STEADY: Duration = Duration::from_secs(1);

/// What is known of one replica.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Whether it is connected.
    pub(super) is_up: bool,
    /// How often connecting to it has failed.
    pub(super) failures: u64,
}

/// The replicas of one service: what is known of them, and connections that the balancer has not taken in yet.
pub(super) struct Replicas {
    states: watch::Sender<Vec<State>>,
    arrivals: Mutex<BTreeMap<usize, Connection>>,
    wanted: Notify,
}

impl Replicas {
    /// Keeps every address connected until `stop`.
    pub(super) fn keep(
        service: &'static str,
        addresses: Vec<Uri>,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let replicas = Arc::new(Self {
            states: watch::Sender::new(vec![State::default(); addresses.len()]),
            arrivals: Mutex::new(BTreeMap::new()),
            wanted: Notify::new(),
        });
        for (index, address) in addresses.into_iter().enumerate() {
            let name = address.authority().map_or_else(String::new, ToString::to_string);
            let up = gauge!("grpc_client_replica_up", "service" => service, "replica" => name);
            let keeper = Keeper { service, address, index, up, replicas: Arc::clone(&replicas) };
            let stop = stop.clone();
            tokio::spawn(async move {
                stop.run_until_cancelled(keeper.run()).await;
            });
        }
        replicas
    }

    /// A connection that came up since the last time, by the replica's number.
    pub(super) fn arrived(&self) -> Option<(usize, Connection)> {
        self.arrivals.lock().pop_first()
    }

    /// Has every replica tried now, and waits until one is up (`true`) or each has failed once more.
    pub(super) async fn find_one(&self) -> bool {
        let before: Vec<u64> = self.states.borrow().iter().map(|state| state.failures).collect();
        self.wanted.notify_waiters();
        let settled = |states: &Vec<State>| {
            let mut with_before = states.iter().zip(&before);
            states.iter().any(|state| state.is_up)
                || with_before.all(|(state, before)| state.failures > *before)
        };
        let mut states = self.states.subscribe();
        let found = states.wait_for(settled).await;
        found.is_ok_and(|states| states.iter().any(|state| state.is_up))
    }
}

/// Connects one replica again whenever it is not.
struct Keeper {
    service: &'static str,
    address: Uri,
    index: usize,
    up: Gauge,
    replicas: Arc<Replicas>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.up.set(0.0);
    }
}

impl Keeper {
    async fn run(self) {
        let (service, address) = (self.service, &self.address);
        let mut pause = FIRST_PAUSE;
        let mut is_known_away = false;
        self.up.set(0.0);
        loop {
            let began = Instant::now();
            // From before the attempt on, so that no call that wants the replica meanwhile is missed.
            let wanted = self.replicas.wanted.notified();
            match connection::open(address).await {
                Ok((connection, mut driver)) => {
                    tracing::debug!(service, %address, "a replica is connected");
                    is_known_away = false;
                    self.set_up(connection);
                    let ended = (&mut driver).await;
                    // Before the connection is gone for the balancer: who finds none there is to find none here.
                    self.set_down();
                    drop(driver);
                    tracing::info!(service, %address, ?ended, "a replica's connection has ended");
                    if began.elapsed() >= STEADY {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(error) => {
                    self.replicas.states.send_modify(|states| states[self.index].failures += 1);
                    if !is_known_away {
                        tracing::warn!(service, %address, %error, "a replica cannot be reached; it is tried again");
                    }
                    is_known_away = true;
                }
            }
            rest(pause, wanted).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn set_up(&self, connection: Connection) {
        self.replicas.arrivals.lock().insert(self.index, connection);
        self.up.set(1.0);
        self.replicas.states.send_modify(|states| {
            states[self.index].is_up = true;
        });
    }

    fn set_down(&self) {
        self.replicas.arrivals.lock().remove(&self.index);
        self.up.set(0.0);
        self.replicas.states.send_modify(|states| states[self.index].is_up = false);
    }
}

/// Waits for about `pause`, so that not all who lost a replica come back at the same moment; shorter when a call wants
/// the replica.
async fn rest(pause: Duration, wanted: Notified<'_>) {
    let earliest = Instant::now() + FIRST_PAUSE;
    tokio::select! {
        () = sleep(pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)) => {}
        () = async { wanted.await; sleep_until(earliest).await } => {}
    }
}
