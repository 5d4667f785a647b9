//! Brings a keyspace to the shape that this build expects.
//!
//! Each component (the service, and the mesh's own tables) counts its versions by itself. One process changes the
//! schema at a time, held by a lease row that goes away by itself if that process dies; CQL has no transactions over
//! schema changes, so each statement of a step is one that may run twice (`IF NOT EXISTS`), and a step that was cut off
//! runs again from its beginning.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Config, Error, Kind, Session};

/// One step in the life of a schema. Once released, a step is never edited: add another.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// 1, 2, 3 … without gaps.
    pub version: u32,
    /// What it does, for people who read the version table.
    pub name: &'static str,
    /// Statements, each of which may run twice; `{}` stands for the keyspace.
    pub cql: &'static [&'static str],
}

/// The service's tables, in the version table.
pub const SERVICE: &str = "service";
/// The mesh's own tables there.
pub(crate) const MESH: &str = "mesh";

/// Tables that the mesh keeps in every keyspace, beside the service's own.
const MESH_MIGRATIONS: &[Migration] = &[];

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS {}.schema_version
        (component text, version int, name text, PRIMARY KEY (component, version))",
    "CREATE TABLE IF NOT EXISTS {}.schema_lease (id text PRIMARY KEY, holder uuid)",
];

/// How long the lease lives without being renewed, in seconds: longer than any one statement takes.
const LEASE_S: i32 = 60;
/// How long to wait for another process's migration; the pause between looks times their number.
const LEASE_PAUSE: Duration = Duration::from_millis(500);
const LEASE_TRIES: u32 = 240;

/// What another process is just making stands in the schema's own tables before a node can use it; until then statements
/// are refused, or fail in the server (`Unknown CF`). For how long it is tried again, and the pause between.
const MAKING_LIMIT: Duration = Duration::from_secs(5);
const MAKING_PAUSE: Duration = Duration::from_millis(100);

