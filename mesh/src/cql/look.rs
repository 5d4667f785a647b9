//! What a cluster is, and how it stands with one service's keyspace: for `souk doctor`.

use std::collections::HashMap;

use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::Statement;
use uuid::Uuid;

use super::{Error, Kind, Session};
use crate::clock::{Clock, SystemClock};

/// One node, as it answers for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `host:port`.
    pub address: String,
    /// Its release, or why it says nothing.
    pub version: Result<String, String>,
    /// How far its clock is ahead of this machine's, in milliseconds, less what the question itself may have taken.
    pub ahead_ms: i64,
}

impl Session {
    /// All nodes of the cluster, each asked for itself.
    ///
    /// # Errors
    /// None: a node that does not answer says why.
    pub async fn nodes(&self) -> Vec<Node> {
        let state = self.shared.driver.get_cluster_state();
        let mut nodes = Vec::new();
        for node in state.get_nodes_info() {
            let address = format!("{}:{}", node.address.ip(), node.address.port());
            let asked = self.ask(NodeIdentifier::Node(node.clone())).await;
            let (version, ahead_ms) = match asked {
                Ok((version, ahead_ms)) => (Ok(version), ahead_ms),
                Err(error) => (Err(error.to_string()), 0),
            };
            nodes.push(Node { address, version, ahead_ms });
        }
        nodes
    }

    async fn ask(&self, node: NodeIdentifier) -> Result<(String, i64), Error> {
        let mut statement =
            Statement::new("SELECT release_version, toUnixTimestamp(now()) FROM system.local");
        let policy = SingleTargetLoadBalancingPolicy::new(node, None);
        statement.set_load_balancing_policy(Some(policy));
        statement.set_consistency(scylla::statement::Consistency::One);
        let before_ms = SystemClock.now_ms();
        let answer = self.shared.driver.query_unpaged(statement, ()).await;
        let after_ms = SystemClock.now_ms();
        let answer = answer.map_err(|error| super::error::of_execution(Kind::Read, error))?;
        let rows = answer.into_rows_result().map_err(Error::form)?;
        let (version, now_ms) = rows.first_row::<(String, i64)>().map_err(Error::form)?;
        Ok((version, ahead_ms(now_ms, before_ms, after_ms)))
    }

    /// The name and release of ScyllaDB, where it is that: `release_version` there is the Cassandra that it resembles.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn scylla(&self) -> Result<Option<String>, Error> {
        let text = "SELECT table_name FROM system_schema.tables
            WHERE keyspace_name = 'system' AND table_name = 'versions'";
        let there = self.prepare(Kind::Read, text).await?;
        if self.row::<(String,)>(&there, ()).await?.is_none() {
            return Ok(None);
        }
        let version = self.prepare(Kind::Read, "SELECT version FROM system.versions").await?;
        let found = self.row::<(String,)>(&version, ()).await?;
        Ok(found.map(|(version,)| version))
    }

    /// Copies of each row of the keyspace, in the datacenter that has the fewest; `None` where it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn copies(&self) -> Result<Option<u32>, Error> {
        let text = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
        let replication = self.prepare(Kind::Read, text).await?;
        let found =
            self.row::<(HashMap<String, String>,)>(&replication, (self.keyspace(),)).await?;
        let factors = |options: HashMap<String, String>| {
            let numbers = options.into_iter().filter(|(name, _)| name != "class");
            numbers.filter_map(|(_, value)| value.parse().ok()).min()
        };
        Ok(found.and_then(|(options,)| factors(options)))
    }

    /// Whether conditional writes work in the keyspace, shown by one that leaves nothing behind.
    ///
    /// # Errors
    /// What the server says where they do not.
    pub async fn try_conditional(&self) -> Result<(), Error> {
        let text =
            "INSERT INTO {}.schema_lease (id, holder) VALUES (?, ?) IF NOT EXISTS USING TTL 1";
        let insert = self.prepare(Kind::Conditional, text).await?;
        let own = Uuid::new_v4();
        self.conditional(&insert, (format!("doctor {own}"), own)).await.map(drop)
    }
}

/// How far a clock is ahead of ours at the least, when it was asked between two looks at ours; negative where behind.
#[must_use]
pub fn ahead_ms(theirs_ms: i64, before_ms: i64, after_ms: i64) -> i64 {
    if theirs_ms > after_ms { theirs_ms - after_ms } else { (theirs_ms - before_ms).min(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_as_wrong_as_it_must_be_at_the_least() {
        for (theirs, ahead) in [(90, -10), (100, 0), (105, 0), (110, 0), (125, 15)] {
            assert_eq!(ahead_ms(theirs, 100, 110), ahead, "{theirs}");
        }
    }
}
