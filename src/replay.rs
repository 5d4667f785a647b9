//! `souk replay`: would this build take up the runs that are open now?

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures::StreamExt as _;
use souk_orchestrator::engine::recorded::from_text;
use souk_orchestrator::engine::stored::StoredRun;
use souk_orchestrator::replay::{Finding, Report, folder, registry, remote, replay};
use souk_proto::workflow::v1::ExportHistoriesRequest;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;

use crate::config::Config;
use crate::operator;
use crate::workflow::output::Output;

/// Which runs. Without FILE and --from: those of the data folder, whose node is stopped.
#[derive(Args)]
pub struct Replay {
    /// Recorded histories, instead of open runs.
    #[arg(value_name = "FILE", conflicts_with = "from")]
    files: Vec<PathBuf>,
    /// The internal port of a shop that runs, for example http://127.0.0.1:50051; its key is in the data folder.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Only runs of this type.
    #[arg(long = "type", default_value = "")]
    workflow_type: String,
    /// Where the data folder's store is copied to while it is read [default: the data folder].
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["from", "files"])]
    scratch: Option<PathBuf>,
    /// For people, or a line of JSON for each run that does not fit and for each type.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Replays, and prints what does not fit. An error if anything does not.
pub async fn run(config: &Config, asked: Replay) -> Result<()> {
    let report = if !asked.files.is_empty() {
        replay(registry(), futures::stream::iter(asked.files.iter().map(file))).await?
    } else if let Some(url) = &asked.from {
        of_node(config, url, &asked.workflow_type).await?
    } else {
        of_folder(config, &asked).await?
    };
    match asked.output {
        Output::Text => print_text(&report),
        Output::Json => print_json(&report)?,
    }
    let runs: u64 = report.types.values().map(|of_type| of_type.runs).sum();
    match report.unfit() {
        0 => Ok(()),
        unfit => bail!("{unfit} of {runs} runs do not fit this build"),
    }
}

fn file(path: &PathBuf) -> Result<StoredRun> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(name)?;
    let (run_id, history) = from_text(&text).map_err(anyhow::Error::msg).with_context(name)?;
    Ok(StoredRun::of_history(run_id, history))
}

async fn of_node(config: &Config, url: &str, workflow_type: &str) -> Result<Report> {
    let channel = operator::connect_to(config, url.to_owned()).await?;
    let request = ExportHistoriesRequest { workflow_type: workflow_type.to_owned() };
    let parts = WorkflowServiceClient::new(channel).export_histories(request).await?.into_inner();
    Ok(replay(registry(), remote::runs(parts)).await?)
}

async fn of_folder(config: &Config, asked: &Replay) -> Result<Report> {
    let scratch = asked.scratch.as_ref().unwrap_or(&config.data);
    let copy = folder::Copy::of(&config.data.join(souk_orchestrator::NAME), scratch)?;
    let wanted = &asked.workflow_type;
    let runs = copy.open_runs().await?.filter(|run| {
        let of_type = |run: &StoredRun| wanted.is_empty() || run.workflow_type == *wanted;
        std::future::ready(run.as_ref().map_or(true, of_type))
    });
    Ok(replay(registry(), runs).await?)
}

fn print_text(report: &Report) {
    for Finding { workflow_type, workflow_id, code, event, message, .. } in &report.findings {
        println!("✗ {workflow_type}  {workflow_id}\n    {code} at event {event}: {message}");
    }
    if !report.findings.is_empty() {
        println!();
    }
    println!("{:<24} {:>9} {:>9}  CODES", "TYPE", "RUNS", "UNFIT");
    for (name, of_type) in &report.types {
        let unfit: u64 = of_type.unfit.values().sum();
        let codes: Vec<String> =
            of_type.unfit.iter().map(|(code, count)| format!("{code} × {count}")).collect();
        println!("{name:<24} {:>9} {unfit:>9}  {}", of_type.runs, codes.join(", "));
    }
}

fn print_json(report: &Report) -> Result<()> {
    for finding in &report.findings {
        println!("{}", serde_json::to_string(finding)?);
    }
    for (name, of_type) in &report.types {
        let line = serde_json::json!({
            "workflow_type": name, "runs": of_type.runs, "unfit": of_type.unfit,
        });
        println!("{line}");
    }
    Ok(())
}
