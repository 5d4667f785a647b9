//! Address books: the addresses of a user and which of them is the default, changed by one conditional batch on the
//! book's version. Whoever loses reads again and decides anew.

use std::time::Duration;

use prost::Message;
use scylla::DeserializeRow;
use souk_mesh::cql::{self, Batch};
use souk_proto::user::v1::PostalAddress;
use uuid::Uuid;

use super::accounts::Accounts;
use super::schema::Statements;
use crate::domain::Address;
use crate::error::Error;
use crate::store::RequestKey;

/// The row of the book itself, before its addresses.
const BOOK: i8 = 0;
/// How often a change is computed anew after another one came first.
const MAX_TRIES: u32 = 32;
/// The longest pause before that, per try so far, in milliseconds.
const PAUSE_MS: u64 = 8;

#[derive(DeserializeRow)]
struct Row {
    kind: i8,
    item: Vec<u8>,
    book_version: Option<i64>,
    writer: Option<Uuid>,
    default_address: Option<Uuid>,
    label: Option<String>,
    postal: Option<Vec<u8>>,
    address_created_ms: Option<i64>,
    address_updated_ms: Option<i64>,
    address_version: Option<i64>,
}

/// An address book as it was read.
#[derive(Default)]
pub struct Book {
    /// `None` where there never was an address.
    version: Option<i64>,
    writer: Option<Uuid>,
    default: Option<Uuid>,
    /// Oldest first.
    pub addresses: Vec<Address>,
}

/// What becomes of a book.
pub enum Edit {
    /// An address is added or replaced; remembered under the request, if there is one.
    Put(Box<Address>),
    /// An address is removed.
    Delete(Uuid),
}

impl Book {
    /// The address of that id.
    pub fn address(&self, address_id: Uuid) -> Option<&Address> {
        self.addresses.iter().find(|address| address.id == address_id)
    }

    /// The default address after an edit.
    fn default_after(&self, edit: &Edit) -> Option<Uuid> {
        match edit {
            Edit::Put(address) if address.is_default => Some(address.id),
            Edit::Put(address) => self.default.filter(|default| *default != address.id),
            Edit::Delete(id) => self.default.filter(|default| default != id),
        }
    }

    fn of(user_id: Uuid, rows: Vec<Row>) -> Result<Book, Error> {
        let mut book = Book::default();
        for row in rows {
            if row.kind == BOOK {
                book.version = row.book_version;
                book.writer = row.writer;
                book.default = row.default_address;
                continue;
            }
            let id = Uuid::from_slice(&row.item).map_err(cql::Error::form)?;
            let postal = row.postal.unwrap_or_default();
            book.addresses.push(Address {
                id,
                user_id,
                label: row.label.unwrap_or_default(),
                postal: PostalAddress::decode(postal.as_slice()).map_err(cql::Error::form)?,
                is_default: book.default == Some(id),
                created_at_ms: row.address_created_ms.unwrap_or_default(),
                updated_at_ms: row.address_updated_ms.unwrap_or_default(),
                version: row.address_version.unwrap_or_default().unsigned_abs(),
            });
        }
        Ok(book)
    }
}

impl Accounts {
    /// A user's addresses.
    pub async fn book(&self, user_id: Uuid, is_settled: bool) -> Result<Book, Error> {
        let Statements { book, settled_book, .. } = &self.statements;
        let read = if is_settled { settled_book } else { book };
        Book::of(user_id, self.session.rows(read, (user_id,)).await?)
    }

    /// The address that an earlier request of this key made.
    async fn remembered(&self, user_id: Uuid, key: &RequestKey) -> Result<Option<Uuid>, Error> {
        let values = (user_id, key.digest().to_vec());
        let found: Option<(Vec<u8>, Uuid)> =
            self.session.row(&self.statements.remembered, values).await?;
        match found {
            None => Ok(None),
            Some((fingerprint, made)) if fingerprint == key.fingerprint => Ok(Some(made)),
            Some(_) => Err(Error::RequestIdReused),
        }
    }

    /// Reads the book, and what an earlier request of the key made, decides, and writes what was decided, until nobody
    /// came between.
    pub async fn edit<T>(
        &self,
        user_id: Uuid,
        key: Option<&RequestKey>,
        decide: impl Fn(&Book, Option<Uuid>) -> Result<Decided<T>, Error>,
    ) -> Result<T, Error> {
        for tries in 0..MAX_TRIES {
            if tries > 0 {
                tokio::time::sleep(pause(tries)).await;
            }
            let mut book = self.book(user_id, true).await?;
            // After the book: what is remembered later than that changes its version.
            let earlier = match key {
                Some(key) => self.remembered(user_id, key).await?,
                None => None,
            };
            if earlier.is_some_and(|earlier| book.address(earlier).is_none()) {
                book = self.book(user_id, true).await?;
            }
            match decide(&book, earlier)? {
                Decided::Nothing(answer) => return Ok(answer),
                Decided::Edit(edit, answer) => {
                    if self.write(user_id, &book, edit, key).await? {
                        return Ok(answer);
                    }
                }
            }
        }
        Err(Error::Contended)
    }

    /// Writes an edit of a book that is as it was read; `false` when it is not.
    async fn write(
        &self,
        user_id: Uuid,
        before: &Book,
        edit: Edit,
        key: Option<&RequestKey>,
    ) -> Result<bool, Error> {
        let Statements { make_book, change_book, put_address, delete_address, remember, .. } =
            &self.statements;
        let writer = Uuid::new_v4();
        let default = before.default_after(&edit);
        let mut batch = Batch::conditional();
        match before.version {
            Some(version) => {
                batch.add(change_book, (version + 1, writer, default, user_id, version));
            }
            None => batch.add(make_book, (writer, default, user_id)),
        }
        match edit {
            Edit::Put(address) => {
                let item = address.id.as_bytes().to_vec();
                let values = (
                    user_id,
                    item,
                    address.label,
                    address.postal.encode_to_vec(),
                    address.created_at_ms,
                    address.updated_at_ms,
                    address.version as i64,
                );
                batch.add(put_address, values);
                if let Some(key) = key {
                    let values =
                        (user_id, key.digest().to_vec(), key.fingerprint.to_vec(), address.id);
                    batch.add(remember, values);
                }
            }
            Edit::Delete(address_id) => {
                batch.add(delete_address, (user_id, address_id.as_bytes().to_vec()));
            }
        }
        match self.session.conditional_batch(batch).await {
            Err(unknown @ cql::Error::Unknown(_)) => {
                let is_ours = self.book(user_id, true).await?.writer == Some(writer);
                if is_ours { Ok(true) } else { Err(unknown.into()) }
            }
            answer => Ok(answer?),
        }
    }
}

/// What to do with a book, and what to answer once it is done.
pub enum Decided<T> {
    /// It stays as it is.
    Nothing(T),
    /// It is changed.
    Edit(Edit, T),
}

/// A pause that differs between those who met, and grows.
fn pause(tries: u32) -> Duration {
    let random = u64::from(Uuid::new_v4().as_bytes()[0]);
    Duration::from_millis(PAUSE_MS * u64::from(tries) * random / u64::from(u8::MAX))
}
