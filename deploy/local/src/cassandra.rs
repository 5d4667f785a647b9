//! Apache Cassandra, one node or several on 127.0.0.1, 127.0.0.2 …, as the CQL server where ScyllaDB cannot be installed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::install::cassandra_jars;
use crate::server::{Recipe, TIMER_SLACK, make_folder};
use crate::{Server, ports};

/// Nodes of one cluster, at most: as many loopback addresses as are tried.
const MAX_NODES: u8 = 5;
/// How long a node waits for the ring to settle before it joins. With 0 the second node cannot reach the seed.
const RING_DELAY_MS: u32 = 3_000;

/// How late Linux may wake Cassandra's threads. Workers with nothing to do look for work every 10 µs for a while before they
/// sleep (`SEPWorker`), so that a node with little to do spends a core on waking them; nothing in it waits for less than this.
const TIMER_SLACK_NS: u32 = 400_000;

/// What Cassandra needs of JDK 17: `conf/jvm17-server.options` of its distribution.
const OPENED: [&str; 22] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.math",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "jdk.management/com.sun.management.internal",
];

/// What Cassandra logs: without this it logs everything.
const LOGGING: &str = include_str!("../cassandra/logback.xml");

/// A Cassandra cluster of one's own.
pub struct Cassandra {
    nodes: Vec<Server>,
}

impl Cassandra {
    /// Starts `count` nodes, one after the other, with their data in `folder`. A commit log that is synced before each
    /// answer, as ScyllaDB and Cassandra are run for money.
    ///
    /// # Errors
    /// When Cassandra can neither be found nor installed, and when a node does not come up.
    pub fn start(folder: &Path, count: u8) -> Result<Cassandra> {
        ensure!((1..=MAX_NODES).contains(&count), "from 1 to {MAX_NODES} nodes");
        let jars = cassandra_jars()?;
        let addresses: Vec<Ipv4Addr> =
            (1..=count).map(|node| Ipv4Addr::new(127, 0, 0, node)).collect();
        let all: Vec<IpAddr> = addresses.iter().copied().map(IpAddr::V4).collect();
        let cql = ports::free_on(&all)?;
        let storage = ports::free_on(&all)?;
        let mut nodes = Vec::with_capacity(addresses.len());
        for address in addresses {
            let own = folder.join(address.to_string());
            let node = Node { jars: &jars, address, cql, storage, is_alone: count == 1 };
            nodes.push(Server::start(node.recipe(&own)?)?);
        }
        Ok(Cassandra { nodes })
    }

    /// One node with its data in `folder`, which is removed when it ends, however this process ends.
    ///
    /// # Errors
    /// Those of [`Cassandra::start`].
    pub fn start_disposable(folder: &Path) -> Result<Cassandra> {
        let jars = cassandra_jars()?;
        let address = Ipv4Addr::LOCALHOST;
        let cql = ports::free_on(&[IpAddr::V4(address)])?;
        let storage = ports::free_on(&[IpAddr::V4(address)])?;
        let node = Node { jars: &jars, address, cql, storage, is_alone: true };
        let recipe = node.recipe(&folder.join(address.to_string()))?;
        let recipe = Recipe { disposable: Some(folder.to_owned()), ..recipe };
        Ok(Cassandra { nodes: vec![Server::start(recipe)?] })
    }

    /// Its nodes. The first is the seed.
    pub fn nodes(&mut self) -> &mut [Server] {
        &mut self.nodes
    }

    /// Where its nodes answer CQL, as `host:port`.
    pub fn contact_points(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address().to_string()).collect()
    }
}

struct Node<'a> {
    jars: &'a Path,
    address: Ipv4Addr,
    cql: u16,
    storage: u16,
    is_alone: bool,
}

