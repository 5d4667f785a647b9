//! A copy of an engine's folder, for those who want to look at it as a start would, and leave it as it is.

use std::fs;
use std::io;
use std::path::Path;

use super::acknowledged;
use super::database::{STORE_FOLDER, Store, lock};
use super::error::StorageError;

impl Store {
    /// Copies what a start reads from `folder` to `into`, which is empty. No process can open `folder` meanwhile.
    ///
    /// # Errors
    /// [`StorageError::InUse`] while a process has it open; whatever the operating system answers, also when there is no
    /// store.
    pub fn copy(folder: &Path, into: &Path) -> Result<(), StorageError> {
        let store = folder.join(STORE_FOLDER);
        if !store.is_dir() {
            let source = io::Error::new(io::ErrorKind::NotFound, "no engine has ever run there");
            return Err(StorageError::io("read", &store, source));
        }
        let _lock = lock(folder)?;
        copy_folder(&store, &into.join(STORE_FOLDER))?;
        let mark = acknowledged::path(folder);
        match fs::copy(&mark, acknowledged::path(into)) {
            Ok(_) => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StorageError::io("copy", &mark, source)),
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), StorageError> {
    let failed = |source| StorageError::io("copy", from, source);
    fs::create_dir(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(failed)?.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).map_err(|source| StorageError::io("copy", &path, source))?;
        }
    }
    Ok(())
}
