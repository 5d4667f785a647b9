//! The bytes of a slot that is too large for one row.
//!
//! They are written before the slot, under their digest, so that two writers of one slot do not touch each other's. Parts
//! of a slot that was lost stay behind; they are few and hurt nobody.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use souk_mesh::cql::{self, Kind, Prepared, Session};

use super::failed;
use crate::engine::ids::{LogId, Slot};
use crate::engine::log::Error;
use crate::store::cql::signed;

/// Bytes of a part: well below what a server takes as one write (16 MiB unless it is set otherwise).
const PART_BYTES: usize = 512 * 1024;
/// Parts that are written or read at once.
const PARTS_AT_ONCE: usize = 4;

pub(super) struct Parts {
    session: Session,
    write: Prepared,
    read: Prepared,
    delete: Prepared,
}

impl Parts {
    pub(super) async fn prepare(session: &Session) -> Result<Parts, cql::Error> {
        let write = "INSERT INTO {}.log_part (log_id, slot, digest, part, bytes)
            VALUES (?, ?, ?, ?, ?)";
        let place = "log_id = ? AND slot = ? AND digest = ?";
        let read = format!("SELECT bytes FROM {{}}.log_part WHERE {place} AND part = ?");
        let delete = format!("DELETE FROM {{}}.log_part WHERE {place}");
        Ok(Parts {
            session: session.clone(),
            write: session.prepare(Kind::Write, write).await?,
            read: session.prepare(Kind::Read, &read).await?,
            delete: session.prepare(Kind::Write, &delete).await?,
        })
    }

    /// Writes the parts; what the slot is to hold: how many there are, and their digest.
    pub(super) async fn write(
        &self,
        log: LogId,
        slot: Slot,
        bytes: &Bytes,
    ) -> Result<(i32, Bytes), cql::Error> {
        let digest = Bytes::copy_from_slice(&Sha256::digest(bytes));
        let count = bytes.len().div_ceil(PART_BYTES);
        let writes = (0..count).map(|part| {
            let digest = &digest;
            let end = bytes.len().min((part + 1) * PART_BYTES);
            let piece = bytes.slice(part * PART_BYTES..end);
            async move {
                let values = (signed(log.0), signed(slot.0), digest, part as i32, piece);
                self.session.write(&self.write, values).await
            }
        });
        stream::iter(writes).buffer_unordered(PARTS_AT_ONCE).try_collect::<()>().await?;
        Ok((i32::try_from(count).unwrap_or(i32::MAX), digest))
    }

    /// The bytes of a slot that holds this many parts and their digest.
    pub(super) async fn read(
        &self,
        log: LogId,
        slot: Slot,
        count: i32,
        digest: Bytes,
    ) -> Result<Bytes, Error> {
        let digest = &digest;
        let reads = (0..count).map(|part| async move {
            let values = (signed(log.0), signed(slot.0), digest, part);
            self.session.row::<(Bytes,)>(&self.read, values).await
        });
        let parts: Vec<Option<(Bytes,)>> =
            stream::iter(reads).buffered(PARTS_AT_ONCE).try_collect().await.map_err(failed)?;
        let mut bytes = BytesMut::new();
        for (part,) in parts.into_iter().flatten() {
            bytes.extend_from_slice(&part);
        }
        if Sha256::digest(&bytes)[..] != digest[..] {
            let what = "its parts do not have the digest that it holds".to_owned();
            return Err(Error::Damaged { log, slot, what });
        }
        Ok(bytes.freeze())
    }

    pub(super) async fn delete(
        &self,
        log: LogId,
        slot: Slot,
        digest: &Bytes,
    ) -> Result<(), cql::Error> {
        self.session.write(&self.delete, (signed(log.0), signed(slot.0), digest)).await
    }
}
