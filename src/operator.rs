//! Operators: people who run the shop, known by a token that the data folder's key has signed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use souk_mesh::client::Bearer;
use souk_mesh::clock::{Clock as _, SystemClock};
use souk_mesh::identity::{Keys, Role};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::config::Config;

/// Who operators are in histories and logs.
const SUBJECT: &str = "service:operator";
/// How long a command's own token works.
const COMMAND_TTL: Duration = Duration::from_secs(300);
/// How long the shop may take to answer a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a printed token is for.
#[derive(Args)]
pub struct TokenRequest {
    /// What its bearer may do.
    #[arg(long, value_enum, default_value = "staff")]
    role: TokenRole,
    /// How many hours it works.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=24 * 30))]
    hours: u64,
}

/// Roles that a token can be printed for.
#[derive(Clone, Copy, ValueEnum)]
enum TokenRole {
    /// Runs the shop.
    Staff,
    /// Is a part of the shop.
    Service,
}

/// Prints a token.
pub fn print_token(config: &Config, request: TokenRequest) -> Result<()> {
    let role = match request.role {
        TokenRole::Staff => Role::Staff,
        TokenRole::Service => Role::Service,
    };
    println!("{}", token(&config.data, role, Duration::from_secs(request.hours * 60 * 60))?);
    Ok(())
}

fn token(data: &Path, role: Role, ttl: Duration) -> Result<String> {
    let keys =
        Keys::load(data).context("no key to sign with; --data names the folder of the shop")?;
    Ok(keys.signer.sign(SUBJECT, role, ttl, SystemClock.now_ms())?)
}

/// The way to the services of a running shop, with an operator's token.
pub type Operator = InterceptedService<Channel, Bearer>;

/// Connects to the internal port of the shop that `config` describes.
pub async fn connect(config: &Config) -> Result<Operator> {
    connect_to(config, config.listen.internal_url()).await
}

/// Connects to the internal port of a shop at `url`, whose key is in the data folder that `config` names.
pub async fn connect_to(config: &Config, url: String) -> Result<Operator> {
    let bearer = Bearer::new(&token(&config.data, Role::Staff, COMMAND_TTL)?)?;
    let endpoint = Endpoint::from_shared(url.clone())?.connect_timeout(CONNECT_TIMEOUT);
    let channel = endpoint.connect().await.with_context(|| format!("no shop answers at {url}"))?;
    Ok(InterceptedService::new(channel, bearer))
}
