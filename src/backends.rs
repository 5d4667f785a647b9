//! Where a shop keeps its state and its events: embedded, in the data folder of one machine, or in real stores and a
//! broker that many processes share. Their addresses are written once; which service uses which is decided here.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use souk_mesh::config::Preset;
use souk_mesh::{cql, redis};
use tonic::transport::Uri;

use crate::config::Config;
use crate::role::Role;

/// Section `backends` of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backends {
    /// Which.
    pub kind: Kind,
    /// ScyllaDB, or another server of CQL.
    pub cql: Option<cql::Config>,
    /// Redis.
    pub redis: Option<redis::Config>,
    /// RabbitMQ.
    pub rabbitmq: Option<RabbitMq>,
}

/// Where state and events are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In the data folder.
    #[default]
    Embedded,
    /// In ScyllaDB, Redis and RabbitMQ.
    Real,
}

impl Kind {
    /// As the configuration says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Real => "real",
        }
    }
}

/// How RabbitMQ is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitMq {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` for TLS.
    pub url: SecretString,
}

/// What `backends.kind = "real"` means for each service, unless its own section says otherwise.
pub const PRESETS: &[Preset] = &[Preset {
    key: "backends.kind",
    value: "real",
    sets: &[
        ("cart.store", "redis"),
        ("catalog.store", "cql"),
        ("user.sessions", "redis"),
        ("edge.rate_limits", "redis"),
        ("order.store", "cql"),
        ("payment.store", "cql"),
        ("user.store", "cql"),
        ("workflow.store", "cql"),
    ],
    copies: &[
        ("backends.redis", &["cart.redis", "user.redis", "edge.redis"]),
        ("backends.cql", &["catalog.cql", "order.cql", "payment.cql", "user.cql", "workflow.cql"]),
        ("backends.rabbitmq.url", &["bus.rabbitmq_url"]),
    ],
}];

/// Refuses what cannot work together in a process that serves `roles`.
///
/// # Errors
/// What contradicts what, and what to set.
pub fn check(config: &Config, roles: &[Role]) -> Result<()> {
    addresses_are_there(&config.backends)?;
    if config.bus.rabbitmq_url.is_none() {
        embedded_bus_reaches_all(config, roles)?;
    }
    Ok(())
}

/// Refuses real backends without addresses.
///
/// # Errors
/// Which are missing.
pub fn addresses_are_there(backends: &Backends) -> Result<()> {
    if backends.kind == Kind::Embedded {
        return Ok(());
    }
    let no_contact_points = backends.cql.as_ref().is_none_or(|cql| cql.contact_points.is_empty());
    let no_url =
        backends.rabbitmq.as_ref().is_none_or(|broker| broker.url.expose_secret().is_empty());
    let missing: Vec<&str> = [
        ("backends.cql.contact_points", no_contact_points),
        ("backends.redis.url", backends.redis.is_none()),
        ("backends.rabbitmq.url", no_url),
    ]
    .into_iter()
    .filter_map(|(key, is_missing)| is_missing.then_some(key))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "real backends need addresses: {} not set; on this machine \
         `cargo run -p souk-backends -- up --config FILE` starts all of them, and \
         `souk up --config FILE` runs on them",
        match &*missing {
            [one] => format!("{one} is"),
            several => format!("{} are", several.join(", ")),
        }
    )
}

/// An embedded bus is in one folder: who keeps state elsewhere, or meets others from elsewhere, misses events there.
fn embedded_bus_reaches_all(config: &Config, roles: &[Role]) -> Result<()> {
    let is_whole = Role::SERVICES.iter().all(|role| roles.contains(role));
    let on_the_bus: Vec<Role> = roles.iter().copied().filter(|role| *role != Role::Edge).collect();
    if is_whole || on_the_bus.is_empty() {
        return Ok(());
    }
    let folder = config.data.display();
    if let Some((role, store)) =
        on_the_bus.iter().find_map(|role| Some((role.name(), shared_store(config, *role)?)))
    {
        bail!(
            "{role} keeps its state in {store}, which other processes share, but the event bus is embedded in \
             {folder}, which they need not; set bus.rabbitmq_url, or backends.kind = \"real\" with all addresses"
        );
    }
    for (name, replicas) in &config.mesh.services {
        let role: Role = name.parse().context("in mesh.services")?;
        if role == Role::Edge || roles.contains(&role) {
            continue;
        }
        // What is no address is refused where it is used.
        let addresses = replicas.addresses().unwrap_or_default();
        if let Some(address) = addresses.iter().find(|address| !is_on_this_machine(address)) {
            bail!(
                "mesh.services.{name} is on another machine ({address}), but the event bus is embedded in \
                 {folder} on this one: events would not reach it; set bus.rabbitmq_url in all processes"
            );
        }
    }
    Ok(())
}

/// The store of a role that several processes can share, if it has such a one.
fn shared_store(config: &Config, role: Role) -> Option<&'static str> {
    let is_on_redis = redis_in_use(config).into_iter().any(|(name, _)| name == role.name());
    let is_on_cql = keyspaces_in_use(config).iter().any(|keyspace| keyspace.service == role.name());
    match (is_on_cql, is_on_redis) {
        (true, _) => Some("CQL"),
        (false, true) => Some("Redis"),
        (false, false) => None,
    }
}

/// Every connection to Redis that the configuration asks for, with the role that uses it.
pub fn redis_in_use(config: &Config) -> Vec<(&'static str, &redis::Config)> {
    let Config { cart, user, edge, .. } = config;
    let all = [
        (souk_cart::NAME, &cart.redis, cart.store == souk_cart::config::Store::Redis),
        (souk_user::NAME, &user.redis, user.sessions == souk_user::config::Sessions::Redis),
        (souk_edge::NAME, &edge.redis, edge.rate_limits == souk_edge::config::RateLimits::Redis),
    ];
    all.into_iter().filter(|(_, _, used)| *used).map(|(name, redis, _)| (name, redis)).collect()
}

/// A service's keyspace that the configuration asks for.
pub struct Keyspace<'a> {
    /// The role.
    pub service: &'static str,
    /// How it is reached.
    pub cql: &'a cql::Config,
    /// The version of the tables that this build makes.
    pub version: u32,
}

/// Every keyspace that the configuration asks for.
pub fn keyspaces_in_use(config: &Config) -> Vec<Keyspace<'_>> {
    let Config { catalog, order, payment, user, workflow, .. } = config;
    let all = [
        (
            souk_catalog::NAME,
            &catalog.cql,
            souk_catalog::store::cql::SCHEMA_VERSION,
            catalog.store == souk_catalog::config::Store::Cql,
        ),
        (
            souk_order::NAME,
            &order.cql,
            souk_order::store::cql::SCHEMA_VERSION,
            order.store == souk_order::config::Store::Cql,
        ),
        (
            souk_payment::NAME,
            &payment.cql,
            souk_payment::store::CQL_SCHEMA_VERSION,
            payment.store == souk_payment::config::Store::Cql,
        ),
        (
            souk_user::NAME,
            &user.cql,
            souk_user::store::CQL_SCHEMA_VERSION,
            user.store == souk_user::config::Store::Cql,
        ),
        (
            souk_orchestrator::NAME,
            &workflow.cql,
            souk_orchestrator::store::cql::MIGRATIONS.len() as u32,
            workflow.store == souk_orchestrator::config::Store::Cql,
        ),
    ];
    all.into_iter()
        .filter(|(.., used)| *used)
        .map(|(service, cql, version, _)| Keyspace { service, cql, version })
        .collect()
}

fn is_on_this_machine(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
