//! `souk events dead show`.

use anyhow::{Context, Result};
use clap::Args;
use souk_proto::mesh::v1::{DeadLetter, GetDeadLetterRequest};

use super::{Client, since};
use crate::workflow::output::{Output, json, print_json};

/// Which dead letter.
#[derive(Args)]
pub struct Show {
    /// As `souk events dead list` names it.
    dead_letter_id: String,
    /// For people, or a line of JSON.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints one dead letter.
pub async fn print(client: &mut Client, show: Show) -> Result<()> {
    let request = GetDeadLetterRequest { dead_letter_id: show.dead_letter_id };
    let answer = client.get_dead_letter(request).await?.into_inner();
    let letter = answer.dead_letter.context("the shop answers without the dead letter")?;
    match show.output {
        Output::Text => print_text(&letter),
        Output::Json => print_json("souk.mesh.v1.DeadLetter", &letter),
    }
}

fn print_text(letter: &DeadLetter) -> Result<()> {
    println!("dead letter  {}", letter.dead_letter_id);
    println!("queue        {}", letter.queue);
    println!("dead since   {}, tried {} time(s)", since(letter), letter.attempts);
    println!("reason       {}", letter.reason);
    if let Some(event) = &letter.event {
        let content = json("souk.event.v1.Event", event)?;
        println!("event        {}", serde_json::to_string_pretty(&content)?);
    }
    Ok(())
}
