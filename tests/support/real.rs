//! Real stores and a real broker, of a test's own; in the CQL server, which all tests share, keyspaces of its own.

use std::path::{Path, PathBuf};

use souk_backends::{Part, RabbitMq, Redis, cql_for_tests, there_or_skipped};
use souk_mesh::cql::{self, Kind, Session};
use tempfile::TempDir;
use uuid::Uuid;

/// Characters of a keyspace's prefix that tell a test's own.
const OWN_CHARS: usize = 12;

/// The parts; they end with this.
pub struct Real {
    /// Carts, sessions, rate limits.
    pub redis: Redis,
    /// Events.
    pub rabbitmq: RabbitMq,
    /// Everything else, as `host:port`.
    pub contact_points: Vec<String>,
    prefix: String,
    // Last: removed when the processes are gone.
    folder: TempDir,
}

impl Real {
    /// `None` where a part cannot be had.
    pub fn start() -> Option<Real> {
        let are_there = [Part::Redis, Part::RabbitMq].into_iter().all(there_or_skipped);
        let contact_points = cql_for_tests().filter(|_| are_there)?;
        let folder = TempDir::new().unwrap();
        let redis = Redis::start(&folder.path().join("redis")).unwrap();
        let rabbitmq = RabbitMq::start(&folder.path().join("rabbitmq")).unwrap();
        let own = Uuid::new_v4().simple().to_string();
        let prefix = format!("test_{}", &own[..OWN_CHARS]);
        Some(Real { redis, rabbitmq, contact_points, prefix, folder })
    }

    /// Where a test may keep what is to go with the parts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the file by which a shop finds them, and what else is to be in it.
    pub fn config(&self, more: &str) -> PathBuf {
        let text = souk_backends::configuration(
            &self.redis.url(),
            &self.rabbitmq.url(),
            &self.contact_points,
            1,
        );
        let file = self.folder().join("souk.toml");
        let prefix = &self.prefix;
        std::fs::write(&file, format!("{text}cql.keyspace_prefix = \"{prefix}\"\n{more}")).unwrap();
        file
    }

    /// The same as settings.
    pub fn own_settings(&self) -> Vec<String> {
        self.settings(&self.redis.url(), &self.rabbitmq.url(), &self.contact_points.join(","))
    }

    /// Has the tables of a service say that a later build has changed them.
    pub async fn pretend_newer(&self, service: &str) {
        let config = cql::Config {
            contact_points: self.contact_points.clone(),
            keyspace_prefix: self.prefix.clone(),
            ..cql::Config::default()
        };
        let session = Session::connect(&config, service).await.unwrap();
        let text = "INSERT INTO {}.schema_version (component, version, name) VALUES (?, ?, ?)";
        let insert = session.prepare(Kind::Write, text).await.unwrap();
        session.write(&insert, (cql::SERVICE, 99, "of a later build")).await.unwrap();
    }

    /// The same as settings, with other addresses: of proxies before the parts.
    pub fn settings(&self, redis_url: &str, rabbitmq_url: &str, cql: &str) -> Vec<String> {
        vec![
            "backends.kind=real".to_owned(),
            format!("backends.redis.url={redis_url}"),
            format!("backends.rabbitmq.url={rabbitmq_url}"),
            format!("backends.cql.contact_points={cql}"),
            "backends.cql.replication_factor=1".to_owned(),
            format!("backends.cql.keyspace_prefix={}", self.prefix),
        ]
    }
}
