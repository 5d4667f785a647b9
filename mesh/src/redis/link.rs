//! The one file that knows the client library.

use std::time::{Duration, Instant};

use fred::clients::{Client, WithOptions};
use fred::error::{Error as FredError, ErrorKind};
use fred::interfaces::{ClientLike as _, EventInterface as _, LuaInterface as _};
use fred::types::config::{
    Config as FredConfig, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy,
    UnresponsiveConfig,
};
use fred::types::{Key, Value};
use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::{Error, Reply, Url};

/// How long a connection may take to be made, and to be greeted.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long [`Link::open`] waits for the first connection.
const FIRST_CONNECTION_LIMIT: Duration = Duration::from_secs(2);
/// Before the second try to connect; doubled for each further one.
const MIN_RECONNECT_DELAY_MS: u32 = 20;
/// Between tries at most.
const MAX_RECONNECT_DELAY_MS: u32 = 1_000;
/// A connection that owes an answer for so many limits of a script is given up: its other end may be gone.
const LIMITS_TO_GIVE_UP: u32 = 4;
/// Commands that may wait for the library's task.
const MAX_QUEUED: usize = 4096;
/// Before the library is started again, should it have given up entirely.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A connection that renews itself.
pub(super) struct Link {
    config: FredConfig,
    address: String,
    limit: Duration,
    live: RwLock<Live>,
    /// Since when nothing was heard of Redis, though asked.
    silent_since: Mutex<Option<Instant>>,
}

/// The library at work.
struct Live {
    client: WithOptions<Client>,
    /// Ends with it.
    _tasks: JoinSet<()>,
}

impl Link {
    /// Begins to connect. Every command may take `limit`.
    pub(super) async fn open(url: &Url, limit: Duration) -> Result<Self, Error> {
        // The library's words may repeat parts of the address.
        let config = FredConfig::from_url(url.expose())
            .map_err(|error| Error::Address(format!("{:?}", error.kind())))?;
        let config = FredConfig { fail_fast: false, ..config };
        let address = url.to_string();
        let live = Live::begin(config.clone(), limit, &address);
        let first = live.client.clone();
        // A Redis that is away is told of by the task, and by every call.
        let _ = tokio::time::timeout(FIRST_CONNECTION_LIMIT, first.wait_for_connect()).await;
        Ok(Self { config, address, limit, live: RwLock::new(live), silent_since: Mutex::new(None) })
    }

    /// Redis has answered, whatever it was, or the library knows that it is away.
    pub(super) fn heard(&self) {
        *self.silent_since.lock() = None;
    }

    /// A script had no answer within the limit. After some of them in a row the connection is given up for a new one.
    ///
    /// The library does so by itself only for a connection that nobody writes to, as it counts from the last write; and
    /// not while it waits for room to write.
    pub(super) fn heard_nothing(&self) {
        let mut silent_since = self.silent_since.lock();
        let since = *silent_since.get_or_insert_with(Instant::now);
        // The first of them had waited one limit by then.
        if since.elapsed() >= self.limit * (LIMITS_TO_GIVE_UP - 1) {
            tracing::warn!(address = %self.address, "Redis says nothing: a new connection is made");
            *self.live.write() = Live::begin(self.config.clone(), self.limit, &self.address);
            *silent_since = None;
        }
    }

    fn client(&self) -> WithOptions<Client> {
        self.live.read().client.clone()
    }

