//! Who calls: users, staff and services, shown by Ed25519-signed tokens (RFC 7519, RFC 8037).

mod caller;
mod jwt;
mod keys;
mod token;

pub use caller::{Caller, Role, Roles};
pub use keys::Keys;
pub use token::{TokenSigner, TokenVerifier};

use std::io;
use std::path::PathBuf;

/// Why a key could not be had, or a token could not be made or believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key file could not be read or made.
    #[error("key file {path}: {source}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key file that others than its owner can read.
    #[error("key file {path} can be read by others (mode {mode:o}): run chmod 600 on it")]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file that does not hold an Ed25519 key.
    #[error("key file {path} does not hold an Ed25519 key in PKCS#8 form")]
    KeyDamaged {
        /// The file.
        path: PathBuf,
    },
    /// A data folder in which no shop has run.
    #[error("{data} holds no key of a shop: has a shop run there?")]
    NoKey {
        /// The data folder.
        data: PathBuf,
    },
    /// The system gave no randomness, or a key was refused.
    #[error("cannot make an Ed25519 key")]
    KeyRefused,
    /// A token that is malformed, signed by another key, or meant for someone else.
    #[error("the token is not valid: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// A token whose time is over.
    #[error("the token has expired")]
    Expired,
    /// A token whose time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A token whose subject is empty or longer than any of ours.
    #[error("the token's subject is not valid")]
    Subject,
}
