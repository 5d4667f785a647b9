//! Brings a database file to the shape that this build expects.
//!
//! Each component (the service, and the mesh's own tables) counts its versions by itself. All
//! missing steps run in one transaction, so a crash leaves the old shape or the new one.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::Error;

/// One step in the life of a schema. Once released, a step is never edited: add another.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// 1, 2, 3 … without gaps.
    pub version: u32,
    /// What it does, for people who read the version table.
    pub name: &'static str,
    /// One or more SQL statements.
    pub sql: &'static str,
}

const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version (
    component TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (component, version)
) WITHOUT ROWID, STRICT";

/// Applies what is missing of every component.
pub(super) fn migrate(
    connection: &mut Connection,
    components: &[(&'static str, &'static [Migration])],
) -> Result<(), Error> {
    for (component, migrations) in components {
        check_order(component, migrations)?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(VERSION_TABLE)?;
    for (component, migrations) in components {
        apply(&transaction, component, migrations)?;
    }
    transaction.commit()?;
    Ok(())
}

fn check_order(component: &'static str, migrations: &[Migration]) -> Result<(), Error> {
    let in_order = migrations.iter().zip(1u32..).all(|(step, version)| step.version == version);
    if in_order { Ok(()) } else { Err(Error::MigrationOrder { component }) }
}

fn apply(
    connection: &Connection,
    component: &'static str,
    migrations: &[Migration],
) -> Result<(), Error> {
    let known = migrations.len() as u32;
    let found: Option<u32> = connection
        .query_row(
            "SELECT max(version) FROM schema_version WHERE component = ?1",
            [component],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    let found = found.unwrap_or(0);
    if found > known {
        return Err(Error::Newer { component, found, known });
    }
    for step in migrations.iter().filter(|step| step.version > found) {
        connection.execute_batch(step.sql).map_err(|source| Error::Migration {
            component,
            version: step.version,
            name: step.name,
            source,
        })?;
        connection.execute(
            "INSERT INTO schema_version (component, version, name) VALUES (?1, ?2, ?3)",
            params![component, step.version, step.name],
        )?;
    }
    Ok(())
}
