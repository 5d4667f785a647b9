//! A shop as a cluster runs it: a process for each role, on a real store, a real broker and a real cache, each of which a
//! test can take away.

use std::collections::BTreeMap;
use std::time::Duration;

use souk_backends::{All, PREVIOUS_VARIABLE, Part, there_or_skipped};
use souk_bench::invariants::{Baseline, Rule, Shop, Verdict};
use souk_bench::mesh::{Mesh, Plan};
use tempfile::TempDir;

use super::{Ledger, Way};

/// How long the shop may take to come to rest after all that was done to it.
const REST_LIMIT: Duration = Duration::from_secs(180);
/// Broken cases of which everything is told.
const SHOWN: usize = 5;

/// The shop, and what it stands on. All of it is gone when this is dropped.
pub struct Cluster {
    /// Its processes.
    pub mesh: Mesh,
    /// The CQL servers, the broker, and the cache.
    pub backends: All,
    /// The way to the port of browsers and phones.
    pub edge: Way,
    /// The payment provider's books.
    pub ledger: Ledger,
    // Last: removed after the processes are gone.
    _folder: TempDir,
}

impl Cluster {
    /// A shop with so many CQL nodes, each row on all of them, and so many orchestrators; `None` where a part cannot be
    /// had, which is a loud skip and under `CI=true` a failure. It runs the build of the commit before this one, where there
    /// is one.
    pub async fn start(cassandra_nodes: u8, orchestrators: usize) -> Option<Cluster> {
        if ![Part::Redis, Part::RabbitMq, Part::Cassandra].into_iter().all(there_or_skipped) {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backends");
        // Servers take their time to start, and would stop a thread of the runtime.
        let started = tokio::task::spawn_blocking(move || All::start(&path, cassandra_nodes));
        let backends = started.await.unwrap().unwrap();
        let mesh_folder = folder.path().join("shop");
        std::fs::create_dir(&mesh_folder).unwrap();
        let plan = Plan {
            program: std::env::var_os(PREVIOUS_VARIABLE)
                .unwrap_or_else(|| env!("CARGO_BIN_EXE_souk").into())
                .into(),
            folder: mesh_folder,
            config: backends.configuration(),
            replicas: BTreeMap::from([("workflow".to_owned(), orchestrators)]),
        };
        let mesh = Mesh::start(plan).await.unwrap();
        let edge = Way::new(&mesh.edge);
        let ledger = Ledger::new(&mesh.provider);
        Some(Cluster { mesh, backends, edge, ledger, _folder: folder })
    }

    /// How the shop stands before a load.
    pub async fn baseline(&self) -> Baseline {
        self.checker().baseline().await.unwrap()
    }

    /// Waits until the shop has come to rest, and makes sure that every invariant holds; `acknowledged` are all orders
    /// that were answered.
    pub async fn settle(&self, baseline: &Baseline, acknowledged: &[String]) -> Verdict {
        let verdict = self.checker().settle(baseline, acknowledged, REST_LIMIT).await.unwrap();
        println!("{} orders acknowledged\n{verdict}", acknowledged.len());
        if !verdict.holds() {
            for rule in Rule::ALL {
                verdict.broken(rule).iter().take(SHOWN).for_each(|case| println!("{case}"));
            }
            panic!("the shop does not hold what it promises\n{}", self.mesh.log_tails());
        }
        verdict
    }

    fn checker(&self) -> Shop {
        Shop::new(&self.mesh.places(), &self.mesh.provider, &self.mesh.data()).unwrap()
    }
}
