//! `souk workflow count`.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use souk_proto::workflow::v1::{CountWorkflowsRequest, WorkflowCount, WorkflowState};

use super::list::Which;
use super::output::{Output, print_json};
use super::{Client, state_name};

/// Which runs.
#[derive(Args)]
pub struct Count {
    #[command(flatten)]
    which: Which,
    /// A table for people, or a line of JSON per type and state.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints how many runs there are, by type and state.
pub async fn print(client: &mut Client, count: Count) -> Result<()> {
    let counts = of(client, &count.which.filter()).await?;
    if count.output == Output::Text {
        println!("{:<20} {:<13} {:>10}", "TYPE", "STATE", "RUNS");
    }
    for ((workflow_type, state), runs) in &counts {
        let state = WorkflowState::try_from(*state).unwrap_or_default();
        let line = WorkflowCount {
            workflow_type: workflow_type.clone(),
            state: state.into(),
            runs: *runs,
        };
        match count.output {
            Output::Text => println!("{workflow_type:<20} {:<13} {runs:>10}", state_name(state)),
            Output::Json => print_json("souk.workflow.v1.WorkflowCount", &line)?,
        }
    }
    Ok(())
}

/// How many runs a filter means, by type and state.
async fn of(client: &mut Client, filter: &str) -> Result<BTreeMap<(String, i32), i64>> {
    let mut sums = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = CountWorkflowsRequest { filter: filter.to_owned(), page_token };
        let answer = client.count_workflows(request).await?.into_inner();
        for count in answer.counts {
            *sums.entry((count.workflow_type, count.state)).or_default() += count.runs;
        }
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return Ok(sums);
        }
    }
}
