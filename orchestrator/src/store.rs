//! Where the engine's log and tables are kept beside a folder: the engine itself knows of no particular server.

pub mod cql;

use std::sync::Arc;

use souk_mesh::platform::Platform;

use crate::engine::log::Log;
use crate::engine::log::fjall::{self, FjallLog};
use crate::engine::tables::Tables;
use crate::engine::tables::fjall::FjallTables;
use crate::error::Error;

/// A log and its tables.
pub(crate) type Kept = (Arc<dyn Log>, Arc<dyn Tables>);

/// Opens the folder of a process that shares its runs with nobody.
pub(crate) fn open_folder(platform: &Platform) -> Result<Kept, Error> {
    let store = Arc::new(fjall::Store::open(&platform.data_folder(crate::NAME)?)?);
    Ok((Arc::new(FjallLog::new(store.clone())), Arc::new(FjallTables::new(store))))
}
