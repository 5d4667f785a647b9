//! `souk workflow unmoved`: which runs do not get on, by type and step, with the cause.

use anyhow::Result;
use clap::Args;
use souk_mesh::clock::{Clock as _, SystemClock};
use souk_proto::time;
use souk_proto::workflow::v1::{ListUnmovedRequest, UnmovedRuns};

use super::output::{Output, print_json};
use super::timeline::span;
use super::{Client, moment};

/// Which runs.
#[derive(Args)]
pub struct List {
    /// Only of this type.
    #[arg(long = "type", default_value = "")]
    workflow_type: String,
    /// A table for people, or a line of JSON per type and step.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints a line for each type and step, those with the oldest run first.
pub async fn print(client: &mut Client, list: List) -> Result<()> {
    let request = ListUnmovedRequest { workflow_type: list.workflow_type };
    let lines = client.list_unmoved(request).await?.into_inner().lines;
    if list.output == Output::Text {
        println!(
            "{:<18} {:<20} {:>6} {:>9}  {:<21} {:<40} LAST CAUSE",
            "TYPE", "STEP", "RUNS", "OLDEST", "SINCE", "WORKFLOW"
        );
    }
    for line in &lines {
        match list.output {
            Output::Text => print_row(line),
            Output::Json => print_json("souk.workflow.v1.UnmovedRuns", line)?,
        }
    }
    Ok(())
}

fn print_row(line: &UnmovedRuns) {
    let since_ms = line.since.as_ref().map_or(0, time::unix_ms);
    println!(
        "{:<18} {:<20} {:>6} {:>9}  {:<21} {:<40} {}",
        line.workflow_type,
        if line.step.is_empty() { "-" } else { &line.step },
        line.runs,
        span((SystemClock.now_ms() - since_ms).max(0)),
        moment(since_ms),
        line.oldest_workflow_id,
        line.cause,
    );
}
