//! The record of nodes on CQL: one table, all of it in one partition, so that one read shows everything and one conditional
//! batch changes several leases.
//!
//! Nodes and leases are written conditionally only, beats plainly only: those are rows of their own. A view is a settled
//! read, which finishes or voids conditional writes that are under way: what it does not show will not happen any more.

use async_trait::async_trait;
use souk_mesh::cql::{self, Batch, Kind, Prepared, Session};

use super::{signed, unsigned};
use crate::engine::ids::LogId;
use crate::engine::membership::{Beat, Error, Lease, Membership, Move, Node, NodeState, View};
use crate::engine::partition::{PARTITIONS, Partition};

/// The table.
pub const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS {}.cluster
    (shelf tinyint, kind tinyint, number bigint,
    last_log bigint,
    address text, state tinyint,
    owner bigint, epoch bigint,
    beat_count bigint, beat_as_of_ms bigint,
    PRIMARY KEY ((shelf), kind, number))"];

/// How often a node tries to get a log id that others are after, too.
const MAX_JOIN_TRIES: usize = 20;
/// Rows that one read of the record takes: all partitions, and more nodes with their beats than were ever seen.
const MAX_ROWS: i32 = PARTITIONS as i32 + 8_192;
/// How long what a node has said last is kept, in seconds.
const BEAT_TTL_S: i32 = 24 * 3_600;

/// What a row is about: the kind in its key.
const COUNTER: i8 = 0;
const NODE: i8 = 1;
const LEASE: i8 = 2;
const BEAT: i8 = 3;

