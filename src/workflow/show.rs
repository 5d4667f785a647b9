//! `souk workflow show`: where a run stands, and its timeline or every event of it.

use anyhow::{Context, Result};
use clap::Args;
use souk_proto::time;
use souk_proto::workflow::v1::{
    DescribeWorkflowRequest, GetWorkflowHistoryRequest, HistoryEvent, HistoryEventKind,
    WorkflowDetail,
};

use uuid::Uuid;

use super::output::{Output, print_json};
use super::timeline::Timeline;
use super::{Client, attribute, moment, state_name, why};

/// Which run, and how to show it.
#[derive(Args)]
pub struct Show {
    /// The workflow id, for example order/<order id>.
    workflow_id: String,
    /// A turn or an earlier run under the id, as `souk workflow turns` lists them; else the newest.
    #[arg(long)]
    run_id: Option<Uuid>,
    /// Every event, instead of the timeline.
    #[arg(long)]
    events: bool,
    /// Every event, and those that come, until the run ends.
    #[arg(long)]
    follow: bool,
    /// For people, or the run and each event as a line of JSON.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints one run.
pub async fn print(client: &mut Client, show: Show) -> Result<()> {
    let run_id = show.run_id.map(|run_id| run_id.to_string()).unwrap_or_default();
    let request = DescribeWorkflowRequest { workflow_id: show.workflow_id.clone(), run_id };
    let described = client.describe_workflow(request).await?.into_inner();
    let run = described.workflow.context("the answer is empty")?;
    match show.output {
        Output::Text => print_detail(&run),
        Output::Json => print_json("souk.workflow.v1.WorkflowDetail", &run)?,
    }
    let request = GetWorkflowHistoryRequest {
        workflow_id: show.workflow_id,
        // Of the run that was described, though another one may have begun meanwhile.
        run_id: run.summary.as_ref().map(|summary| summary.run_id.clone()).unwrap_or_default(),
        from_sequence: 1,
        follow: show.follow,
    };
    let mut history = client.get_workflow_history(request).await?.into_inner();
    let mut timeline = Timeline::default();
    while let Some(part) = history.message().await? {
        for event in &part.events {
            timeline.add(event);
            match show.output {
                Output::Json => print_json("souk.workflow.v1.HistoryEvent", event)?,
                Output::Text if show.events || show.follow => print_event(event, &timeline),
                Output::Text => {}
            }
        }
    }
    if show.output == Output::Text && !show.events && !show.follow {
        for row in timeline.rows() {
            println!("{row}");
        }
    }
    Ok(())
}

fn print_detail(run: &WorkflowDetail) {
    let Some(summary) = &run.summary else { return };
    println!("{}  {}  {}", summary.workflow_id, summary.workflow_type, state_name(summary.state()));
    let started = summary.start_time.as_ref().map_or(0, time::unix_ms);
    println!("run {}, started {}", summary.run_id, moment(started));
    let attributes: Vec<String> = summary.attributes.iter().map(attribute).collect();
    if !attributes.is_empty() {
        println!("found by {}", attributes.join(", "));
    }
    for step in &run.pending_steps {
        let last = step.last_failure.as_ref();
        let last = last.map_or_else(String::new, |failure| format!(", last: {}", why(failure)));
        println!("trying {} (failed attempts: {}{last})", step.step, step.attempts);
    }
    if !run.parent_workflow_id.is_empty() {
        println!("child of {} (run {})", run.parent_workflow_id, run.parent_run_id);
    }
    for child in &run.open_children {
        let policy = child.parent_close_policy().as_str_name().to_lowercase();
        let policy = policy.trim_start_matches("parent_close_policy_").to_owned();
        println!("open child {} {} (at the end: {policy})", child.workflow_type, child.workflow_id);
    }
    if let Some(cause) = &run.parked_cause {
        println!("parked: {}", why(cause));
    }
    let undo: Vec<&str> = run.open_undo.iter().map(|undo| undo.step.as_str()).collect();
    if !undo.is_empty() {
        println!("would undo, in this order: {}", undo.join(", "));
    }
    println!();
}

fn print_event(event: &HistoryEvent, timeline: &Timeline) {
    let after_ms = event.time.as_ref().map_or(0, time::unix_ms) - timeline.began_ms();
    println!("{:>5} {after_ms:>9} ms  {}", event.sequence, told(event));
}

/// One event in a line.
fn told(event: &HistoryEvent) -> String {
    use HistoryEventKind as Kind;
    let mark = match event.kind() {
        Kind::StepCompleted | Kind::Completed => "✓",
        Kind::StepAttemptFailed | Kind::StepFailed | Kind::UndoAttemptFailed | Kind::Failed => "✗",
        Kind::UndoScheduled | Kind::UndoCompleted | Kind::CompensationStarted => "↩",
        Kind::Parked | Kind::Stuck => "!",
        Kind::SignalReceived | Kind::UpdateAccepted => "→",
        _ => "·",
    };
    let kind = event.kind().as_str_name().trim_start_matches("HISTORY_EVENT_KIND_");
    let mut line = format!("{mark} {:<20} {}", kind.to_lowercase().replace('_', " "), event.name);
    if event.attempt > 1 {
        line.push_str(&format!(" (attempt {})", event.attempt));
    }
    if let Some(failure) = &event.failure {
        line.push_str(&format!("  {}", why(failure)));
    }
    line.trim_end().to_owned()
}
