//! `souk workflow reset`: a run begins again from an event of its history.

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use souk_proto::workflow::v1::{
    GetWorkflowHistoryRequest, HistoryEvent, HistoryEventKind as Kind, ResetWorkflowRequest,
};
use uuid::Uuid;

use super::Client;
use super::output::{Output, print_json};

/// Which run, and to where.
#[derive(Args)]
#[command(group = ArgGroup::new("target").required(true))]
pub struct Reset {
    /// The workflow id.
    workflow_id: String,
    /// To the event of this number, as `workflow show --events` counts: it is taken in again, what is behind it is dropped.
    #[arg(long, value_name = "SEQUENCE", group = "target", value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,
    /// To where the last step of this name was decided.
    #[arg(long, value_name = "NAME", group = "target")]
    to_last_step: Option<String>,
    /// To where the step was decided that failed last.
    #[arg(long, group = "target")]
    before_failure: bool,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
    /// Signals and updates that came behind that event are dropped, too.
    #[arg(long)]
    drop_messages: bool,
    /// What an undo that the run owed without a step has undone is done again by whoever started the run.
    #[arg(long)]
    owed_is_done_again: bool,
    /// For people, or a line of JSON.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Resets a run.
pub async fn run(client: &mut Client, reset: Reset) -> Result<()> {
    let sequence = match reset.to {
        Some(sequence) => sequence,
        None => find(client, &reset).await?,
    };
    let request = ResetWorkflowRequest {
        request_id: Uuid::new_v4().to_string(),
        workflow_id: reset.workflow_id,
        sequence,
        reason: reset.reason,
        drop_messages: reset.drop_messages,
        owed_is_done_again: reset.owed_is_done_again,
    };
    let done = client.reset_workflow(request).await?.into_inner();
    match reset.output {
        Output::Text => println!("run {} goes on, with {} events kept", done.run_id, done.kept),
        Output::Json => print_json("souk.workflow.v1.ResetWorkflowResponse", &done)?,
    }
    Ok(())
}

/// The event at which the step that is meant was decided.
async fn find(client: &mut Client, reset: &Reset) -> Result<i64> {
    let request = GetWorkflowHistoryRequest {
        workflow_id: reset.workflow_id.clone(),
        from_sequence: 1,
        ..GetWorkflowHistoryRequest::default()
    };
    let mut history = client.get_workflow_history(request).await?.into_inner();
    let mut steps = Vec::new();
    while let Some(part) = history.message().await? {
        let is_step =
            |event: &HistoryEvent| matches!(event.kind(), Kind::StepScheduled | Kind::StepFailed);
        steps.extend(part.events.into_iter().filter(is_step));
    }
    let effect_key = match &reset.to_last_step {
        Some(name) => steps.iter().rfind(|step| step.name == *name),
        None => steps.iter().rfind(|step| step.kind() == Kind::StepFailed),
    }
    .map(|step| step.effect_key.clone());
    let Some(effect_key) = effect_key else {
        match &reset.to_last_step {
            Some(name) => bail!("the run has never done a step {name:?}"),
            None => bail!("no step of the run has failed"),
        }
    };
    let is_it =
        |step: &&HistoryEvent| step.kind() == Kind::StepScheduled && step.effect_key == effect_key;
    steps.iter().rfind(is_it).map(|step| step.sequence).context("the history lacks the step")
}
