//! `souk workflow list`.

use anyhow::Result;
use clap::Args;
use souk_proto::time;
use souk_proto::workflow::v1::{ListWorkflowsRequest, WorkflowSummary};

use super::output::{Output, print_json};
use super::{Client, moment, state_name, why};

/// Most runs that are printed.
const MAX_LISTED: u16 = 1_000;
/// Runs fetched at a time.
const PAGE: usize = 200;

/// Which runs: all that is said must hold.
#[derive(Args)]
pub struct Which {
    /// Only in this state: running, compensating, parked, paused, completed, failed, cancelled, terminated, open, closed.
    #[arg(long)]
    state: Option<String>,
    /// Only of this type.
    #[arg(long = "type")]
    workflow_type: Option<String>,
    /// In the filter language (docs/FILTERS.md): 'started_at > -1h AND total_minor >= 10000'.
    #[arg(long)]
    filter: Option<String>,
}

impl Which {
    /// All of it in the filter language; empty for all runs.
    pub fn filter(&self) -> String {
        let quoted = |text: &str| {
            let escaped: String = text
                .chars()
                .flat_map(|letter| {
                    matches!(letter, '"' | '\\' | '*').then_some('\\').into_iter().chain([letter])
                })
                .collect();
            format!("\"{escaped}\"")
        };
        let state = self.state.as_deref().map(|state| format!("state = {}", quoted(state)));
        let of_type = self.workflow_type.as_deref().map(|name| format!("type = {}", quoted(name)));
        let parts: Vec<String> = state.into_iter().chain(of_type).collect();
        match (
            self.filter.as_deref().map(str::trim).filter(|filter| !filter.is_empty()),
            parts.is_empty(),
        ) {
            (None, _) => parts.join(" AND "),
            (Some(filter), true) => filter.to_owned(),
            (Some(filter), false) => format!("({filter}) AND {}", parts.join(" AND ")),
        }
    }
}

/// Which runs, and how many.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
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
    let filter = list.which.filter();
    let mut left = usize::from(list.limit);
    let mut page_token = String::new();
    let mut as_of = None;
    while left > 0 {
        let request = ListWorkflowsRequest {
            page_size: left.min(PAGE) as i32,
            page_token,
            filter: filter.clone(),
        };
        let page = client.list_workflows(request).await?.into_inner();
        for run in &page.workflows {
            match list.output {
                Output::Text => print_row(run),
                Output::Json => print_json("souk.workflow.v1.WorkflowSummary", run)?,
            }
        }
        as_of = as_of.or(page.as_of);
        left = left.saturating_sub(page.workflows.len());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if let (Output::Text, Some(as_of)) = (list.output, as_of) {
        println!("as of {}", moment(time::unix_ms(&as_of)));
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
