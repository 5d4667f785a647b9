//! `souk workflow start`.

use anyhow::Result;
use clap::Args;
use souk_proto::time;
use souk_proto::workflow::v1::StartWorkflowRequest;
use uuid::Uuid;

use super::output::{Output, print_json};
use super::{Client, input, state_name};

/// What to start.
#[derive(Args)]
pub struct Start {
    /// The workflow id. A run that is there under it with the same type and input is joined.
    workflow_id: String,
    /// The type of the workflow, for example place_order.
    workflow_type: String,
    /// JSON, @FILE, or - for standard input.
    #[arg(default_value = "null")]
    input: String,
    /// How many seconds to wait for the run's answer.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=30))]
    wait: i64,
    /// For people, or the contract's answer as a line of JSON.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Starts a run.
pub async fn start(client: &mut Client, start: Start) -> Result<()> {
    let request = StartWorkflowRequest {
        request_id: Uuid::new_v4().to_string(),
        workflow_id: start.workflow_id,
        workflow_type: start.workflow_type,
        input: input::read(&start.input)?.into(),
        wait_for_answer: (start.wait > 0).then(|| time::duration(start.wait * 1_000)),
        ..Default::default()
    };
    let answer = client.start_workflow(request).await?.into_inner();
    if start.output == Output::Json {
        return print_json("souk.workflow.v1.StartWorkflowResponse", &answer);
    }
    let how = if answer.already_started { "was there before" } else { "started" };
    println!("{how}: run {}, {}", answer.run_id, state_name(answer.state()));
    if let Some(json) = &answer.answer {
        println!("{}", String::from_utf8_lossy(json));
    }
    Ok(())
}
