//! Products and categories in order of name. An entry is a hint: what it names is read, and must say the same; so
//! entries may be written before the change that they are for, and taken out after it, by plain writes.

use scylla::DeserializeRow;
use souk_mesh::cql::{Error as CqlError, Kind, Prepared, Session};
use uuid::Uuid;

use crate::error::Error;
use crate::store::NameCursor;

/// Partitions of one shelf, read side by side.
const BUCKETS: u8 = 4;

/// Where something is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// On which shelf.
    pub(super) shelf: Uuid,
    /// Under which name.
    pub(super) name: String,
    /// What is listed.
    pub(super) item: Uuid,
    /// Whose entry it is: only who made it takes it out.
    pub(super) listing: Uuid,
}

/// The shelf of all products.
pub(super) const ALL_PRODUCTS: Uuid = Uuid::nil();
/// The shelf of the categories.
pub(super) const CATEGORIES: Uuid = Uuid::max();

#[derive(DeserializeRow)]
struct Row {
    name: String,
    item: Vec<u8>,
}

/// The statements of the table `listing`.
pub(super) struct Listing {
    session: Session,
    put: Prepared,
    delete: Prepared,
    first: Prepared,
    after: Prepared,
}

impl Listing {
    pub(super) async fn prepare(session: &Session) -> Result<Listing, CqlError> {
        let put = "INSERT INTO {}.listing (shelf, bucket, name, item, listing)
            VALUES (?, ?, ?, ?, ?)";
        let delete = "DELETE FROM {}.listing
            WHERE shelf = ? AND bucket = ? AND name = ? AND item = ? AND listing = ?";
        let first = "SELECT name, item FROM {}.listing WHERE shelf = ? AND bucket = ? LIMIT ?";
        let after = "SELECT name, item FROM {}.listing
            WHERE shelf = ? AND bucket = ? AND (name, item) > (?, ?) LIMIT ?";
        Ok(Listing {
            put: session.prepare(Kind::Write, put).await?,
            delete: session.prepare(Kind::Write, delete).await?,
            first: session.prepare(Kind::Read, first).await?,
            after: session.prepare(Kind::Read, after).await?,
            session: session.clone(),
        })
    }

    /// Lists something.
    pub(super) async fn put(&self, place: &Place) -> Result<(), CqlError> {
        self.session.write(&self.put, values(place)).await
    }

    /// Takes an entry out.
    pub(super) async fn delete(&self, place: &Place) -> Result<(), CqlError> {
        self.session.write(&self.delete, values(place)).await
    }

    /// At most `limit` entries of a shelf, in order; each name and item once.
    pub(super) async fn page(
        &self,
        shelf: Uuid,
        after: Option<&NameCursor>,
        limit: usize,
    ) -> Result<Vec<NameCursor>, Error> {
        let pages = (0..BUCKETS).map(|bucket| self.bucket(shelf, bucket, after, limit));
        let mut rows: Vec<Row> =
            futures::future::try_join_all(pages).await?.into_iter().flatten().collect();
        rows.sort_by(|one, other| (&one.name, &one.item).cmp(&(&other.name, &other.item)));
        rows.dedup_by(|one, other| (&one.name, &one.item) == (&other.name, &other.item));
        rows.truncate(limit);
        let cursor = |Row { name, item }| {
            let id = Uuid::from_slice(&item);
            let id = id.map_err(|_| Error::Damaged(format!("the entry {name} of a list")))?;
            Ok(NameCursor { name, id })
        };
        rows.into_iter().map(cursor).collect()
    }

    async fn bucket(
        &self,
        shelf: Uuid,
        bucket: u8,
        after: Option<&NameCursor>,
        limit: usize,
    ) -> Result<Vec<Row>, CqlError> {
        let (bucket, limit) = (bucket as i8, i32::try_from(limit).unwrap_or(i32::MAX));
        match after {
            None => self.session.rows(&self.first, (shelf, bucket, limit)).await,
            Some(NameCursor { name, id }) => {
                let values = (shelf, bucket, name, id.as_bytes().as_slice(), limit);
                self.session.rows(&self.after, values).await
            }
        }
    }
}

type Values<'a> = (Uuid, i8, &'a str, &'a [u8], Uuid);

fn values(place: &Place) -> Values<'_> {
    let bucket = (place.item.as_bytes()[15] % BUCKETS) as i8;
    (place.shelf, bucket, &place.name, place.item.as_bytes(), place.listing)
}