/// Tries again what may have failed only because another process is making the keyspace.
async fn once_made<T, F: Future<Output = Result<T, Error>>>(
    work: impl Fn() -> F,
) -> Result<T, Error> {
    let began = Instant::now();
    loop {
        match work().await {
            Err(Error::Refused(_) | Error::Unavailable(_)) if began.elapsed() < MAKING_LIMIT => {
                tokio::time::sleep(MAKING_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Applies what is missing of every component.
pub(super) async fn migrate(
    session: &Session,
    config: &Config,
    migrations: &'static [Migration],
) -> Result<(), Error> {
    let components = [(SERVICE, migrations), (MESH, MESH_MIGRATIONS)];
    if is_up_to_date(session, &components).await? {
        return Ok(());
    }
    make_keyspace(session, config).await?;
    for table in TABLES {
        once_made(|| session.define(table)).await?;
    }
    let lease = Lease::take(session).await?;
    let mut done = Ok(());
    for (component, migrations) in components {
        done = apply(session, &lease, component, migrations).await;
        if done.is_err() {
            break;
        }
    }
    lease.give_back(session).await?;
    done?;
    session.look_again().await
}

async fn is_up_to_date(
    session: &Session,
    components: &[(&'static str, &'static [Migration])],
) -> Result<bool, Error> {
    for (component, migrations) in components {
        let known = migrations.len() as u32;
        match version(session, component).await? {
            Some(found) if found > known => {
                let keyspace = session.keyspace().to_owned();
                return Err(Error::Newer { keyspace, component, found, known });
            }
            Some(found) if found == known => {}
            Some(_) | None => return Ok(false),
        }
    }
    Ok(true)
}

/// The version of a component's tables (`service`, or `mesh`); `None` where the keyspace is not there yet.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn version(session: &Session, component: &str) -> Result<Option<u32>, Error> {
    // The schema's own tables are local to each node; what is agreed on is in all of them.
    let text = "SELECT table_name FROM system_schema.tables
        WHERE keyspace_name = ? AND table_name = 'schema_version'";
    let there = session.prepare(Kind::Read, text).await?;
    if session.row::<(String,)>(&there, (session.keyspace(),)).await?.is_none() {
        return Ok(None);
    }
    let text = "SELECT version FROM {}.schema_version
        WHERE component = ? ORDER BY version DESC LIMIT 1";
    let newest = once_made(|| session.prepare(Kind::Read, text)).await?;
    let found = session.row::<(i32,)>(&newest, (component,)).await?;
    Ok(Some(found.map_or(0, |(version,)| version.unsigned_abs())))
}

/// Made only where it is not there: an operator may have made it otherwise, with replicas in several datacenters.
async fn make_keyspace(session: &Session, config: &Config) -> Result<(), Error> {
    let there = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let there = session.prepare(Kind::Read, there).await?;
    if session.row::<(String,)>(&there, (session.keyspace(),)).await?.is_some() {
        return Ok(());
    }
    let factor = config.replication_factor.max(1);
    let strategy = if config.datacenter.is_empty() {
        format!("'class': 'SimpleStrategy', 'replication_factor': {factor}")
    } else {
        let datacenter = config.datacenter.replace('\'', "''");
        format!("'class': 'NetworkTopologyStrategy', '{datacenter}': {factor}")
    };
    let plain = format!("CREATE KEYSPACE IF NOT EXISTS {{}} WITH replication = {{{strategy}}}");
    // ScyllaDB has no conditional writes in keyspaces with tablets; Cassandra has no tablets.
    let knows_tablets = "SELECT table_name FROM system_schema.tables
        WHERE keyspace_name = 'system_schema' AND table_name = 'scylla_keyspaces'";
    let knows_tablets = session.prepare(Kind::Read, knows_tablets).await?;
    let is_scylla = session.row::<(String,)>(&knows_tablets, ()).await?.is_some();
    let tablets = if is_scylla { " AND tablets = {'enabled': false}" } else { "" };
    session.define(&format!("{plain}{tablets}")).await
}

async fn apply(
    session: &Session,
    lease: &Lease,
    component: &'static str,
    migrations: &'static [Migration],
) -> Result<(), Error> {
    let known = migrations.len() as u32;
    let found = version(session, component).await?.unwrap_or(0);
    if found > known {
        let keyspace = session.keyspace().to_owned();
        return Err(Error::Newer { keyspace, component, found, known });
    }
    let text = "INSERT INTO {}.schema_version (component, version, name) VALUES (?, ?, ?)";
    let note = session.prepare(Kind::Write, text).await?;
    for step in migrations.iter().filter(|step| step.version > found) {
        let Migration { version, name, cql } = *step;
        for statement in cql {
            lease.renew(session).await?;
            session.define(statement).await.map_err(|source| Error::Migration {
                component,
                version,
                name,
                source: Box::new(source),
            })?;
        }
        session.write(&note, (component, version as i32, name)).await?;
    }
    Ok(())
}

/// The right to change the schema.
struct Lease {
    holder: Uuid,
}

impl Lease {
    async fn take(session: &Session) -> Result<Lease, Error> {
        let text = "INSERT INTO {}.schema_lease (id, holder) VALUES ('schema', ?)
            IF NOT EXISTS USING TTL ?";
        let take = session.prepare(Kind::Conditional, text).await?;
        let text = "SELECT holder FROM {}.schema_lease WHERE id = 'schema'";
        let look = session.prepare(Kind::SettledRead, text).await?;
        let holder = Uuid::new_v4();
        for _ in 0..LEASE_TRIES {
            match session.conditional(&take, (holder, LEASE_S)).await {
                Ok(true) => return Ok(Lease { holder }),
                Ok(false) => {}
                Err(Error::Unknown(_)) => {
                    let found = session.row::<(Uuid,)>(&look, ()).await?;
                    if found.is_some_and(|(found,)| found == holder) {
                        return Ok(Lease { holder });
                    }
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(LEASE_PAUSE).await;
        }
        Err(Error::MigrationStuck(session.keyspace().to_owned()))
    }

    async fn renew(&self, session: &Session) -> Result<(), Error> {
        let text = "UPDATE {}.schema_lease USING TTL ? SET holder = ? WHERE id = 'schema'
            IF holder = ?";
        let renew = session.prepare(Kind::Conditional, text).await?;
        match session.conditional(&renew, (LEASE_S, self.holder, self.holder)).await {
            Ok(true) | Err(Error::Unknown(_)) => Ok(()),
            Ok(false) => Err(Error::MigrationStuck(session.keyspace().to_owned())),
            Err(error) => Err(error),
        }
    }

    async fn give_back(&self, session: &Session) -> Result<(), Error> {
        let text = "DELETE FROM {}.schema_lease WHERE id = 'schema' IF holder = ?";
        let give_back = session.prepare(Kind::Conditional, text).await?;
        match session.conditional(&give_back, (self.holder,)).await {
            // It goes away by itself otherwise.
            Ok(_) | Err(Error::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
