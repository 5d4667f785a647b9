//! ScyllaDB, or anything else that speaks CQL (tests run on Apache Cassandra): one service's keyspace, prepared
//! statements that say how consistent they are, and errors that say what is known of a write.
//!
//! What CQL gives, and this shop builds on:
//! - a **conditional batch** ([`Session::conditional_batch`]) is atomic and isolated, within one partition of one table.
//!   What must change together (a state, its timeline, the answer of the request, the event) lives there;
//! - a conditional write's outcome may be unknown ([`Error::Unknown`]). A [`Kind::SettledRead`] finishes or voids what
//!   is under way before it answers, so that looking for one's own mark tells the outcome;
//! - everything else is a plain write, idempotent by its content, and sent again by the driver where that helps.
//!
//! Plain and conditional writes never touch the same cells: they take their timestamps from different clocks.
//!
//! docs/STORES.md tells what operators set, and what each consistency costs.

mod batch;
mod config;
mod error;
mod gathered;
pub mod look;
mod lookup;
mod migration;
pub mod outbox;
pub mod slots;
mod statement;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use gathered::Queue;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session as Driver;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

pub use crate::cql_statements as statements;
pub use batch::Batch;
pub use config::Config;
pub use error::Error;
pub use lookup::{Key, Lookup, Row};
pub use migration::{Migration, SERVICE, version};
pub use statement::{Kind, Prepared};

/// Statements under way at once; beyond it a call is refused as [`Error::Overloaded`].
const MAX_UNDER_WAY: usize = 4096;
/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The pause between two looks of a start for a store that is away.
const START_PAUSE: Duration = Duration::from_millis(500);
/// How often a read that settles conditional writes is tried before it is given up.
const SETTLED_READ_TRIES: u32 = 3;

/// One service's keyspace. Clones share the connections.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    driver: Driver,
    keyspace: String,
    /// How long a statement may take.
    limit: Duration,
    under_way: Semaphore,
    writes: Queue<Session>,
}

impl Session {
    /// Connects, makes the keyspace `<prefix>_<service>` if it is not there, and brings its tables up to date: the
    /// service's own, by `migrations`, and the mesh's. A store that is away is waited for, as it may be starting too, for
    /// at most [`Config::start_limit_ms`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too few nodes answer for so long, [`Error::Newer`], [`Error::Migration`].
    pub async fn open(
        config: &Config,
        service: &str,
        migrations: &'static [Migration],
    ) -> Result<Session, Error> {
        let began = Instant::now();
        let mut is_told = false;
        loop {
            // Boxed: what it consists of is deep, and everything around it moves it.
            match Box::pin(Session::try_open(config, service, migrations)).await {
                Err(error) if error.is_away() && began.elapsed() < config.start_limit() => {
                    if !is_told {
                        let limit_ms = config.start_limit_ms;
                        tracing::warn!(service, %error, limit_ms, "waiting for the CQL store");
                    }
                    is_told = true;
                }
                Ok(session) if is_told => {
                    tracing::info!(service, waited = ?began.elapsed(), "the CQL store is there");
                    return Ok(session);
                }
                outcome => return outcome,
            }
            sleep(START_PAUSE).await;
        }
    }

    async fn try_open(
        config: &Config,
        service: &str,
        migrations: &'static [Migration],
    ) -> Result<Session, Error> {
        let session = Session::connect(config, service).await?;
        migration::migrate(&session, config, migrations).await?;
        Ok(session)
    }

