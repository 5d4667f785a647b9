//! `souk doctor`: looks at the machine, the configuration and a running shop, and says what is wrong.

mod backends;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::config::Config;
use crate::role::Role;

/// How long a service may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Syncs that are timed.
const SYNCS: usize = 20;
/// A disk that needs longer than this for a sync makes every order slow.
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// 2026-01-01T00:00:00Z: a clock before it is wrong, and tokens and holds with it.
const EARLIEST_CLOCK_S: u64 = 1_767_225_600;

/// What became of one check.
enum Finding {
    Good(String),
    /// Not an error by itself.
    Note(String),
    Bad(String),
}

/// Prints one line a check; an error when anything is wrong.
pub async fn run(load: impl Fn() -> Result<Config>) -> Result<()> {
    let mut bad = 0;
    let mut tell = |name: &str, finding: Finding| {
        let (mark, text) = match finding {
            Finding::Good(text) => ("ok", text),
            Finding::Note(text) => ("--", text),
            Finding::Bad(text) => {
                bad += 1;
                ("!!", text)
            }
        };
        println!("{mark}  {name:<16} {text}");
    };
    let config = match load() {
        Ok(config) => config,
        Err(error) => {
            tell("configuration", Finding::Bad(format!("{error:#}")));
            bail!("nothing else can be checked without a configuration");
        }
    };
    tell("configuration", Finding::Good("every key is known and every value fits".to_owned()));
    tell("clock", clock());
    tell("data folder", data_folder(&config.data));
    backends::look(&config, &mut tell).await;
    let running = services(&config, &mut tell).await;
    for (name, address) in [
        ("edge", config.listen.edge),
        ("ops", config.listen.ops),
        ("internal", config.listen.internal),
    ] {
        tell(&format!("port {name}"), port(address, running));
    }
    tell("provider", provider(&config).await);
    if bad > 0 {
        bail!("{bad} thing(s) need attention");
    }
    Ok(())
}

fn clock() -> Finding {
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(now) if now.as_secs() >= EARLIEST_CLOCK_S => Finding::Good("plausible".to_owned()),
        _ => Finding::Bad(
            "the machine's clock is years behind: tokens and holds go by it".to_owned(),
        ),
    }
}

/// Whether it can be written, and how fast it keeps what is written.
fn data_folder(data: &Path) -> Finding {
    let shown = data.display();
    if !data.exists() {
        return Finding::Note(format!("{shown} is not there yet; the first start makes it"));
    }
    match time_syncs(data) {
        Ok(median) if median > SLOW_SYNC => Finding::Bad(format!(
            "{shown}: a sync takes {} ms; every order waits for about a dozen",
            median.as_millis()
        )),
        Ok(median) => Finding::Good(format!("{shown}: a sync takes {} µs", median.as_micros())),
        Err(error) => Finding::Bad(format!("{shown} cannot be written: {error}")),
    }
}

fn time_syncs(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join("doctor.tmp");
    let mut file = std::fs::File::create(&path)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[0; 512])?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    took.sort();
    Ok(took[SYNCS / 2])
}

/// Asks each service of a running shop for its health; whether a shop runs.
async fn services(config: &Config, tell: &mut impl FnMut(&str, Finding)) -> bool {
    let address = config.listen.internal_url();
    let endpoint = match Endpoint::from_shared(address.clone()) {
        Ok(endpoint) => endpoint.connect_timeout(ANSWER_LIMIT).timeout(ANSWER_LIMIT),
        Err(error) => {
            tell("services", Finding::Bad(error.to_string()));
            return false;
        }
    };
    let Ok(channel) = endpoint.connect().await else {
        tell("services", Finding::Note(format!("no shop answers at {address}")));
        return false;
    };
    let mut health = HealthClient::new(channel);
    for role in Role::SERVICES {
        let service = role.grpc_service().to_owned();
        let finding = match health.check(HealthCheckRequest { service }).await {
            Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => {
                Finding::Good(format!("serving at {address}"))
            }
            Ok(answer) => Finding::Bad(format!("{:?}", answer.get_ref().status())),
            Err(status) if config.mesh.services.contains_key(role.name()) => Finding::Note(
                format!("not here ({}); mesh.services names another place", status.code()),
            ),
            Err(status) => Finding::Bad(status.message().to_owned()),
        };
        tell(role.name(), finding);
    }
    true
}

fn port(address: SocketAddr, running: bool) -> Finding {
    match (TcpListener::bind(address), running) {
        (Ok(_), false) => Finding::Good(format!("{address} is free")),
        (Ok(_), true) => Finding::Note(format!("{address} is free although a shop runs")),
        (Err(_), true) => Finding::Good(format!("{address} is the shop's")),
        (Err(error), false) => Finding::Bad(format!("{address} cannot be had: {error}")),
    }
}

async fn provider(config: &Config) -> Finding {
    let address = &config.payment.provider_url;
    if address.is_empty() {
        return Finding::Note(
            "none is configured: the shop starts a sandbox of its own".to_owned(),
        );
    }
    let client = reqwest::Client::builder().timeout(ANSWER_LIMIT).build();
    let answer = match client {
        Ok(client) => client.get(format!("{address}/v1/ledger?limit=1")).send().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if answer.status().is_server_error() => {
            Finding::Bad(format!("{address} answers {}", answer.status()))
        }
        Ok(_) => Finding::Good(format!("{address} answers")),
        Err(error) => Finding::Bad(format!("{address} does not answer: {error}")),
    }
}
