//! `souk workflow …`: looks at runs and acts on them, over the internal port.

mod batch;
mod count;
mod input;
mod list;
mod nodes;
pub mod output;
mod reset;
mod show;
mod start;
mod timeline;
mod turns;
mod unmoved;
mod update;

use anyhow::Result;
use clap::{Args, Subcommand};
use souk_proto::time;
use souk_proto::workflow::v1::workflow_service_client::WorkflowServiceClient;
use souk_proto::workflow::v1::{
    CancelWorkflowRequest, PauseWorkflowRequest, QueryWorkflowRequest, ResumeWorkflowRequest,
    RetryStepRequest, SearchAttribute, SearchAttributeKind, SignalWorkflowRequest, SkipStepRequest,
    TerminateWorkflowRequest, WorkflowFailure, WorkflowState,
};
use uuid::Uuid;

use crate::config::Config;
use crate::operator::{self, Operator};

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Starts a run, or joins an equal one.
    Start(start::Start),
    /// Lists runs, newest first.
    List(list::List),
    /// Counts runs by type and state.
    Count(count::Count),
    /// Does one thing to many runs.
    Batch(batch::Batch),
    /// Shows one run: where it stands, and everything that has happened to it.
    Show(show::Show),
    /// Lists the runs under one workflow id, newest first: turns, and earlier uses of the id.
    Turns(turns::Turns),
    /// Shows which runs do not get on, by type and step, with the cause.
    Unmoved(unmoved::List),
    /// Shows which nodes share the runs, and how.
    Nodes(nodes::List),
    /// Has a run, open or ended, begin again from an event of its history. What is not done again is undone.
    Reset(reset::Reset),
    /// Sends a signal.
    Signal(Signal),
    /// Asks a run to do something, and waits for its answer.
    Update(update::Update),
    /// Asks a run for one of the views that it shows of itself.
    Query(Query),
    /// Has a run begin nothing new until it is resumed.
    Pause(Run),
    /// Lets a paused run go on.
    Resume(Run),
    /// Asks a run to end and to undo what it did.
    Cancel(Reasoned),
    /// Ends a run at once. Refused while undo is open, unless that is given up.
    Terminate(Terminate),
    /// Has the step or undo that parked a run tried again.
    Retry(Run),
    /// Has the step or undo that parked a run taken as done.
    Skip(Reasoned),
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

/// What to ask.
#[derive(Args)]
pub struct Query {
    /// The workflow id.
    workflow_id: String,
    /// The view's name.
    name: String,
}

/// What to send.
#[derive(Args)]
pub struct Signal {
    /// The workflow id.
    workflow_id: String,
    /// The signal's name.
    name: String,
    /// JSON, @FILE, or - for standard input.
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
        Command::List(list) => list::print(&mut client, list).await,
        Command::Batch(batch) => batch::run(&mut client, batch).await,
        Command::Count(count) => count::print(&mut client, count).await,
        Command::Start(wanted) => start::start(&mut client, wanted).await,
        Command::Update(wanted) => update::update(&mut client, wanted).await,
        Command::Show(show) => show::print(&mut client, show).await,
        Command::Reset(reset) => reset::run(&mut client, reset).await,
        Command::Turns(turns) => turns::print(&mut client, turns).await,
        Command::Nodes(list) => nodes::print(&mut client, list).await,
        Command::Unmoved(list) => unmoved::print(&mut client, list).await,
        Command::Query(Query { workflow_id, name }) => {
            let request = QueryWorkflowRequest { workflow_id, query: name, ..Default::default() };
            let view = client.query_workflow(request).await?.into_inner().result;
            println!("{}", String::from_utf8_lossy(&view));
            Ok(())
        }
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
            let request = SignalWorkflowRequest {
                request_id: id.map_or(request_id, |id| id.to_string()),
                workflow_id,
                signal: name,
                payload: input::read(&payload)?.into(),
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
        Command::Pause(Run { workflow_id }) => {
            client.pause_workflow(PauseWorkflowRequest { request_id, workflow_id }).await?;
        }
        Command::Resume(Run { workflow_id }) => {
            client.resume_workflow(ResumeWorkflowRequest { request_id, workflow_id }).await?;
        }
        Command::Batch(_)
        | Command::Count(_)
        | Command::List(_)
        | Command::Query(_)
        | Command::Reset(_)
        | Command::Show(_)
        | Command::Start(_)
        | Command::Update(_)
        | Command::Turns(_)
        | Command::Unmoved(_)
        | Command::Nodes(_) => {}
    }
    Ok(())
}

/// A failure in a line.
pub fn why(failure: &WorkflowFailure) -> String {
    format!("{}: {}", failure.reason, failure.message)
}

/// A search attribute as a filter names it.
fn attribute(attribute: &SearchAttribute) -> String {
    let value = match attribute.kind() {
        SearchAttributeKind::Text | SearchAttributeKind::Unspecified => attribute.text.clone(),
        SearchAttributeKind::Integer => attribute.integer.to_string(),
        SearchAttributeKind::Flag => attribute.flag.to_string(),
        SearchAttributeKind::Time => {
            attribute.time.as_ref().map_or_else(String::new, |at| moment(time::unix_ms(at)))
        }
    };
    format!("{}={value}", attribute.name)
}

/// A state as people write it.
pub fn state_name(state: WorkflowState) -> String {
    state.as_str_name().trim_start_matches("WORKFLOW_STATE_").to_lowercase()
}

/// Unix milliseconds as a time of day, in UTC.
pub fn moment(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| unix_ms.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
