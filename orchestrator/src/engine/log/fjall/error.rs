//! What can go wrong with the engine's folder, in words that an operator can act on.

use std::io;
use std::path::{Path, PathBuf};

/// Why the embedded store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process has the folder open.
    #[error("the engine's folder {} is in use by another process: stop that one, or choose another folder", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system refused an operation on a file.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Bytes that were once acknowledged are gone or changed.
    #[error("{damage}. {remedy}")]
    Damaged {
        /// What is damaged.
        damage: String,
        /// What to do about it.
        remedy: String,
    },
    /// The database refused; it accepts nothing more until the process starts again.
    #[error("the engine's store in {} failed: {source}", .folder.display())]
    Failed {
        /// The engine's folder.
        folder: PathBuf,
        /// The database's error.
        source: fjall::Error,
    },
}

impl StorageError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// Sorts a database error into damage (nothing but a backup helps) and failure (a restart may).
    pub(crate) fn fjall(folder: &Path, source: fjall::Error) -> Self {
        let damaged = match &source {
            fjall::Error::Storage(storage) => matches!(
                storage,
                fjall::LsmError::ChecksumMismatch { .. }
                    | fjall::LsmError::Decompress(_)
                    | fjall::LsmError::InvalidTag(_)
                    | fjall::LsmError::InvalidTrailer
                    | fjall::LsmError::InvalidHeader(_)
                    | fjall::LsmError::InvalidVersion(_)
                    | fjall::LsmError::Utf8(_)
                    | fjall::LsmError::Unrecoverable
            ),
            fjall::Error::JournalRecovery(_)
            | fjall::Error::InvalidVersion(_)
            | fjall::Error::Decompress(_)
            | fjall::Error::InvalidTrailer
            | fjall::Error::InvalidTag(_)
            | fjall::Error::Unrecoverable => true,
            _ => false,
        };
        if damaged {
            Self::Damaged {
                damage: format!("the engine's store in {} is damaged: {source}", folder.display()),
                remedy: restore(folder),
            }
        } else {
            Self::Failed { folder: folder.to_path_buf(), source }
        }
    }
}

/// The remedy for damage that cannot be cut away.
pub(super) fn restore(folder: &Path) -> String {
    format!(
        "Nothing was started. Keep a copy of {} for examination, check the disk, and restore the folder from a backup",
        folder.display()
    )
}
