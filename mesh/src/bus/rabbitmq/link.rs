//! A connection that is made when it is needed and made again when it is lost.

use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::bus::Error;

/// How long the broker may take for any one answer. Longer than two heartbeats, so that a broker that
/// hangs is usually found out by those.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(25);
/// How long a connection may take to be made.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Pause after a connection could not be made, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// AMQP 0-9-1, reply codes of what the broker will refuse each time: access-refused, precondition-failed, not-allowed,
/// not-implemented.
const REFUSALS: [u16; 4] = [403, 406, 530, 540];

pub(super) struct Link {
    uri: AMQPUri,
    /// Shown by the broker.
    name: &'static str,
    state: Mutex<State>,
}

struct State {
    connection: Option<Connection>,
    pause: Duration,
    not_before: Instant,
}

impl Link {
    pub(super) fn new(uri: AMQPUri, name: &'static str) -> Link {
        let state = State { connection: None, pause: FIRST_PAUSE, not_before: Instant::now() };
        Link { uri, name, state: Mutex::new(state) }
    }

    /// A new channel, on a new connection if there is none that works. Callers try again after an
    /// error; however many there are, connections are tried with growing pauses.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.take_if(|open| !open.status().connected()) {
            drop(connection);
        }
        if state.connection.is_none() {
            sleep_until(state.not_before).await;
            state.not_before = Instant::now() + state.pause;
            state.pause = (state.pause * 2).min(LONGEST_PAUSE);
            state.connection = Some(self.connect().await?);
            state.pause = FIRST_PAUSE;
        }
        let connection = state.connection.as_ref().expect("it was just made");
        let opened = answer("opening a channel", connection.create_channel()).await;
        if opened.is_err() {
            state.connection = None;
        }
        opened
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let name = format!("souk {} ({})", self.name, std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        let connection = within(CONNECT_LIMIT, "connecting", connecting).await?;
        tracing::info!(connection = self.name, "connected to RabbitMQ");
        Ok(connection)
    }
}

/// Waits for the broker, but not for ever.
pub(super) async fn answer<T>(
    doing: &'static str,
    work: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    within(ANSWER_LIMIT, doing, work).await
}

async fn within<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    match timeout(limit, work).await {
        Ok(done) => done.map_err(|source| Error::Broker { doing, source: Box::new(source) }),
        Err(_elapsed) => Err(Error::Silent { doing, limit }),
    }
}

/// The reply code with which the broker has refused something, if that is what happened.
pub(super) fn refusal(error: &Error) -> Option<u16> {
    let Error::Broker { source, .. } = error else { return None };
    match source.kind() {
        ErrorKind::ProtocolError(said) => Some(said.get_id()),
        _ => None,
    }
}

/// Whether the broker is there and will refuse it again: somebody has to change something.
pub(super) fn will_not_pass(error: &Error) -> bool {
    refusal(error).is_some_and(|code| REFUSALS.contains(&code))
}
