//! The tables that the mesh keeps in every store: request answers and the inbox.

mod idempotency;
mod inbox;
mod outbox;

use souk_mesh::store::Store;

fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(&folder.path().join("some.db"), &[]).expect("the store opens");
    (folder, store)
}
