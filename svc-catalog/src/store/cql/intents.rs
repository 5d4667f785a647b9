//! What was asked under the ids of reservations, by plain writes: wishes to hold, which name the products, and undos.
//!
//! A do writes its wish and *then* looks for an undo; an undo writes itself and *then* looks for wishes. Both write to
//! a quorum and read one, so at least one of them sees the other. A do that sees an undo is refused; an undo that sees
//! a wish goes to its products, where conditional writes decide who was first. None is needed here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use scylla::DeserializeRow;
use sha2::{Digest as _, Sha256};
use souk_mesh::cql::{Error as CqlError, Kind, Prepared, Session};
use uuid::Uuid;

use super::partition::{lines_of, map_of};
use crate::domain::{Hold, Line, Release};
use crate::error::Error;

/// Wishes and undos of one id that are read; more of them are the same client's mistakes.
const MAX_MARKS: i32 = 64;
/// Reservations whose wishes a process remembers; it reads them again otherwise.
const MAX_HELD: usize = 16_384;

const WISH: u8 = 1;
const UNDO: u8 = 2;

/// A wish to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intent {
    /// The reservation.
    pub(super) id: Uuid,
    /// The order.
    pub(super) order_id: Uuid,
    /// In order of the products; never empty.
    pub(super) lines: Vec<Line>,
}

impl Intent {
    /// What a hold wishes.
    pub(super) fn of(hold: &Hold) -> Intent {
        let mut lines = hold.lines.clone();
        lines.sort();
        Intent { id: hold.reservation_id, order_id: hold.order_id, lines }
    }

    fn mark(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        digest.update(self.order_id.as_bytes());
        for line in &self.lines {
            digest.update(line.product_id.as_bytes());
            digest.update(line.quantity.to_be_bytes());
        }
        [&[WISH], digest.finalize().as_slice()].concat()
    }
}

/// An undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undo {
    /// The order that it told.
    pub(super) order_id: Uuid,
    /// It must be known until then, in unix milliseconds.
    pub(super) until_ms: i64,
}

/// All that was asked under one id.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Wishes; more than one only if the id is used for different things.
    pub(super) intents: Vec<Intent>,
    /// The undo that lives longest.
    pub(super) undo: Option<Undo>,
}

#[derive(DeserializeRow)]
struct Row {
    mark: Vec<u8>,
    order_id: Option<Uuid>,
    lines: Option<BTreeMap<Uuid, i32>>,
}

/// The statements of the table `reservation`.
pub(super) struct Intents {
    session: Session,
    read: Prepared,
    put: Prepared,
    forget: Prepared,
    held: Mutex<HashMap<Uuid, Intent>>,
}

impl Intents {
    pub(super) async fn prepare(session: &Session) -> Result<Intents, CqlError> {
        let read = format!(
            "SELECT mark, order_id, lines FROM {{}}.reservation WHERE reservation_id = ?
             LIMIT {MAX_MARKS}"
        );
        let put = "INSERT INTO {}.reservation (reservation_id, mark, order_id, lines)
            VALUES (?, ?, ?, ?)";
        let forget = "DELETE FROM {}.reservation WHERE reservation_id = ? AND mark = ?";
        Ok(Intents {
            read: session.prepare(Kind::Read, &read).await?,
            put: session.prepare(Kind::Write, put).await?,
            forget: session.prepare(Kind::Write, forget).await?,
            session: session.clone(),
            held: Mutex::default(),
        })
    }

    /// What was asked under this id so far.
    pub(super) async fn of(&self, id: Uuid) -> Result<Asked, Error> {
        let rows: Vec<Row> = self.session.rows(&self.read, (id,)).await?;
        let mut asked = Asked::default();
        for Row { mark, order_id, lines } in rows {
            let order_id = order_id.unwrap_or_default();
            match (mark.split_first(), lines) {
                (Some((&WISH, _)), Some(lines)) if !lines.is_empty() => {
                    asked.intents.push(Intent { id, order_id, lines: lines_of(lines) });
                }
                (Some((&UNDO, until)), _) => {
                    let until = until.try_into().map_err(|_| damaged(id))?;
                    let undo = Undo { order_id, until_ms: i64::from_be_bytes(until) };
                    let longest = asked.undo.filter(|known| known.until_ms >= undo.until_ms);
                    asked.undo = longest.or(Some(undo));
                }
                _ => return Err(damaged(id)),
            }
        }
        Ok(asked)
    }

    /// Writes a wish down.
    pub(super) async fn wish(&self, intent: &Intent) -> Result<(), CqlError> {
        let values = (intent.id, intent.mark(), intent.order_id, Some(map_of(&intent.lines)));
        self.session.write(&self.put, values).await
    }

    /// Writes an undo down, until `until_ms`.
    pub(super) async fn undo(&self, release: &Release, until_ms: i64) -> Result<(), CqlError> {
        let nothing: Option<BTreeMap<Uuid, i32>> = None;
        let values = (release.reservation_id, undo_mark(until_ms), release.order_id, nothing);
        self.session.write(&self.put, values).await
    }

    /// Forgets the undo that was kept until then; others of the same id stay.
    pub(super) async fn forget(&self, id: Uuid, until_ms: i64) -> Result<(), CqlError> {
        self.session.write(&self.forget, (id, undo_mark(until_ms))).await
    }

    /// Remembers a wish that was fulfilled.
    pub(super) fn remember_held(&self, intent: Intent) {
        let mut held = self.lock_held();
        if held.len() >= MAX_HELD {
            held.clear();
        }
        held.insert(intent.id, intent);
    }

    /// The wish that this process fulfilled under this id, unless it has forgotten.
    pub(super) fn held(&self, id: Uuid) -> Option<Intent> {
        self.lock_held().get(&id).cloned()
    }

    /// What is sold or given back is not asked for any more.
    pub(super) fn forget_held(&self, id: Uuid) {
        self.lock_held().remove(&id);
    }

    fn lock_held(&self) -> MutexGuard<'_, HashMap<Uuid, Intent>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Undos of different lives are different rows, so that forgetting one cannot meet another.
fn undo_mark(until_ms: i64) -> Vec<u8> {
    [&[UNDO], until_ms.to_be_bytes().as_slice()].concat()
}

fn damaged(id: Uuid) -> Error {
    Error::Damaged(format!("what was asked of reservation {id}"))
}
