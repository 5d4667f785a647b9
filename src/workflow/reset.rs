//! `souk workflow reset`: a run begins again from an event of its history.

use anyhow::Result;
use clap::{ArgGroup, Args};
use souk_proto::workflow::v1::{ResetPoint, ResetWorkflowRequest};
use uuid::Uuid;

use super::Client;
use super::output::{Output, print_json};

/// Which run, and to where.
#[derive(Args)]
#[command(group = ArgGroup::new("target").required(true).args(["to", "to_last_step", "before_failure"]))]
pub struct Reset {
    /// The workflow id.
    workflow_id: String,
    /// To the event of this number, as `workflow show --events` counts: it is taken in again, what is behind it is dropped.
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,
    #[command(flatten)]
    point: Point,
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

/// Where a reset goes back to, said by what happened there.
#[derive(Args)]
pub struct Point {
    /// To where the last step of this name was decided.
    #[arg(long, value_name = "NAME", conflicts_with = "before_failure")]
    to_last_step: Option<String>,
    /// To where the step was decided that failed last.
    #[arg(long)]
    before_failure: bool,
}

impl Point {
    /// As the contract says it, if anything is said.
    pub fn into_message(self) -> Option<ResetPoint> {
        let is_said = self.before_failure || self.to_last_step.is_some();
        let last_step = self.to_last_step.unwrap_or_default();
        is_said.then_some(ResetPoint { last_step, before_failure: self.before_failure })
    }
}

/// Resets a run.
pub async fn run(client: &mut Client, reset: Reset) -> Result<()> {
    let request = ResetWorkflowRequest {
        request_id: Uuid::new_v4().to_string(),
        workflow_id: reset.workflow_id,
        sequence: reset.to.unwrap_or(0),
        reset_to: reset.point.into_message(),
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
