//! The five-step order on Restate: starts a server on data of its own, serves the order to it, and loads it round by
//! round as standard input asks. How it is talked to: bench/peers/README.md.

mod load;
mod order;
mod payloads;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::load::Load;
use crate::payloads::Payloads;
use crate::server::Server;

/// Signals reach the whole process group, but this program must live to stop its server: it ends with its input.
async fn ignore_interrupts() {
    while tokio::signal::ctrl_c().await.is_ok() {}
}

#[tokio::main]
async fn main() {
    let outcome = run().await;
    if let Err(error) = &outcome {
        eprintln!("souk-peer-restate: {error:#}");
    }
    // Not by returning: a read of standard input that is under way would hold the runtime.
    std::process::exit(i32::from(outcome.is_err()));
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, data] = arguments.as_slice() else {
        bail!("usage: souk-peer-restate SERVER_BINARY DATA_FOLDER");
    };
    tokio::spawn(ignore_interrupts());
    // For as long as the program lives: the service and the load share it.
    let payloads: &'static Payloads = Box::leak(Box::new(Payloads::new()));
    let service = order::serve(payloads).await?;
    let mut server = Server::start(&PathBuf::from(binary), &PathBuf::from(data)).await?;
    let outcome = answer_rounds(&server, service, payloads).await;
    server.stop().await?;
    outcome
}

/// Registers the service, says that it is ready, and runs the rounds that are asked for until input ends.
async fn answer_rounds(
    server: &Server,
    service: SocketAddr,
    payloads: &'static Payloads,
) -> Result<()> {
    server.register(service).await?;
    let load = Arc::new(Load::on(&server.ingress(), payloads)?);
    println!("{}", serde_json::json!({ "ready": server.settings() }));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (in_flight, warm_up, measure) = parse(&line)?;
        let round = load::round(&load, in_flight, warm_up, measure).await?;
        println!("{}", serde_json::to_string(&round)?);
    }
    Ok(())
}

/// `round IN_FLIGHT WARM_UP_MS MEASURE_MS`.
fn parse(line: &str) -> Result<(usize, Duration, Duration)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["round", in_flight, warm_up, measure] = words.as_slice() else {
        bail!("not a round: {line:?}");
    };
    let number =
        |word: &str| word.parse::<u64>().with_context(|| format!("not a number in {line:?}"));
    Ok((
        usize::try_from(number(in_flight)?)?,
        Duration::from_millis(number(warm_up)?),
        Duration::from_millis(number(measure)?),
    ))
}
