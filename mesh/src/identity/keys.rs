//! The shop's signing key, and secrets derived from it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::Error;
use super::token::{TokenSigner, TokenVerifier};

/// The folder of the key within a shop's data.
const FOLDER: &str = "keys";
/// The name of the key's file in its folder.
const KEY_FILE: &str = "ed25519.pk8";
/// Only the owner may read or write.
const OWNER_ONLY: u32 = 0o600;
/// The permission bits that the group or others would need.
const GROUP_OR_OTHERS: u32 = 0o077;

/// One Ed25519 key, as what signs and what verifies.
pub struct Keys {
    /// Makes tokens.
    pub signer: TokenSigner,
    /// Believes them.
    pub verifier: TokenVerifier,
    derivation: hmac::Key,
}

impl Keys {
    /// A new key that lives in memory only.
    ///
    /// # Errors
    /// [`Error::KeyRefused`] when the system gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        Self::from_pkcs8(&new_pkcs8()?)
    }

    /// The key of the shop whose data is in `data`, made (mode 0600, complete or not at all) if it is not there yet. Of
    /// several processes that start at once, all get the same key.
    ///
    /// # Errors
    /// [`Error::KeyFile`], [`Error::KeyExposed`], [`Error::KeyDamaged`], [`Error::KeyRefused`].
    pub fn load_or_create(data: &Path) -> Result<Self, Error> {
        let folder = data.join(FOLDER);
        let path = folder.join(KEY_FILE);
        let in_file = |source| Error::KeyFile { path: path.clone(), source };
        let pkcs8 = match read_private(&path)? {
            Some(pkcs8) => pkcs8,
            None => {
                create_private(&folder, &path, &new_pkcs8()?).map_err(in_file)?;
                read_private(&path)?.ok_or_else(|| in_file(io::ErrorKind::NotFound.into()))?
            }
        };
        Self::from_file(&pkcs8, path)
    }

    /// The key of the shop that has its data in `data`: what commands beside the shop sign with.
    ///
    /// # Errors
    /// [`Error::NoKey`] when no shop has run there; [`Error::KeyFile`], [`Error::KeyExposed`], [`Error::KeyDamaged`].
    pub fn load(data: &Path) -> Result<Self, Error> {
        let path = data.join(FOLDER).join(KEY_FILE);
        let pkcs8 = read_private(&path)?.ok_or_else(|| Error::NoKey { data: data.to_owned() })?;
        Self::from_file(&pkcs8, path)
    }

    /// A secret for one `purpose`, the same in every process that has this key, telling nothing of the key.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.derivation, purpose.as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes")
    }

    fn from_file(pkcs8: &[u8], path: PathBuf) -> Result<Self, Error> {
        Self::from_pkcs8(pkcs8).map_err(|_| Error::KeyDamaged { path })
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| Error::KeyRefused)?;
        Ok(Self {
            signer: TokenSigner::new(pkcs8),
            verifier: TokenVerifier::new(pair.public_key().as_ref()),
            derivation: hmac::Key::new(hmac::HMAC_SHA256, pkcs8),
        })
    }
}

fn new_pkcs8() -> Result<Vec<u8>, Error> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
    document.map(|document| document.as_ref().to_vec()).map_err(|_| Error::KeyRefused)
}

/// The file's bytes, or nothing when there is no such file.
fn read_private(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let in_file = |source| Error::KeyFile { path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(in_file(error)),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & GROUP_OR_OTHERS != 0 {
        return Err(Error::KeyExposed { path: path.to_owned(), mode });
    }
    fs::read(path).map(Some).map_err(in_file)
}

/// Writes and syncs the key beside its place, then links it there, which fails when another process was first: then
/// that one's key is the key.
fn create_private(folder: &Path, path: &Path, pkcs8: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".{KEY_FILE}.{}", uuid::Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&draft)?;
    let linked = file.write_all(pkcs8).and_then(|()| file.sync_all()).and_then(|()| {
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    });
    fs::remove_file(&draft)?;
    linked?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_can_read_it() {
        let data = tempfile::tempdir().unwrap();
        let first = Keys::load_or_create(data.path()).unwrap();
        let second = Keys::load_or_create(data.path()).unwrap();
        let token =
            first.signer.sign("service:a", Role::Service, Duration::from_secs(60), 0).unwrap();
        assert!(second.verifier.verify(&token, 0).is_ok());
        assert_eq!(first.derive("page"), second.derive("page"));
        assert_ne!(first.derive("page"), first.derive("other"));
        let folder = data.path().join(FOLDER);
        let mode = fs::metadata(folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "a draft was left behind");
    }

    #[test]
    fn commands_make_no_key_where_no_shop_has_run() {
        let data = tempfile::tempdir().unwrap();
        let refused = Keys::load(data.path()).err().unwrap();
        assert!(matches!(&refused, Error::NoKey { data: named } if named == data.path()));
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
        let made = Keys::load_or_create(data.path()).unwrap();
        assert_eq!(Keys::load(data.path()).unwrap().derive("page"), made.derive("page"));
    }

    #[test]
    fn processes_that_start_at_once_get_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let derived: Vec<_> = std::thread::scope(|scope| {
            let start = || Keys::load_or_create(folder.path()).unwrap().derive("page");
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(derived.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn an_exposed_or_damaged_key_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        Keys::load_or_create(folder.path()).unwrap();
        let path = folder.path().join(FOLDER).join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Keys::load_or_create(folder.path()).err().unwrap().to_string();
        assert!(refused.contains(KEY_FILE) && refused.contains("644"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"not a key").unwrap();
        assert!(matches!(Keys::load_or_create(folder.path()), Err(Error::KeyDamaged { .. })));
    }
}
