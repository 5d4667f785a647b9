//! The open runs of a folder that no node has open: a stopped one's, or a copy.

use std::path::Path;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;

use crate::engine;
use crate::engine::log::fjall::{FjallLog, StorageError, Store};
use crate::engine::seams::Seams;
use crate::engine::stored::{StoredRun, open_runs};
use crate::engine::tables::fjall::FjallTables;

/// Why a folder's runs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no room for the copy, or no way to make it.
    #[error("no copy of the store can be made in {folder}: {source}")]
    Scratch {
        /// Where.
        folder: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The folder cannot be copied or opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What is in it cannot be read.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

/// A copy of an engine's folder. It is deleted when this is dropped.
pub struct Copy {
    folder: TempDir,
}

impl Copy {
    /// Copies the engine's folder `folder` to a new folder in `scratch`. The original is not touched, and no node can
    /// open it meanwhile.
    ///
    /// # Errors
    /// [`StorageError::InUse`] if a node has it open; whatever keeps it from being copied.
    pub fn of(folder: &Path, scratch: &Path) -> Result<Copy, Error> {
        let copy = tempfile::Builder::new().prefix("souk-replay-").tempdir_in(scratch);
        let copy =
            copy.map_err(|source| Error::Scratch { folder: scratch.to_path_buf(), source })?;
        Store::copy(folder, copy.path())?;
        Ok(Copy { folder: copy })
    }

    /// All open runs, those included whose newest events are in the log alone.
    ///
    /// # Errors
    /// If the store is damaged; in the stream, if a history is.
    pub async fn open_runs(&self) -> Result<BoxStream<'static, Result<StoredRun, Error>>, Error> {
        let store = Arc::new(Store::open(self.folder.path())?);
        let log = FjallLog::new(store.clone());
        let tables = Arc::new(FjallTables::new(store));
        let runs = open_runs(&log, tables, &Seams::system()).await?;
        Ok(runs.map_err(Error::from).boxed())
    }
}
