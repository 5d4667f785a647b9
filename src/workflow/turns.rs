//! `souk workflow turns`: the runs under one workflow id.

use anyhow::Result;
use clap::Args;
use souk_proto::time;
use souk_proto::workflow::v1::{ListWorkflowTurnsRequest, WorkflowSummary};

use super::output::{Output, print_json};
use super::{Client, moment, state_name, why};

/// Most runs that are printed.
const MAX_LISTED: u16 = 1_000;
/// Runs fetched at a time.
const PAGE: usize = 200;

/// Of which workflow id.
#[derive(Args)]
pub struct Turns {
    /// The workflow id, for example order/<order id>.
    workflow_id: String,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LISTED)))]
    limit: u16,
    /// A table for people, or a line of JSON per run.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints runs, newest first.
pub async fn print(client: &mut Client, turns: Turns) -> Result<()> {
    if turns.output == Output::Text {
        println!(
            "{:<36} {:>4} {:<13} {:<21} {:<21} {:>6}  WHY",
            "RUN", "USE", "STATE", "STARTED", "ENDED", "EVENTS"
        );
    }
    let mut left = usize::from(turns.limit);
    let mut page_token = String::new();
    while left > 0 {
        let request = ListWorkflowTurnsRequest {
            workflow_id: turns.workflow_id.clone(),
            page_size: left.min(PAGE) as i32,
            page_token,
        };
        let page = client.list_workflow_turns(request).await?.into_inner();
        for run in &page.turns {
            match turns.output {
                Output::Text => print_row(run),
                Output::Json => print_json("souk.workflow.v1.WorkflowSummary", run)?,
            }
        }
        left = left.saturating_sub(page.turns.len());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(())
}

fn print_row(run: &WorkflowSummary) {
    let at =
        |time: &Option<_>| time.as_ref().map_or_else(String::new, |at| moment(time::unix_ms(at)));
    println!(
        "{:<36} {:>4} {:<13} {:<21} {:<21} {:>6}  {}",
        run.run_id,
        run.generation,
        state_name(run.state()),
        at(&run.start_time),
        at(&run.close_time),
        run.history_length,
        run.failure.as_ref().map_or_else(String::new, why),
    );
}
