//! The real stores and the broker that the configuration names: whether they are there and new enough, how they keep what
//! they are given, and whether their clocks and schemas fit.

use std::collections::BTreeMap;

use souk_mesh::bus::{self, rabbitmq};
use souk_mesh::clock::{Clock as _, SystemClock};
use souk_mesh::cql::look::{Node, ahead_ms};
use souk_mesh::cql::{self, Session};
use souk_mesh::redis::{self, Redis};

use super::Finding::{self, Bad, Good, Note};
use crate::backends;
use crate::config::Config;

/// Clocks may differ by so much: less than any hold or token lives, more than NTP leaves.
const CLOCK_LIMIT_MS: i64 = 500;
/// Oldest versions that the shop is tested on or made for.
const OLDEST_REDIS: (u32, u32) = (7, 0);
const OLDEST_RABBITMQ: (u32, u32) = (3, 10);
/// Copies of each row with which one node may be away and a quorum is left.
const SAFE_COPIES: u32 = 3;

/// Looks at every backend in use.
pub async fn look(config: &Config, tell: &mut impl FnMut(&str, Finding)) {
    if let Err(error) = backends::addresses_are_there(&config.backends) {
        tell("backends", Bad(format!("{error:#}")));
    }
    // The same Redis is looked at once, whoever uses it.
    let mut servers: BTreeMap<String, (Vec<&str>, &redis::Config)> = BTreeMap::new();
    for (name, redis) in backends::redis_in_use(config) {
        servers.entry(redis.url.to_string()).or_insert((Vec::new(), redis)).0.push(name);
    }
    for (address, (names, redis)) in servers {
        let finding = look_at_redis(redis).await;
        tell("redis", finding.at(&format!("{address} ({})", names.join(", "))));
    }
    if let Some(url) = &config.bus.rabbitmq_url {
        tell("rabbitmq", of_broker(rabbitmq::look::look(url).await));
    }
    let mut clusters: Vec<&[String]> = Vec::new();
    for keyspace in backends::keyspaces_in_use(config) {
        let points = &keyspace.cql.contact_points[..];
        let is_new = !clusters.contains(&points);
        clusters.push(points);
        match Session::connect(keyspace.cql, keyspace.service).await {
            Ok(session) => look_at_cql(&session, &keyspace, is_new, tell).await,
            Err(error) => tell(
                "cql",
                Bad(format!("{error}; is it running, and are cql.contact_points its nodes?")),
            ),
        }
    }
}

impl Finding {
    fn at(self, place: &str) -> Self {
        match self {
            Good(text) => Good(format!("{place}: {text}")),
            Note(text) => Note(format!("{place}: {text}")),
            Bad(text) => Bad(format!("{place}: {text}")),
        }
    }
}

async fn look_at_redis(config: &redis::Config) -> Finding {
    let before_ms = SystemClock.now_ms();
    let looked = async { Redis::open(config).await?.look().await };
    match looked.await {
        Ok(look) => of_redis(&look, ahead_ms(look.now_ms, before_ms, SystemClock.now_ms())),
        Err(error) => Bad(format!("{error}; is it running, and is its address right?")),
    }
}

fn of_redis(look: &redis::Look, ahead_ms: i64) -> Finding {
    let redis::Look { version, eviction, is_kept, .. } = look;
    if is_older(version, OLDEST_REDIS) {
        return Bad(format!("is Redis {version}; 7.0 or newer is needed"));
    }
    if let Some(wrong) = wrong_clock(ahead_ms) {
        return Bad(wrong);
    }
    if eviction != "noeviction" {
        return Bad(format!(
            "throws carts and sessions away when its memory is full: set maxmemory-policy noeviction, not {eviction}"
        ));
    }
    if !is_kept {
        return Note(format!(
            "Redis {version} forgets what it has when it crashes: set appendonly yes"
        ));
    }
    Good(format!("Redis {version}"))
}

fn of_broker(looked: Result<rabbitmq::look::Look, bus::Error>) -> Finding {
    match looked {
        Ok(look) if look.version.is_empty() => {
            Good("lets us in (over TLS; version not seen)".to_owned())
        }
        Ok(look) if look.product != "RabbitMQ" => {
            Bad(format!("is {} {}; the event bus needs RabbitMQ", look.product, look.version))
        }
        Ok(look) if is_older(&look.version, OLDEST_RABBITMQ) => {
            Bad(format!("is RabbitMQ {}; 3.10 or newer is needed", look.version))
        }
        Ok(look) => Good(format!("RabbitMQ {}", look.version)),
        Err(error) => Bad(format!(
            "{error}; is it running, and are address, user, password and virtual host of bus.rabbitmq_url right?"
        )),
    }
}

async fn look_at_cql(
    session: &Session,
    keyspace: &backends::Keyspace<'_>,
    is_new: bool,
    tell: &mut impl FnMut(&str, Finding),
) {
    let nodes = session.nodes().await;
    if is_new {
        let scylla = session.scylla().await.ok().flatten();
        for node in &nodes {
            tell("cql", of_node(node, scylla.as_deref()));
        }
    }
    let name = session.keyspace().to_owned();
    let version = match cql::version(session, cql::SERVICE).await {
        Ok(version) => version,
        Err(error) => return tell("cql", Bad(format!("{name}: {error}"))),
    };
    tell("cql", of_schema(version, keyspace.version).at(&name));
    let copies = session.copies().await.ok().flatten();
    let copies = copies.unwrap_or(keyspace.cql.replication_factor.into());
    tell("cql", of_copies(copies, nodes.len()).at(&name));
    if version.is_some()
        && let Err(error) = session.try_conditional().await
    {
        tell("cql", Bad(format!("{name}: {error}; {CONDITIONAL_HINT}")));
    }
}

