//! `souk workflow update`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use souk_proto::workflow::v1::UpdateWorkflowRequest;
use uuid::Uuid;

use super::output::{Output, print_json};
use super::{Client, input};

/// The reason with which the service says that the update is on record and not answered yet.
const PENDING: &str = "UPDATE_PENDING";

/// What to ask of which run.
#[derive(Args)]
pub struct Update {
    /// The workflow id.
    workflow_id: String,
    /// The update's name.
    name: String,
    /// JSON, @FILE, or - for standard input.
    #[arg(default_value = "null")]
    argument: String,
    /// UUID of the update: the same one again gets the first one's answer.
    #[arg(long)]
    id: Option<Uuid>,
    /// How many seconds to wait for the answer. The update stays on record when it is over.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait: u64,
    /// The run's answer, or the contract's as a line of JSON.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Asks a run to do something and prints its answer.
pub async fn update(client: &mut Client, update: Update) -> Result<()> {
    let request = UpdateWorkflowRequest {
        request_id: update.id.unwrap_or_else(Uuid::new_v4).to_string(),
        workflow_id: update.workflow_id,
        update: update.name,
        argument: input::read(&update.argument)?.into(),
    };
    let until = Instant::now() + Duration::from_secs(update.wait);
    // The service waits a few seconds each time, so this asks seldom.
    let answer = loop {
        match client.update_workflow(request.clone()).await {
            Ok(answer) => break answer.into_inner(),
            Err(status) if is_pending(&status) && Instant::now() < until => {}
            Err(status) if is_pending(&status) => {
                let again = format!(
                    "no answer within {} s; ask again with --id {}",
                    update.wait, request.request_id
                );
                return Err(status).context(again);
            }
            Err(status) => return Err(status.into()),
        }
    };
    match update.output {
        Output::Text => println!("{}", String::from_utf8_lossy(&answer.result)),
        Output::Json => print_json("souk.workflow.v1.UpdateWorkflowResponse", &answer)?,
    }
    Ok(())
}

fn is_pending(status: &tonic::Status) -> bool {
    souk_mesh::error::reason_of(status).as_deref() == Some(PENDING)
}