impl Node<'_> {
    fn recipe(&self, folder: &Path) -> Result<Recipe> {
        let folder = make_folder(folder)?;
        let configuration = folder.join("cassandra.yaml");
        std::fs::write(&configuration, self.configured(&folder))?;
        std::fs::write(folder.join("logback.xml"), LOGGING)?;
        Ok(Recipe {
            name: "cassandra".to_owned(),
            program: "java".into(),
            arguments: self.arguments(&folder, &configuration),
            environment: vec![(TIMER_SLACK.to_owned(), TIMER_SLACK_NS.to_string())],
            folder,
            address: SocketAddr::from((self.address, self.cql)),
            // OPTIONS in version 4 of the native protocol; the answer is SUPPORTED on the same stream.
            hello: b"\x04\x00\x00\x00\x05\x00\x00\x00\x00",
            answer: b"\x84\x00\x00\x00\x06",
            patience: Duration::from_secs(180),
            disposable: None,
        })
    }

    fn arguments(&self, folder: &Path, configuration: &Path) -> Vec<String> {
        // One alone may serve the tests of all crates, each with keyspaces of its own, and a table costs a MiB or two.
        let heap = if self.is_alone { "2G" } else { "640M" };
        let mut arguments = vec![
            format!("-Xms{heap}"),
            format!("-Xmx{heap}"),
            "-XX:+UseG1GC".to_owned(),
            "-XX:+ExitOnOutOfMemoryError".to_owned(),
            "-Djdk.attach.allowAttachSelf=true".to_owned(),
            "-Dcassandra-foreground=yes".to_owned(),
            format!("-Dlogback.configurationFile={}", folder.join("logback.xml").display()),
            format!("-Dcassandra.config=file://{}", configuration.display()),
            format!("-Dcassandra.storagedir={}", folder.display()),
            format!("-Dcassandra.ring_delay_ms={RING_DELAY_MS}"),
            "-Dcassandra.superuser_setup_delay_ms=0".to_owned(),
            "-Dcassandra.skip_wait_for_gossip_to_settle=0".to_owned(),
        ];
        for package in OPENED {
            arguments.push(format!("--add-opens={package}=ALL-UNNAMED"));
            arguments.push(format!("--add-exports={package}=ALL-UNNAMED"));
        }
        arguments.push("--add-exports=java.sql/java.sql=ALL-UNNAMED".to_owned());
        arguments.push("--add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED".to_owned());
        arguments.extend(["-classpath".to_owned(), format!("{}/*", self.jars.display())]);
        arguments.push("org.apache.cassandra.service.CassandraDaemon".to_owned());
        arguments
    }

    fn configured(&self, folder: &Path) -> String {
        let Node { address, cql, storage, .. } = self;
        let folder = folder.display();
        format!(
            "cluster_name: souk\n\
             num_tokens: 1\n\
             partitioner: org.apache.cassandra.dht.Murmur3Partitioner\n\
             endpoint_snitch: SimpleSnitch\n\
             seed_provider:\n\
             - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n\
             \x20 parameters:\n\
             \x20 - seeds: \"127.0.0.1:{storage}\"\n\
             listen_address: {address}\n\
             rpc_address: {address}\n\
             storage_port: {storage}\n\
             ssl_storage_port: 0\n\
             native_transport_port: {cql}\n\
             data_file_directories: [\"{folder}/data\"]\n\
             commitlog_directory: \"{folder}/commitlog\"\n\
             saved_caches_directory: \"{folder}/saved_caches\"\n\
             hints_directory: \"{folder}/hints\"\n\
             cdc_raw_directory: \"{folder}/cdc_raw\"\n\
             commitlog_sync: group\n\
             commitlog_sync_group_window: 2ms\n\
             commitlog_disk_access_mode: auto\n\
             commitlog_segment_size: 16MiB\n\
             commitlog_total_space: 256MiB\n\
             paxos_variant: v2\n\
             auto_snapshot: false\n\
             concurrent_reads: 16\n\
             concurrent_writes: 128\n\
             hinted_handoff_enabled: true\n\
             disk_failure_policy: die\n\
             commit_failure_policy: die\n"
        )
    }
}
