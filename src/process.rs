//! A process of the shop, from its start to its drain: all roles (`up`) or some (`serve`).

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use souk_mesh::bus::admin_service;
use souk_mesh::clock::SystemClock;
use souk_mesh::platform::Platform;
use souk_mesh::server::{Protocol, listen, serve as serve_services};
use souk_mesh::telemetry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tonic::service::Routes;

use crate::config::{Config, url};
use crate::role::Role;
use crate::{backends, provider};

/// The ports that this process has taken, before anything else is done.
struct Ports {
    edge: Option<TcpListener>,
    ops: TcpListener,
    internal: TcpListener,
}

/// Runs the whole shop until it is told to stop.
pub async fn up(mut config: Config) -> Result<()> {
    config.catalog.seed = true;
    let roles: Vec<Role> = Role::SERVICES.into_iter().chain([Role::Edge]).collect();
    Box::pin(run(config, &roles)).await
}

/// Runs some roles until told to stop.
pub async fn serve(config: Config, roles: &[Role]) -> Result<()> {
    Box::pin(run(config, roles)).await
}

async fn run(mut config: Config, roles: &[Role]) -> Result<()> {
    backends::check(&config, roles)?;
    let telemetry = telemetry::init("souk", &config.telemetry)?;
    let ports = Ports::take(&config, roles).await?;
    if config.workflow.address.is_empty() {
        config.workflow.address = url(ports.internal.local_addr()?);
    }
    let clock = Arc::new(SystemClock);
    let platform = Platform::open(&config.data, clock, config.limits, &config.bus)
        .with_context(|| format!("the data folder {} cannot be used", config.data.display()))?;
    let child = provider::start_where_none_is_configured(&mut config, roles).await?;

    let outcome = run_roles(&config, roles, &platform, ports).await;
    // What is still under way finishes whether the shop was told to stop or cannot go on.
    let limit = Duration::from_millis(config.drain_limit_ms);
    let drained = platform.tasks.drain(limit).await;
    drop(child);
    telemetry.flush().await;
    outcome?;
    drained?;
    match platform.tasks.failure() {
        Some(failure) => bail!("{failure}"),
        None => Ok(()),
    }
}

async fn run_roles(
    config: &Config,
    roles: &[Role],
    platform: &Platform,
    ports: Ports,
) -> Result<()> {
    let mut stop = pin!(stop_signal()?);
    bind_remote(config, roles, platform)?;
    let services = tokio::select! {
        // A start may wait long, for a store that is away.
        () = stop.as_mut() => {
            tracing::info!("told to stop while it starts");
            return Ok(());
        }
        services = start_roles(config, roles, platform) => services?,
    };
    let addresses = ports.addresses()?;
    let mut ports = serve_ports(config, platform, ports, services);
    platform.readiness.set_ready();
    announce(config, roles, &addresses);

    let token = platform.tasks.token();
    tokio::select! {
        () = stop.as_mut() => tracing::info!("told to stop: finishing what is under way"),
        () = token.cancelled() => tracing::error!("a task failed: stopping"),
        ended = ports.join_next() => ended.context("no port is served")???,
    }
    token.cancel();
    while let Some(ended) = ports.join_next().await {
        ended??;
    }
    Ok(())
}

/// Starts each role, and makes it known to those of this process that call it.
async fn start_roles(
    config: &Config,
    roles: &[Role],
    platform: &Platform,
) -> Result<Vec<(&'static str, Routes)>> {
    let mut services = Vec::new();
    for role in roles {
        if let Some(routes) = role.start(platform, config).await? {
            platform.directory.bind_local(role.name(), routes.clone());
            services.push((role.name(), routes));
        }
    }
    Ok(services)
}

/// Serves each port until the drain.
fn serve_ports(
    config: &Config,
    platform: &Platform,
    ports: Ports,
    mut services: Vec<(&'static str, Routes)>,
) -> JoinSet<Result<()>> {
    let limit = Duration::from_millis(config.drain_limit_ms);
    let drain = platform.tasks.token();
    let readiness = platform.readiness.clone();
    let mut serving = JoinSet::new();
    let ops = telemetry::router(readiness.clone());
    serving
        .spawn(async move { Ok(listen(ports.ops, ops, Protocol::Http1And2, drain, limit).await?) });
    let events = admin_service(Arc::clone(&platform.bus), &platform.keys);
    services.push(("mesh", Routes::new(events)));
    let stack = platform.stack.clone();
    serving
        .spawn(async move { Ok(serve_services(ports.internal, &stack, services, limit).await?) });
    if let Some(listener) = ports.edge {
        let (platform, edge) = (platform.clone(), config.edge.clone());
        serving.spawn(async move {
            Ok(souk_edge::serve(listener, &platform, readiness, &edge, limit).await?)
        });
    }
    serving
}

/// Roles that this process does not serve are where the configuration says.
fn bind_remote(config: &Config, roles: &[Role], platform: &Platform) -> Result<()> {
    for (name, replicas) in &config.mesh.services {
        let role: Role = name.parse().context("in mesh.services")?;
        if roles.contains(&role) {
            continue;
        }
        let addresses = replicas.addresses();
        let addresses = addresses.map_err(|error| anyhow!("mesh.services.{name}: {error}"))?;
        platform.directory.bind_remote(role.name(), addresses);
    }
    Ok(())
}

impl Ports {
    async fn take(config: &Config, roles: &[Role]) -> Result<Self> {
        let edge = match roles.contains(&Role::Edge) {
            true => Some(bind("edge", config.listen.edge).await?),
            false => None,
        };
        Ok(Self {
            edge,
            ops: bind("ops", config.listen.ops).await?,
            internal: bind("internal", config.listen.internal).await?,
        })
    }

    /// Where they really are: a configured port 0 is any free one.
    fn addresses(&self) -> Result<Vec<(&'static str, SocketAddr)>> {
        let mut addresses = Vec::new();
        if let Some(edge) = &self.edge {
            addresses.push(("edge", edge.local_addr()?));
        }
        addresses.push(("internal", self.internal.local_addr()?));
        addresses.push(("ops", self.ops.local_addr()?));
        Ok(addresses)
    }
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "the {name} port {address} cannot be had; is another shop running? \
             Another port: --set listen.{name}=127.0.0.1:0 takes any that is free"
        )
    })
}

/// Resolves when the process is told to stop, by a terminal or by who runs it.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// What a person who started the shop wants to know.
fn announce(config: &Config, roles: &[Role], addresses: &[(&str, SocketAddr)]) {
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    println!("Souk is open: {}", names.join(", "));
    for (name, address) in addresses {
        let address = url(*address);
        match *name {
            "edge" => println!("  the shop       {address}   (page, gRPC-web, gRPC)"),
            "internal" => println!("  internal gRPC  {address}   (all services, reflection)"),
            _ => println!("  metrics        {address}/metrics   (and /health, /ready)"),
        }
    }
    println!("  data           {}", config.data.display());
    println!("  backends       {}", config.backends.kind.name());
    if roles.contains(&Role::Payment) {
        println!("  payments       {}", config.payment.provider_url);
    }
    if roles.contains(&Role::Notify) {
        println!("  mail           {}", config.data.join("notify/outbox").display());
    }
}