/// What keeps ScyllaDB from conditional writes.
const CONDITIONAL_HINT: &str = "conditional writes do not work here; on ScyllaDB the keyspace must be made WITH tablets = \
    {'enabled': false}";

fn of_node(node: &Node, scylla: Option<&str>) -> Finding {
    let address = &node.address;
    match (&node.version, wrong_clock(node.ahead_ms)) {
        (Err(error), _) => Bad(format!("{address} does not answer: {error}")),
        (Ok(_), Some(wrong)) => Bad(format!("{address}: {wrong}")),
        (Ok(version), None) => Good(match scylla {
            Some(scylla) => format!("{address}: ScyllaDB {scylla}"),
            None => format!("{address}: Cassandra {version}"),
        }),
    }
}

fn of_schema(found: Option<u32>, known: u32) -> Finding {
    match found {
        None => Note("is not there yet; the first start makes it".to_owned()),
        Some(found) if found > known => Bad(format!(
            "its tables are of version {found}, and this build knows {known}: a newer build was here; run that one, \
             for this one will not start"
        )),
        Some(found) if found < known => Note(format!(
            "its tables are of version {found}; the next start brings them to {known}"
        )),
        Some(found) => Good(format!("tables of version {found}")),
    }
}

fn of_copies(copies: u32, nodes: usize) -> Finding {
    if copies as usize > nodes {
        return Bad(format!(
            "each row is to have {copies} copies, and there are {nodes} node(s): add nodes, or set \
             cql.replication_factor before the first start (ALTER KEYSPACE and repair after it)"
        ));
    }
    match copies {
        0..SAFE_COPIES => Note(format!(
            "copies of each row: {copies}; a node that is lost takes orders with it, or stops them; {SAFE_COPIES} are safe"
        )),
        copies => Good(format!("{copies} copies of each row on {nodes} nodes")),
    }
}

fn wrong_clock(ahead_ms: i64) -> Option<String> {
    let word = if ahead_ms > 0 { "ahead of" } else { "behind" };
    (ahead_ms.abs() > CLOCK_LIMIT_MS).then(|| {
        format!(
            "its clock is {} ms {word} this machine's, and at most {CLOCK_LIMIT_MS} are allowed: set both by NTP",
            ahead_ms.abs()
        )
    })
}

/// Versions are compared by their first two numbers.
fn is_older(version: &str, oldest: (u32, u32)) -> bool {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < oldest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(finding: Finding) -> String {
        match finding {
            Bad(text) => text,
            Good(text) | Note(text) => panic!("nothing is wrong: {text}"),
        }
    }

    #[test]
    fn a_redis_that_is_old_or_forgetful_or_of_another_time_is_told() {
        let good = redis::Look {
            version: "7.0.15".to_owned(),
            eviction: "noeviction".to_owned(),
            is_kept: true,
            now_ms: 0,
        };
        assert!(matches!(of_redis(&good, CLOCK_LIMIT_MS), Good(_)));
        let old = redis::Look { version: "6.2.14".to_owned(), ..good.clone() };
        assert!(bad(of_redis(&old, 0)).contains("7.0 or newer"));
        let lossy = redis::Look { eviction: "allkeys-lru".to_owned(), ..good.clone() };
        assert!(bad(of_redis(&lossy, 0)).contains("maxmemory-policy noeviction"));
        assert!(bad(of_redis(&good, -501)).contains("501 ms behind this machine's"));
        assert!(bad(of_redis(&good, 60_000)).contains("60000 ms ahead of"));
        let volatile = redis::Look { is_kept: false, ..good };
        assert!(matches!(of_redis(&volatile, 0), Note(text) if text.contains("appendonly yes")));
    }

    #[test]
    fn a_broker_that_is_another_or_old_is_told() {
        let look = |product: &str, version: &str| {
            Ok(rabbitmq::look::Look { product: product.into(), version: version.into() })
        };
        assert!(matches!(of_broker(look("RabbitMQ", "4.1.0")), Good(_)));
        assert!(matches!(of_broker(look("RabbitMQ", "3.10.0")), Good(_)));
        assert!(bad(of_broker(look("RabbitMQ", "3.9.29"))).contains("3.10 or newer"));
        assert!(bad(of_broker(look("Qpid", "9.0"))).contains("needs RabbitMQ"));
    }

    #[test]
    fn a_node_or_a_schema_that_does_not_fit_is_told() {
        let node = |version: Result<&str, &str>, ahead_ms| Node {
            address: "10.0.0.9:9042".to_owned(),
            version: version.map(str::to_owned).map_err(str::to_owned),
            ahead_ms,
        };
        assert!(
            matches!(of_node(&node(Ok("5.0.4"), 0), None), Good(text) if text.contains("Cassandra 5.0.4"))
        );
        assert!(
            matches!(of_node(&node(Ok("3.0.8"), 0), Some("2025.1")), Good(text) if text.contains("ScyllaDB 2025.1"))
        );
        assert!(
            bad(of_node(&node(Err("no route"), 0), None))
                .contains("10.0.0.9:9042 does not answer: no route")
        );
        assert!(bad(of_node(&node(Ok("5.0.4"), 900), None)).contains("900 ms ahead"));
        assert!(bad(of_schema(Some(3), 2)).contains("version 3, and this build knows 2"));
        assert!(
            matches!(of_schema(Some(1), 2), Note(_)) && matches!(of_schema(Some(2), 2), Good(_))
        );
        assert!(bad(of_copies(3, 1)).contains("3 copies, and there are 1 node(s)"));
        assert!(matches!(of_copies(1, 1), Note(_)) && matches!(of_copies(3, 5), Good(_)));
    }
}
