//! `souk workflow …`: looks at runs and acts on them, over the internal port.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use souk_proto::time;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{
    CancelWorkflowRequest, DescribeWorkflowRequest, GetWorkflowHistoryRequest, HistoryEvent,
    HistoryEventKind, ListWorkflowsRequest, RetryStepRequest, SignalWorkflowRequest,
    SkipStepRequest, TerminateWorkflowRequest, WorkflowDetail, WorkflowFailure, WorkflowState,
};
use uuid::Uuid;

use crate::config::Config;
use crate::operator::{self, Operator};

/// Most runs that `list` prints.
const MAX_LISTED: usize = 1_000;
/// Runs fetched at a time.
const PAGE: usize = 200;

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Lists runs, newest first.
    List(List),
    /// Shows one run: where it stands, and everything that has happened to it.
    Show(Show),
    /// Sends a signal.
    Signal(Signal),
    /// Asks a run to end and to undo what it did.
    Cancel(Reasoned),
    /// Ends a run at once. Refused while undo is open, unless that is given up.
    Terminate(Terminate),
    /// Has the step or undo that parked a run tried again.
    Retry(Run),
    /// Has the step or undo that parked a run taken as done.
    Skip(Reasoned),
}

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
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=MAX_LISTED as i64))]
    limit: u16,
}

/// Which run to show.
#[derive(Args)]
pub struct Show {
    /// The workflow id, for example order/<order id>.
    workflow_id: String,
    /// Goes on until the run ends.
    #[arg(long)]
    follow: bool,
}

/// Which run.
#[derive(Args)]
pub struct Run {
    /// The workflow id.
    workflow_id: String,
}

/// Which run, and why.
#[derive(Args)]
pub struct Reasoned {
    /// The workflow id.
    workflow_id: String,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
}

/// Which run to end, and how.
#[derive(Args)]
pub struct Terminate {
    #[command(flatten)]
    run: Reasoned,
    /// What the run did stays done.
    #[arg(long)]
    abandon_undo: bool,
}

/// What to send.
#[derive(Args)]
pub struct Signal {
    /// The workflow id.
    workflow_id: String,
    /// The signal's name.
    name: String,
    /// JSON.
    #[arg(default_value = "null")]
    payload: String,
    /// UUID of the signal; a run takes the same one once.
    #[arg(long)]
    id: Option<Uuid>,
}

type Client = WorkflowServiceClient<Operator>;

/// Does what is asked, on the shop that `config` describes.
pub async fn run(config: &Config, command: Command) -> Result<()> {
    let mut client = WorkflowServiceClient::new(operator::connect(config).await?);
    match command {
        Command::List(list) => print_list(&mut client, list).await,
        Command::Show(show) => print_run(&mut client, show).await,
        command => {
            act(&mut client, command).await?;
            println!("done");
            Ok(())
        }
    }
}

async fn act(client: &mut Client, command: Command) -> Result<()> {
    let request_id = Uuid::new_v4().to_string();
    match command {
        Command::Signal(Signal { workflow_id, name, payload, id }) => {
            serde_json::from_str::<serde_json::Value>(&payload)
                .context("the payload is not JSON")?;
            let request = SignalWorkflowRequest {
                request_id: id.map_or(request_id, |id| id.to_string()),
                workflow_id,
                signal: name,
                payload: payload.into(),
            };
            client.signal_workflow(request).await?;
        }
        Command::Cancel(Reasoned { workflow_id, reason }) => {
            client
                .cancel_workflow(CancelWorkflowRequest { request_id, workflow_id, reason })
                .await?;
        }
        Command::Terminate(Terminate { run: Reasoned { workflow_id, reason }, abandon_undo }) => {
            let request =
                TerminateWorkflowRequest { request_id, workflow_id, reason, abandon_undo };
            client.terminate_workflow(request).await?;
        }
        Command::Retry(Run { workflow_id }) => {
            let step = String::new();
            client.retry_step(RetryStepRequest { request_id, workflow_id, step }).await?;
        }
        Command::Skip(Reasoned { workflow_id, reason }) => {
            let request = SkipStepRequest { request_id, workflow_id, reason, ..Default::default() };
            client.skip_step(request).await?;
        }
        Command::List(_) | Command::Show(_) => {}
    }
    Ok(())
}

async fn print_list(client: &mut Client, list: List) -> Result<()> {
    let state = match &list.state {
        None => WorkflowState::Unspecified,
        Some(name) => {
            let full = format!("WORKFLOW_STATE_{}", name.to_uppercase());
            WorkflowState::from_str_name(&full)
                .with_context(|| format!("no state is called {name:?}"))?
        }
    };
    println!(
        "{:<44} {:<14} {:<13} {:<21} {:>6}  WHY",
        "WORKFLOW", "TYPE", "STATE", "STARTED", "EVENTS"
    );
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
        left = left.saturating_sub(page.workflows.len());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(())
}

async fn print_run(client: &mut Client, show: Show) -> Result<()> {
    let request = DescribeWorkflowRequest { workflow_id: show.workflow_id.clone() };
    let described = client.describe_workflow(request).await?.into_inner();
    print_detail(&described.workflow.context("the answer is empty")?);
    let request = GetWorkflowHistoryRequest {
        workflow_id: show.workflow_id,
        from_sequence: 1,
        follow: show.follow,
    };
    let mut history = client.get_workflow_history(request).await?.into_inner();
    let mut began_ms = None;
    while let Some(part) = history.message().await? {
        for event in &part.events {
            let at_ms = event.time.as_ref().map_or(0, time::unix_ms);
            let began_ms = *began_ms.get_or_insert(at_ms);
            println!("{:>5} {:>9} ms  {}", event.sequence, at_ms - began_ms, told(event));
        }
    }
    Ok(())
}

fn print_detail(run: &WorkflowDetail) {
    let Some(summary) = &run.summary else { return };
    println!("{}  {}  {}", summary.workflow_id, summary.workflow_type, state_name(summary.state()));
    println!("run {}", summary.run_id);
    if let Some(started) = &summary.start_time {
        println!("started {}", moment(time::unix_ms(started)));
    }
    for step in &run.pending_steps {
        let last =
            step.last_failure.as_ref().map_or_else(String::new, |f| format!(", last: {}", why(f)));
        println!("trying {} (attempts: {}{last})", step.step, step.attempts);
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

/// One event in a line.
fn told(event: &HistoryEvent) -> String {
    use HistoryEventKind as Kind;
    let mark = match event.kind() {
        Kind::StepCompleted | Kind::Completed => "✓",
        Kind::StepAttemptFailed | Kind::StepFailed | Kind::UndoAttemptFailed | Kind::Failed => "✗",
        Kind::UndoScheduled | Kind::UndoCompleted | Kind::CompensationStarted => "↩",
        Kind::Parked => "!",
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

fn why(failure: &WorkflowFailure) -> String {
    format!("{}: {}", failure.reason, failure.message)
}

fn state_name(state: WorkflowState) -> String {
    state.as_str_name().trim_start_matches("WORKFLOW_STATE_").to_lowercase()
}

fn moment(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| unix_ms.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
