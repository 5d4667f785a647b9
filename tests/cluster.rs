//! The shop as a cluster runs it, under load, while what it stands on is taken away and brought back, one thing after the
//! other: the CQL servers, the broker, the cache, the orchestrators. Whatever happens, every order that was acknowledged
//! is sold and paid once or given up and free, and stock adds up to the piece.
//!
//! One shop serves all rounds: to start one takes a minute. It begins with the build of the commit before this one, where
//! `cargo xtask` has built that, and is upgraded first. Under `cargo xtask prove` the rounds are longer.

use std::time::Duration;

use souk_backends::rounds;

use crate::support::{Cluster, Load, Pace, pause, seed};

/// CQL nodes; each row is on all of them.
const CQL_NODES: u8 = 3;
/// Orchestrators when all are there.
const ORCHESTRATORS: usize = 3;
/// A load that a machine with two cores bears, its servers beside it.
const PACE: Pace = Pace { due_every: Duration::from_millis(125), most_at_once: Some(24) };
/// How long things go well before, between and after what is done to the shop, in milliseconds.
const CALM_MS: u64 = 4_000;
/// Longer than an orchestrator's lease, in milliseconds: the others have taken its work over when this is over.
const BEYOND_LEASE_MS: u64 = 15_000;
/// How long a process may take to end after it was told to, or has found out that it must.
const END_LIMIT: Duration = Duration::from_secs(60);
/// A round with fewer orders proves little.
const LEAST_ORDERS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_taken_away_under_load_the_shop_keeps_its_word() {
    let Some(mut shop) = Cluster::start(CQL_NODES, ORCHESTRATORS).await else { return };
    round(&mut shop, "every role is upgraded, one process at a time", upgrade).await;
    round(&mut shop, "a CQL node is killed and comes back", kill_a_cql_node).await;
    round(&mut shop, "an orchestrator is killed", kill_an_orchestrator).await;
    round(&mut shop, "an orchestrator is frozen and woken", freeze_an_orchestrator).await;
    round(&mut shop, "the broker and the cache are killed", kill_broker_and_cache).await;
    round(&mut shop, "orchestrators leave and join", leave_and_join).await;
}

/// Loads the shop, does something to it meanwhile, and holds it to its word.
async fn round(shop: &mut Cluster, what: &str, disturb: impl AsyncFnOnce(&mut Cluster)) {
    println!("\n{what}");
    let seed = seed();
    let baseline = shop.baseline().await;
    let load = Load::at(PACE, &shop.edge, &shop.ledger, seed).await;
    calm().await;
    disturb(shop).await;
    calm().await;
    let acknowledged = load.finish().await;
    let fenced = shop.mesh.start_fenced_again().await.unwrap();
    if fenced > 0 {
        println!("{fenced} orchestrators were silent for so long that others did their work");
    }
    shop.settle(&baseline, &acknowledged).await;
    assert!(acknowledged.len() >= LEAST_ORDERS, "{what}: only {} orders", acknowledged.len());
}

/// Old and new stand side by side, and call each other.
async fn upgrade(shop: &mut Cluster) {
    for role in shop.mesh.roles() {
        for place in 0..shop.mesh.members(role).len() {
            let mut members = shop.mesh.members(role);
            members[place].stop(END_LIMIT).await.unwrap();
            members[place].replace_program(env!("CARGO_BIN_EXE_souk").as_ref());
            members[place].start_again().await.unwrap();
        }
    }
}

async fn kill_a_cql_node(shop: &mut Cluster) {
    let last = usize::from(CQL_NODES) - 1;
    shop.backends.cassandra.nodes()[last].kill().unwrap();
    calm().await;
    // It says when it answers, and until then stops this thread alone.
    tokio::task::block_in_place(|| shop.backends.cassandra.nodes()[last].start_again()).unwrap();
}

async fn kill_an_orchestrator(shop: &mut Cluster) {
    shop.mesh.members("workflow")[1].kill().await.unwrap();
    pause(BEYOND_LEASE_MS).await;
    shop.mesh.members("workflow")[1].start_again().await.unwrap();
}

async fn freeze_an_orchestrator(shop: &mut Cluster) {
    shop.mesh.members("workflow")[2].signal("STOP").unwrap();
    pause(BEYOND_LEASE_MS).await;
    shop.mesh.members("workflow")[2].signal("CONT").unwrap();
    // What it still has to write is refused, for its log is sealed: so it finds out that others do its work, and ends.
    shop.mesh.members("workflow")[2].ended(END_LIMIT).await.unwrap();
    shop.mesh.members("workflow")[2].start_again().await.unwrap();
}

async fn kill_broker_and_cache(shop: &mut Cluster) {
    shop.backends.rabbitmq.kill().unwrap();
    shop.backends.redis.kill().unwrap();
    calm().await;
    tokio::task::block_in_place(|| shop.backends.redis.start_again()).unwrap();
    tokio::task::block_in_place(|| shop.backends.rabbitmq.start_again()).unwrap();
}

/// From three orchestrators to one, back to three, and down to two.
async fn leave_and_join(shop: &mut Cluster) {
    for leaving in [1, 2] {
        shop.mesh.members("workflow")[leaving].stop(END_LIMIT).await.unwrap();
    }
    calm().await;
    for joining in [1, 2] {
        shop.mesh.members("workflow")[joining].start_again().await.unwrap();
    }
    calm().await;
    // The first of all: nothing hangs on which one it is. The checker asks it, so it comes back.
    shop.mesh.members("workflow")[0].stop(END_LIMIT).await.unwrap();
    calm().await;
    shop.mesh.members("workflow")[0].start_again().await.unwrap();
}

/// Lets orders go their way.
async fn calm() {
    pause(CALM_MS * rounds(1, 5) as u64).await;
}
