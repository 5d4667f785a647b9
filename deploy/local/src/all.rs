//! All real parts together, and the configuration by which a shop finds them.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{Cassandra, RabbitMq, Redis};

/// Copies of each row, where there are nodes for them.
const REPLICATION_FACTOR: usize = 3;

/// Redis, RabbitMQ and Cassandra.
pub struct All {
    /// Carts, sessions, rate limits.
    pub redis: Redis,
    /// Events.
    pub rabbitmq: RabbitMq,
    /// Everything that is to be kept.
    pub cassandra: Cassandra,
}

impl All {
    /// Starts them, with their data in `folder`.
    ///
    /// # Errors
    /// When one can neither be found nor installed, and when it does not come up.
    pub fn start(folder: &Path, cassandra_nodes: u8) -> Result<All> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        Ok(All {
            redis: Redis::start(&folder.join("redis"))?,
            rabbitmq: RabbitMq::start(&folder.join("rabbitmq"))?,
            cassandra: Cassandra::start(&folder.join("cassandra"), cassandra_nodes)?,
        })
    }

    /// What `souk --config` reads to run on them.
    pub fn configuration(&self) -> String {
        let contact_points = self.cassandra.contact_points();
        let factor = contact_points.len().min(REPLICATION_FACTOR);
        configuration(&self.redis.url(), &self.rabbitmq.url(), &contact_points, factor)
    }
}

/// What `souk --config` reads to run on these.
pub fn configuration(
    redis_url: &str,
    rabbitmq_url: &str,
    contact_points: &[String],
    replication_factor: usize,
) -> String {
    format!(
        "[backends]\n\
         kind = \"real\"\n\
         redis.url = \"{redis_url}\"\n\
         rabbitmq.url = \"{rabbitmq_url}\"\n\
         cql.contact_points = \"{}\"\n\
         cql.replication_factor = {replication_factor}\n",
        contact_points.join(","),
    )
}
