//! `souk workflow batch`: one operation on many runs.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use souk_proto::workflow::v1::{
    BatchOperateRequest, BatchOperation, DescribeWorkflowRequest, QueryWorkflowRequest,
    WorkflowState,
};
use uuid::Uuid;

use super::list::Which;
use super::output::{Output, print_json};
use super::reset::Point;
use super::{Client, state_name};

/// How often a batch is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What is done to each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Operation {
    /// Undo what it did and end.
    Cancel,
    /// End at once.
    Terminate,
    /// Begin nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Take a signal.
    Signal,
    /// Try the parked undo again.
    Retry,
    /// Pass the parked undo over.
    Skip,
    /// Begin again, open or ended, from where --to-last-step or --before-failure says.
    Reset,
}

impl From<Operation> for BatchOperation {
    fn from(operation: Operation) -> BatchOperation {
        match operation {
            Operation::Cancel => BatchOperation::Cancel,
            Operation::Terminate => BatchOperation::Terminate,
            Operation::Pause => BatchOperation::Pause,
            Operation::Resume => BatchOperation::Resume,
            Operation::Signal => BatchOperation::Signal,
            Operation::Retry => BatchOperation::RetryStep,
            Operation::Skip => BatchOperation::SkipStep,
            Operation::Reset => BatchOperation::Reset,
        }
    }
}

/// What to do, to which runs.
#[derive(Args)]
pub struct Batch {
    /// What is done to each run.
    #[arg(value_enum)]
    operation: Operation,
    #[command(flatten)]
    which: Which,
    /// A workflow id, in place of a filter; may be repeated.
    #[arg(long = "id")]
    ids: Vec<String>,
    /// Why, for the record of each run.
    #[arg(long)]
    reason: String,
    /// Only count the runs that are meant.
    #[arg(long)]
    dry_run: bool,
    /// Stay until the batch has ended, and tell how far it is.
    #[arg(long)]
    wait: bool,
    /// Act on so many runs at most.
    #[arg(long, default_value_t = 0)]
    max_runs: u32,
    /// Act on so many runs a second at most; 0 for 200.
    #[arg(long, default_value_t = 0)]
    per_second: u16,
    /// Of terminate: what the runs did stays done.
    #[arg(long)]
    abandon_undo: bool,
    /// Of signal: its name.
    #[arg(long, default_value = "")]
    signal: String,
    /// Of signal: JSON.
    #[arg(long, default_value = "")]
    payload: String,
    /// Of reset: where.
    #[command(flatten)]
    to: Point,
    /// UUID of the batch: a repeat joins the one that is there.
    #[arg(long)]
    request_id: Option<Uuid>,
    /// For people, or a line of JSON for each count of a dry run, or for the batch once it has begun, or ended.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// What a batch shows of itself; see `souk_orchestrator::system::batch::Progress`.
#[derive(Deserialize, PartialEq, Eq)]
struct Progress {
    found: u64,
    done: u64,
    skipped: u64,
    failed: u64,
    is_cut: bool,
    notes: Vec<Note>,
}

#[derive(Deserialize, PartialEq, Eq)]
struct Note {
    workflow_id: String,
    has_failed: bool,
    why: String,
}

/// Begins a batch, or counts what it would act on.
pub async fn run(client: &mut Client, batch: Batch) -> Result<()> {
    let request = BatchOperateRequest {
        request_id: batch.request_id.unwrap_or_else(Uuid::new_v4).to_string(),
        operation: BatchOperation::from(batch.operation).into(),
        workflow_ids: batch.ids.clone(),
        filter: batch.which.filter(),
        reason: batch.reason,
        max_runs: batch.max_runs.into(),
        runs_per_second: batch.per_second.into(),
        dry_run: batch.dry_run,
        abandon_undo: batch.abandon_undo,
        signal: batch.signal,
        payload: batch.payload.into(),
        reset_to: batch.to.into_message(),
    };
    let begun = client.batch_operate(request).await?.into_inner();
    if batch.dry_run {
        let mut sum = 0;
        for count in &begun.counts {
            sum += count.runs;
            let state = state_name(count.state());
            match batch.output {
                Output::Text => {
                    println!("{:<20} {state:<13} {:>10}", count.workflow_type, count.runs)
                }
                Output::Json => print_json("souk.workflow.v1.WorkflowCount", count)?,
            }
        }
        if batch.output == Output::Text {
            let more = if begun.has_more { ", and more that were not counted" } else { "" };
            println!("{sum} runs are meant{more}; nothing was done to them");
        }
        return Ok(());
    }
    if batch.wait {
        return wait(client, &begun.workflow_id, batch.output).await;
    }
    match batch.output {
        Output::Json => print_json("souk.workflow.v1.BatchOperateResponse", &begun)?,
        Output::Text => {
            println!("{}", begun.workflow_id);
            println!("souk workflow query {} progress", begun.workflow_id);
        }
    }
    Ok(())
}

async fn wait(client: &mut Client, workflow_id: &str, output: Output) -> Result<()> {
    let mut told = None;
    loop {
        let request =
            DescribeWorkflowRequest { workflow_id: workflow_id.to_owned(), ..Default::default() };
        let described = client.describe_workflow(request).await?.into_inner().workflow;
        let summary = described.and_then(|run| run.summary).unwrap_or_default();
        // Asked for the state first: what it shows then is not older.
        let request = QueryWorkflowRequest {
            workflow_id: workflow_id.to_owned(),
            query: "progress".to_owned(),
            ..QueryWorkflowRequest::default()
        };
        let view = client.query_workflow(request).await?.into_inner().result;
        let progress: Progress = serde_json::from_slice(&view)?;
        if output == Output::Text && told.as_ref() != Some(&progress) {
            let Progress { found, done, skipped, failed, .. } = &progress;
            println!("{found} found: {done} done, {skipped} skipped, {failed} failed");
        }
        if summary.close_time.is_some() && summary.state() != WorkflowState::Continued {
            if output == Output::Json {
                println!("{}", String::from_utf8_lossy(&view));
            }
            return conclude(summary.state(), &progress, output);
        }
        told = Some(progress);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn conclude(state: WorkflowState, progress: &Progress, output: Output) -> Result<()> {
    if output == Output::Text {
        for note in &progress.notes {
            let what = if note.has_failed { "failed" } else { "skipped" };
            println!("{what:<8} {:<44} {}", note.workflow_id, note.why);
        }
        if progress.is_cut {
            println!("there may be more: the batch was not to act on more runs");
        }
    }
    if state != WorkflowState::Completed {
        bail!("the batch has ended {}", state_name(state));
    }
    if progress.failed > 0 {
        bail!("{} runs refused", progress.failed);
    }
    Ok(())
}
