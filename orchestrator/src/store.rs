//! Where the engine's log and tables are kept beside a folder: the engine itself knows of no particular server.

pub mod cql;

use std::sync::Arc;

use souk_mesh::platform::Platform;

use self::cql::{CqlLog, CqlTables};
use crate::config::{Config, Store};
use crate::engine::log::Log;
use crate::engine::log::fjall::{self, FjallLog};
use crate::engine::tables::Tables;
use crate::engine::tables::fjall::FjallTables;
use crate::error::Error;

/// A log and its tables.
pub(crate) type Kept = (Arc<dyn Log>, Arc<dyn Tables>);

/// Opens what the configuration names.
pub(crate) async fn open(platform: &Platform, config: &Config) -> Result<Kept, Error> {
    match config.store {
        Store::Fjall => {
            let store = fjall::Store::open(&platform.data_folder(crate::NAME)?)?;
            let store = Arc::new(store);
            Ok((Arc::new(FjallLog::new(store.clone())), Arc::new(FjallTables::new(store))))
        }
        Store::Cql => {
            let session = cql::open(&config.cql).await?;
            let (log, tables) = (CqlLog::open(&session).await?, CqlTables::open(&session).await?);
            Ok((Arc::new(log), Arc::new(tables)))
        }
    }
}
