//! `souk workflow list`.

use anyhow::{Context, Result};
use clap::Args;
use souk_proto::time;
use souk_proto::workflow::v1::{ListWorkflowsRequest, WorkflowState, WorkflowSummary};

use super::output::{Output, print_json};
use super::{Client, moment, state_name, why};

/// Most runs that are printed.
const MAX_LISTED: u16 = 1_000;
/// Runs fetched at a time.
const PAGE: usize = 200;

/// Which runs.
#[derive(Args)]
pub struct List {
    /// Only in this state: running, compensating, parked, completed, failed, cancelled, terminated.
    #[arg(long)]
    state: Option<String>,
    /// Only of this type.
    #[arg(long = "type", default_value = "")]
    workflow_type: String,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LISTED)))]
    limit: u16,
    /// A table for people, or a line of JSON per run.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints runs, newest first.
pub async fn print(client: &mut Client, list: List) -> Result<()> {
    if list.output == Output::Text {
        println!(
            "{:<44} {:<14} {:<13} {:<21} {:>6}  WHY",
            "WORKFLOW", "TYPE", "STATE", "STARTED", "EVENTS"
        );
    }
    let state = state(list.state.as_deref())?;
    let mut left = usize::from(list.limit);
    let mut page_token = String::new();
    while left > 0 {
        let request = ListWorkflowsRequest {
            page_size: left.min(PAGE) as i32,
            page_token,
            state: state.into(),
            workflow_type: list.workflow_type.clone(),
        };
        let page = client.list_workflows(request).await?.into_inner();
        for run in &page.workflows {
            match list.output {
                Output::Text => print_row(run),
                Output::Json => print_json("souk.workflow.v1.WorkflowSummary", run)?,
            }
        }
        left = left.saturating_sub(page.workflows.len());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(())
}

fn print_row(run: &WorkflowSummary) {
    println!(
        "{:<44} {:<14} {:<13} {:<21} {:>6}  {}",
        run.workflow_id,
        run.workflow_type,
        state_name(run.state()),
        run.start_time.as_ref().map_or_else(String::new, |at| moment(time::unix_ms(at))),
        run.history_length,
        run.failure.as_ref().map_or_else(String::new, why),
    );
}

fn state(name: Option<&str>) -> Result<WorkflowState> {
    let Some(name) = name else { return Ok(WorkflowState::Unspecified) };
    let full = format!("WORKFLOW_STATE_{}", name.to_uppercase());
    WorkflowState::from_str_name(&full).with_context(|| format!("no state is called {name:?}"))
}
