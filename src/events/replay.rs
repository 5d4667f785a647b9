//! `souk events dead replay`.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use souk_proto::mesh::v1::ReplayDeadLettersRequest;
use uuid::Uuid;

use super::Client;
use crate::workflow::output::{Output, print_json};

/// Most dead letters that one request puts back; the contract's bound.
const MAX_REPLAYED: u16 = 500;

/// Which dead letters to put back.
#[derive(Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["ids", "queue", "all"]))]
pub struct Replay {
    /// These, as `souk events dead list` names them.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Of this queue only; without ids all of it.
    #[arg(long)]
    queue: Option<String>,
    /// Of all queues.
    #[arg(long, conflicts_with_all = ["ids", "queue"])]
    all: bool,
    /// At most this many, the oldest.
    #[arg(long, default_value_t = MAX_REPLAYED, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_REPLAYED)))]
    limit: u16,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
    /// UUID of the request; after an answer that was lost, the same one again puts back nothing more.
    #[arg(long)]
    request_id: Option<Uuid>,
    /// For people, or a line of JSON.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Puts dead letters back.
pub async fn run(client: &mut Client, replay: Replay) -> Result<()> {
    if !replay.yes && !confirmed(&replay)? {
        bail!("nothing was replayed");
    }
    let request_id = replay.request_id.unwrap_or_else(Uuid::new_v4);
    let request = ReplayDeadLettersRequest {
        request_id: request_id.to_string(),
        queue: replay.queue.unwrap_or_default(),
        dead_letter_ids: replay.ids,
        limit: i32::from(replay.limit),
    };
    let answer = client.replay_dead_letters(request).await;
    let answer = answer.with_context(|| {
        format!(
            "it may be done in part; --request-id {request_id} with the same brings it to its end"
        )
    })?;
    let answer = answer.into_inner();
    match replay.output {
        Output::Text => {
            println!("{} replayed", answer.replayed);
            if answer.replayed == i32::from(replay.limit) {
                println!("there may be more: the limit was reached");
            }
        }
        Output::Json => print_json("souk.mesh.v1.ReplayDeadLettersResponse", &answer)?,
    }
    Ok(())
}

fn confirmed(replay: &Replay) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody can be asked here: --yes replays without a question");
    }
    let which = match (&*replay.ids, &replay.queue) {
        ([], Some(queue)) => format!("the dead letters of {queue}"),
        ([], None) => "the dead letters of all queues".to_owned(),
        (ids, _) => ids.join(", "),
    };
    print!("Replay {which}, at most {}? [y/N] ", replay.limit);
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}