    /// Runs a script that Redis knows; `None` when it does not.
    pub(super) async fn run_by_hash(
        &self,
        hash: &str,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<Option<Reply>, Error> {
        let (keys, arguments) = values(keys, arguments);
        match self.client().evalsha::<Value, _, _, _>(hash, keys, arguments).await {
            Ok(value) => reply(value).map(Some),
            Err(error) if error.details().starts_with("NOSCRIPT") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a script by its text.
    pub(super) async fn run_by_text(
        &self,
        text: &str,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<Reply, Error> {
        let (keys, arguments) = values(keys, arguments);
        reply(self.client().eval::<Value, _, _, _>(text, keys, arguments).await?)
    }
}

impl Live {
    /// Must be called within a runtime.
    fn begin(config: FredConfig, limit: Duration, address: &str) -> Self {
        let performance =
            PerformanceConfig { default_command_timeout: limit, ..PerformanceConfig::default() };
        let connection = ConnectionConfig {
            connection_timeout: CONNECT_LIMIT,
            internal_command_timeout: CONNECT_LIMIT,
            max_command_attempts: 1,
            max_command_buffer_len: MAX_QUEUED,
            reconnect_on_auth_error: true,
            unresponsive: UnresponsiveConfig {
                max_timeout: Some(limit * LIMITS_TO_GIVE_UP),
                interval: limit,
            },
            ..ConnectionConfig::default()
        };
        let unlimited = 0;
        let reconnect = ReconnectPolicy::new_exponential(
            unlimited,
            MIN_RECONNECT_DELAY_MS,
            MAX_RECONNECT_DELAY_MS,
            2,
        );
        let client = Client::new(config, Some(performance), Some(connection), Some(reconnect));
        let mut tasks = JoinSet::new();
        tasks.spawn(tell(client.clone(), address.to_owned()));
        tasks.spawn(stay_connected(client.clone()));
        // Without a connection a command fails at once, and one that was sent is never sent again: nobody knows whether
        // the first one ran.
        let options = Options {
            fail_fast: true,
            max_attempts: Some(1),
            timeout: Some(limit),
            ..Options::default()
        };
        Self { client: client.with_options(&options), _tasks: tasks }
    }
}

fn values(keys: &[String], arguments: &[Vec<u8>]) -> (Vec<Key>, Vec<Value>) {
    let arguments = arguments.iter().map(|argument| Value::Bytes(argument.clone().into()));
    (keys.iter().map(|key| Key::from(key.as_str())).collect(), arguments.collect())
}

fn reply(value: Value) -> Result<Reply, Error> {
    Ok(match value {
        Value::Null => Reply::Nothing,
        Value::Integer(number) => Reply::Integer(number),
        Value::String(text) => Reply::Bytes(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => Reply::Bytes(bytes.to_vec()),
        Value::Array(values) => {
            Reply::List(values.into_iter().map(reply).collect::<Result<_, _>>()?)
        }
        other => {
            return Err(Error::Refused(format!("a script answered with a {}", other.kind())));
        }
    })
}

/// What Redis answers when it cannot serve for now, or not until an operator did something; the same call may succeed
/// later. The first word of <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>.
const PASSING: [&str; 12] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
];

impl From<FredError> for Error {
    fn from(error: FredError) -> Self {
        let details = error.details();
        match error.kind() {
            ErrorKind::Timeout => Self::TimedOut,
            ErrorKind::Backpressure => Self::Overloaded,
            ErrorKind::InvalidArgument | ErrorKind::InvalidCommand | ErrorKind::Parse => {
                Self::Refused(details.to_owned())
            }
            _ => match details.split(' ').next().unwrap_or_default() {
                word if PASSING.contains(&word) => Self::Away(details.to_owned()),
                // Redis's own errors begin with a word in capitals; the others are the library's, which has no way to it.
                word if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                    Self::Refused(details.to_owned())
                }
                _ => Self::Away(details.to_owned()),
            },
        }
    }
}

/// Keeps the library's task running: it ends only by what no new connection would mend.
async fn stay_connected(client: Client) {
    loop {
        let mut task = AbortOnDrop(client.connect());
        let ended = (&mut task.0).await;
        tracing::error!(?ended, "the connection to Redis ended, and is begun again");
        tokio::time::sleep(RESTART_AFTER).await;
    }
}

/// Ends the library's own task with ours.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says once when Redis goes, and once when it is back.
async fn tell(client: Client, address: String) {
    let (mut errors, mut connections) = (client.error_rx(), client.reconnect_rx());
    let connected = metrics::gauge!("souk_redis_connected", "address" => address.clone());
    let mut is_away = false;
    loop {
        tokio::select! {
            error = errors.recv() => match error {
                Ok((error, _)) => {
                    if !is_away {
                        tracing::warn!(%address, %error, "Redis is away");
                    }
                    is_away = true;
                    connected.set(0.0);
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            connection = connections.recv() => match connection {
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    tracing::info!(%address, "Redis is there");
                    is_away = false;
                    connected.set(1.0);
                }
                Err(RecvError::Closed) => return,
            },
        }
    }
}