    /// Connects without making or changing anything: the keyspace may not be there. For looking only (`souk doctor`).
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no node answers, [`Error::Refused`] for a prefix that is no name.
    pub async fn connect(config: &Config, service: &str) -> Result<Session, Error> {
        let keyspace = config.keyspace(service)?;
        let mut policy = DefaultPolicy::builder().token_aware(true);
        if !config.datacenter.is_empty() {
            policy = policy.prefer_datacenter(config.datacenter.clone()).permit_dc_failover(true);
        }
        let profile = ExecutionProfile::builder()
            .request_timeout(Some(config.limit()))
            .load_balancing_policy(policy.build())
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&config.contact_points)
            .connection_timeout(CONNECT_LIMIT)
            .default_execution_profile_handle(profile.into_handle())
            // Where the replicas of a row are follows from how its keyspace is replicated: the driver goes to them first.
            .keyspaces_to_fetch([keyspace.as_str()])
            // Once, when all of a migration is done.
            .refresh_metadata_on_auto_schema_agreement(false);
        if let Some((user, password)) = config.credentials() {
            builder = builder.user(user, password);
        }
        let driver = builder.build().await.map_err(|error| {
            Error::Unavailable(format!("{}: {error}", config.contact_points.join(", ")))
        })?;
        let (limit, writes) = (config.limit(), Queue::new());
        let under_way = Semaphore::new(MAX_UNDER_WAY);
        Ok(Session { shared: Arc::new(Shared { driver, keyspace, limit, under_way, writes }) })
    }

    /// The keyspace's name. Statements name their tables without it: see [`Session::prepare`].
    #[must_use]
    pub fn keyspace(&self) -> &str {
        &self.shared.keyspace
    }

    /// Prepares a statement. `{}` in its text stands for the keyspace: `SELECT a FROM {}.orders WHERE …`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's reason; [`Error::Unavailable`].
    pub async fn prepare(&self, kind: Kind, text: &str) -> Result<Prepared, Error> {
        let text = text.replace("{}", &self.shared.keyspace);
        let prepared = self.shared.driver.prepare(text.as_str()).await;
        prepared.map(|prepared| Prepared::new(prepared, kind)).map_err(error::of_prepare)
    }

    /// All rows that a statement gives, in one answer: bound it by `LIMIT`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Overloaded`], [`Error::Refused`].
    pub async fn rows<R>(
        &self,
        statement: &Prepared,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, Error>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let found = self.read(statement, values).await?.into_rows_result().map_err(Error::form)?;
        let rows = found.rows::<R>().map_err(Error::form)?;
        rows.collect::<Result<_, _>>().map_err(Error::form)
    }

    /// The first row that a statement gives, if any.
    ///
    /// # Errors
    /// Those of [`Session::rows`].
    pub async fn row<R>(
        &self,
        statement: &Prepared,
        values: impl SerializeRow,
    ) -> Result<Option<R>, Error>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let found = self.read(statement, values).await?.into_rows_result().map_err(Error::form)?;
        found.maybe_first_row::<R>().map_err(Error::form)
    }

    /// A plain write, durable on a quorum when this returns. It is idempotent: after an error it may have happened. What is
    /// written at the same time goes in one message.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Unavailable`], [`Error::Overloaded`], [`Error::Refused`].
    pub async fn write(
        &self,
        statement: &Prepared,
        values: impl SerializeRow,
    ) -> Result<(), Error> {
        let _place = self.place()?;
        writes::write(self, statement, &values).await
    }

    /// A conditional write of one row; whether its condition held, and it happened.
    ///
    /// # Errors
    /// [`Error::Unknown`]: it may have happened, or still may until a [`Kind::SettledRead`] of the partition has
    /// answered. After any other error it has not.
    pub async fn conditional(
        &self,
        statement: &Prepared,
        values: impl SerializeRow,
    ) -> Result<bool, Error> {
        self.count_conditional();
        let _place = self.place()?;
        was_applied(self.run(statement, values).await?)
    }

    /// Conditional and plain writes to one partition of one table, which all happen, or none.
    ///
    /// # Errors
    /// As [`Session::conditional`].
    pub async fn conditional_batch(&self, batch: Batch) -> Result<bool, Error> {
        self.count_conditional();
        let _place = self.place()?;
        was_applied(self.run_batch(Kind::Conditional, batch).await?)
    }

    /// Runs a statement that changes the schema, and waits until all nodes agree on it.
    pub(crate) async fn define(&self, text: &str) -> Result<(), Error> {
        let text = text.replace("{}", &self.shared.keyspace);
        let answer = self.shared.driver.query_unpaged(text.as_str(), ()).await;
        answer.map_err(|error| error::of_execution(Kind::Write, error))?;
        let agreed = self.shared.driver.await_schema_agreement().await;
        agreed.map(drop).map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// Learns where rows are, after the keyspace was made.
    pub(crate) async fn look_again(&self) -> Result<(), Error> {
        let looked = self.shared.driver.refresh_metadata().await;
        looked.map_err(|error| Error::Unavailable(error.to_string()))
    }

    async fn read(
        &self,
        statement: &Prepared,
        values: impl SerializeRow,
    ) -> Result<QueryResult, Error> {
        let tries = match statement.kind() {
            Kind::SettledRead => SETTLED_READ_TRIES,
            _ => 1,
        };
        let mut last = Error::Overloaded;
        for _ in 0..tries {
            let _place = self.place()?;
            match self.run(statement, &values).await {
                Err(error @ Error::Unavailable(_)) => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn run(
        &self,
        statement: &Prepared,
        values: impl SerializeRow,
    ) -> Result<QueryResult, Error> {
        let began = Instant::now();
        let prepared: &PreparedStatement = statement.driver();
        let answer = self.shared.driver.execute_unpaged(prepared, values).await;
        self.note(statement.kind(), began, answer.is_ok());
        answer.map_err(|error| error::of_execution(statement.kind(), error))
    }

    async fn run_batch(&self, kind: Kind, batch: Batch) -> Result<QueryResult, Error> {
        let began = Instant::now();
        let (statements, values) = batch.into_parts();
        let answer = self.shared.driver.batch(&statements, values).await;
        self.note(kind, began, answer.is_ok());
        answer.map_err(|error| error::of_execution(kind, error))
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.shared.under_way.try_acquire().map_err(|_| Error::Overloaded)
    }

    fn note(&self, kind: Kind, began: Instant, is_ok: bool) {
        let outcome = if is_ok { "ok" } else { "error" };
        metrics::histogram!(
            "souk_cql_statement_seconds",
            "keyspace" => self.shared.keyspace.clone(), "kind" => kind.name(), "outcome" => outcome
        )
        .record(began.elapsed().as_secs_f64());
    }

    fn count_conditional(&self) {
        let keyspace = self.shared.keyspace.clone();
        metrics::counter!("souk_cql_conditional_writes", "keyspace" => keyspace).increment(1);
    }
}

/// The first column of a conditional write's answer. The others differ between Cassandra and ScyllaDB.
fn was_applied(answer: QueryResult) -> Result<bool, Error> {
    let rows = answer.into_rows_result().map_err(Error::form)?;
    let column = rows.column_specs().get_by_name("[applied]");
    if column.is_none_or(|(place, _)| place != 0) {
        return Err(Error::Form("a conditional write does not say whether it was applied".into()));
    }
    let row = rows.maybe_first_row::<scylla::value::Row>().map_err(Error::form)?;
    let applied = row.and_then(|row| row.columns.into_iter().next().flatten());
    let applied = applied.and_then(|value| value.as_boolean());
    applied.ok_or_else(|| Error::Form("whether a write was applied is not a boolean".into()))
}