/// Kind, number, last log, address, state, owner, epoch, beat's count, beat's time.
type Row = (
    i8,
    i64,
    Option<i64>,
    Option<String>,
    Option<i8>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

/// The record of nodes in a keyspace.
pub struct CqlMembership {
    session: Session,
    all: Prepared,
    count_first: Prepared,
    count: Prepared,
    add_node: Prepared,
    set_state: Prepared,
    forget: Prepared,
    beat: Prepared,
    claim_first: Prepared,
    claim: Prepared,
}

impl CqlMembership {
    /// The record in an open keyspace, which has [`SCHEMA`].
    ///
    /// # Errors
    /// Those of [`Session::prepare`].
    pub async fn open(session: &Session) -> Result<CqlMembership, cql::Error> {
        let conditional = |text: &'static str| session.prepare(Kind::Conditional, text);
        let all = "SELECT kind, number, last_log, address, state, owner, epoch, beat_count,
                beat_as_of_ms FROM {}.cluster WHERE shelf = 0 LIMIT ?";
        let beat = format!(
            "INSERT INTO {{}}.cluster (shelf, kind, number, beat_count, beat_as_of_ms)
                VALUES (0, {BEAT}, ?, ?, ?) USING TTL {BEAT_TTL_S}"
        );
        Ok(CqlMembership {
            all: session.prepare(Kind::SettledRead, all).await?,
            count_first: conditional(
                "INSERT INTO {}.cluster (shelf, kind, number, last_log) VALUES (0, 0, 0, ?)
                    IF NOT EXISTS",
            )
            .await?,
            count: conditional(
                "UPDATE {}.cluster SET last_log = ? WHERE shelf = 0 AND kind = 0 AND number = 0
                    IF last_log = ?",
            )
            .await?,
            add_node: conditional(
                "INSERT INTO {}.cluster (shelf, kind, number, address, state)
                    VALUES (0, 1, ?, ?, 0) IF NOT EXISTS",
            )
            .await?,
            set_state: conditional(
                "UPDATE {}.cluster SET state = ? WHERE shelf = 0 AND kind = 1 AND number = ?
                    IF state IN (0, 1)",
            )
            .await?,
            forget: conditional(
                "DELETE FROM {}.cluster WHERE shelf = 0 AND kind = 1 AND number = ? IF state = 2",
            )
            .await?,
            beat: session.prepare(Kind::Write, &beat).await?,
            claim_first: conditional(
                "INSERT INTO {}.cluster (shelf, kind, number, owner, epoch)
                    VALUES (0, 2, ?, ?, ?) IF NOT EXISTS",
            )
            .await?,
            claim: conditional(
                "UPDATE {}.cluster SET owner = ?, epoch = ?
                    WHERE shelf = 0 AND kind = 2 AND number = ? IF owner = ? AND epoch = ?",
            )
            .await?,
            session: session.clone(),
        })
    }

    async fn rows(&self) -> Result<Vec<Row>, Error> {
        self.session.rows(&self.all, (MAX_ROWS,)).await.map_err(failed)
    }
}

#[async_trait]
impl Membership for CqlMembership {
    async fn join(&self, address: &str) -> Result<LogId, Error> {
        for _ in 0..MAX_JOIN_TRIES {
            let rows = self.rows().await?;
            let last = rows.iter().find(|row| row.0 == COUNTER).and_then(|row| row.2);
            let next = last.unwrap_or(0) + 1;
            let mut batch = Batch::conditional();
            match last {
                None => batch.add(&self.count_first, (next,)),
                Some(last) => batch.add(&self.count, (next, last)),
            }
            batch.add(&self.add_node, (next, address.to_owned()));
            if self.session.conditional_batch(batch).await.map_err(failed)? {
                return Ok(LogId(unsigned(next)));
            }
        }
        Err(Error::Unavailable("others keep joining at the same time".into()))
    }

    async fn view(&self) -> Result<View, Error> {
        let mut view = View::default();
        let rows = self.rows().await?;
        let is_whole = rows.len() < MAX_ROWS as usize;
        if !is_whole {
            return Err(Error::Damaged(format!("it has more than {MAX_ROWS} rows")));
        }
        for row in &rows {
            match row.0 {
                NODE => {
                    let node = node(row)?;
                    view.nodes.insert(node.log, node);
                }
                LEASE => {
                    let (partition, lease) = lease(row)?;
                    view.leases.insert(partition, lease);
                }
                _ => {}
            }
        }
        for (_, number, .., count, as_of_ms) in rows.iter().filter(|row| row.0 == BEAT) {
            if let Some(node) = view.nodes.get_mut(&LogId(unsigned(*number))) {
                let count = unsigned(count.unwrap_or(0));
                node.beat = Beat { count, as_of_ms: as_of_ms.unwrap_or(0) };
            }
        }
        Ok(view)
    }

    async fn beat(&self, log: LogId, beat: Beat) -> Result<(), Error> {
        let values = (signed(log.0), signed(beat.count), beat.as_of_ms);
        self.session.write(&self.beat, values).await.map_err(failed)
    }

    async fn set_state(&self, log: LogId, state: NodeState) -> Result<bool, Error> {
        let values = (state_key(state), signed(log.0));
        if self.session.conditional(&self.set_state, values).await.map_err(failed)? {
            return Ok(true);
        }
        let view = self.view().await?;
        Ok(view.nodes.get(&log).is_some_and(|node| node.state == state))
    }

    async fn move_leases(&self, moves: &[Move]) -> Result<bool, Error> {
        if moves.is_empty() {
            return Ok(true);
        }
        let mut batch = Batch::conditional();
        for one in moves {
            let number = i64::from(one.partition.number());
            let Lease { owner, epoch } = one.lease();
            let (owner, epoch) = (signed(owner.0), signed(epoch));
            match one.from {
                None => batch.add(&self.claim_first, (number, owner, epoch)),
                Some(from) => {
                    let from = (signed(from.owner.0), signed(from.epoch));
                    batch.add(&self.claim, (owner, epoch, number, from.0, from.1));
                }
            }
        }
        self.session.conditional_batch(batch).await.map_err(failed)
    }

    async fn forget(&self, log: LogId) -> Result<(), Error> {
        self.session.conditional(&self.forget, (signed(log.0),)).await.map(drop).map_err(failed)
    }
}

fn node(row: &Row) -> Result<Node, Error> {
    let (_, number, _, address, state, ..) = row;
    let log = LogId(unsigned(*number));
    let state = match state {
        Some(0) => NodeState::Live,
        Some(1) => NodeState::Leaving,
        Some(2) => NodeState::Sealed,
        other => return Err(Error::Damaged(format!("node {number} is in state {other:?}"))),
    };
    let address = address.clone().unwrap_or_default();
    Ok(Node { log, address, state, beat: Beat::default() })
}

fn lease(row: &Row) -> Result<(Partition, Lease), Error> {
    let (_, number, _, _, _, owner, epoch, ..) = row;
    let partition = u16::try_from(*number).ok().and_then(Partition::new);
    let (Some(partition), Some(owner), Some(epoch)) = (partition, owner, epoch) else {
        return Err(Error::Damaged(format!("the lease of partition {number} is not whole")));
    };
    Ok((partition, Lease { owner: LogId(unsigned(*owner)), epoch: unsigned(*epoch) }))
}

fn state_key(state: NodeState) -> i8 {
    match state {
        NodeState::Live => 0,
        NodeState::Leaving => 1,
        NodeState::Sealed => 2,
    }
}

fn failed(error: cql::Error) -> Error {
    match error {
        cql::Error::Unknown(why) => Error::Unknown(why),
        cql::Error::Form(why) => Error::Damaged(why),
        other => Error::Unavailable(other.to_string()),
    }
}
